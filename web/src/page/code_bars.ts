/** Puts a bar on each block of code: its language, and a button that copies it. */

import { type CopyButton } from "./copy_button"; // also defines the element

/** Blocks that have a bar already keep it. The bars are no part of what the model wrote, so they come after that was made safe. */
export function addCodeBars(root: ParentNode): void {
  for (const code of root.querySelectorAll<HTMLElement>("pre > code")) {
    const block = code.parentElement!;
    const copy = block.querySelector<CopyButton>(":scope > .bar > gemlet-copy") ?? addBar(block, code);
    copy.text = code.textContent;
  }
}

function addBar(block: HTMLElement, code: HTMLElement): CopyButton {
  const language = document.createElement("span");
  language.textContent = /\blanguage-(\S+)/.exec(code.className)?.[1] ?? "code";
  const copy = document.createElement("gemlet-copy");
  copy.label = "Copy code";
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.append(language, copy);
  block.prepend(bar);
  code.tabIndex = 0; // long lines are scrolled with the keyboard, too
  return copy;
}
