/** Markdown as what Lit renders, and safe to show: what a model writes is not trusted. */

import DOMPurify, { type Config } from "dompurify";
import { html, type TemplateResult } from "lit";
import { guard } from "lit/directives/guard.js";
import { unsafeHTML } from "lit/directives/unsafe-html.js";
import { MarkdownBlocks } from "./markdown_blocks";

/** Of these each takes its direction from its own text. */
const BLOCKS = ["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "table", "th", "td"];

/** What Markdown makes, and nothing else: no picture or form that asks another host, no slot, style, id or element of the page's own. */
const CONFIG: Config = {
  ALLOWED_TAGS: [...BLOCKS, "a", "br", "code", "del", "em", "hr", "input", "pre", "strong", "tbody", "thead", "tr"],
  ALLOWED_ATTR: ["href", "title", "class", "start", "align", "type", "checked"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ADD_URI_SAFE_ATTR: ["start", "align", "type", "checked"], // no addresses
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
};

const purifier = DOMPurify(window);
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (BLOCKS.includes(node.localName)) node.setAttribute("dir", "auto");
  if (node.localName === "input") asBox(node as HTMLInputElement);
  if (!/^language-\S+$/.test(node.className) || node.localName !== "code") node.removeAttribute("class");
  if (!node.hasAttribute("href")) return;
  // A link must not take the page away, with the conversation and the model that is loaded.
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
});

/** Block by block: while a text grows, only its last block is made anew, so that what a reader selects above stays selected. */
export function renderMarkdown(text: string, blocks = new MarkdownBlocks()): unknown[] {
  return blocks.read(text).map(({ html: dirty }) => guard([dirty], () => unsafeHTML(purifier.sanitize(dirty, CONFIG))));
}

/** The text as a block of code, which `language` labels. */
export function renderCode(text: string, language: string): TemplateResult {
  return html`<pre><code class="language-${language}">${text}</code></pre>`;
}

/** An input is the box of a task, and nothing to press. */
function asBox(input: HTMLInputElement): void {
  if (input.getAttribute("type") !== "checkbox") return input.remove();
  input.setAttribute("disabled", "");
  input.setAttribute("aria-label", input.hasAttribute("checked") ? "Done" : "To do");
}
