/** Markdown to HTML that is safe to show: what a model writes is not trusted. */

import DOMPurify from "dompurify";
import { marked } from "marked";

// Pictures and forms could send requests to other hosts.
const REFUSED_TAGS = ["img", "picture", "video", "audio", "source", "style", "form", "input", "button", "svg", "math"];

export function renderMarkdown(text: string): string {
  const html = marked.parse(text, { async: false, gfm: true, breaks: true });
  return DOMPurify.sanitize(html, { FORBID_TAGS: REFUSED_TAGS, FORBID_ATTR: ["style"] });
}
