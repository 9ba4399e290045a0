/** Markdown as what Lit renders, and safe to show: what a model writes is not trusted. */

import DOMPurify from "dompurify";
import { html, type TemplateResult } from "lit";
import { guard } from "lit/directives/guard.js";
import { unsafeHTML } from "lit/directives/unsafe-html.js";
import { marked } from "marked";

// Pictures and forms could send requests to other hosts.
const REFUSED_TAGS = ["img", "picture", "video", "audio", "source", "style", "form", "input", "button", "svg", "math"];
const REFUSED_ATTRIBUTES = ["style", "background"];
const OPTIONS = { gfm: true, breaks: true };

const purifier = DOMPurify(window);
// A link must not take the page away, with the conversation and the model that is loaded.
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (!node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
});

/** Block by block: while a text grows, only its last block is made anew, so that what a reader selects above stays selected. */
export function renderMarkdown(text: string): unknown[] {
  return marked.lexer(text, OPTIONS).map((block) => guard([block.raw], () => unsafeHTML(safeHtml(marked.parser([block], OPTIONS)))));
}

/** The text as a block of code, which `language` labels. */
export function renderCode(text: string, language: string): TemplateResult {
  return html`<pre><code class="language-${language}">${text}</code></pre>`;
}

function safeHtml(dirty: string): string {
  return purifier.sanitize(dirty, { FORBID_TAGS: REFUSED_TAGS, FORBID_ATTR: REFUSED_ATTRIBUTES });
}
