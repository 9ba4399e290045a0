/** Markdown of any kind becomes HTML of few tags; what is too deep or too long for that is shown as it is written. */

import { expect, test } from "vitest";
import { MarkdownBlocks } from "../src/page/markdown_blocks";
import { prettyJson } from "../src/page/pretty_json";

const htmlOf = (text: string): string => new MarkdownBlocks().read(text).map(({ html }) => html).join("");
const ENTITIES: Record<string, string> = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&" };
const shown = (text: string): string => htmlOf(text).replace(/<[^>]*>/g, "").replace(/&(?:lt|gt|quot|#39|amp);/g, (entity) => ENTITIES[entity]!);

const MANY = 100_000;

test.each([
  ["**bold** `code` ~~gone~~", "<p><strong>bold</strong> <code>code</code> <del>gone</del></p>\n"],
  ["<slot name=actions></slot>", "<p>&lt;slot name=actions&gt;&lt;/slot&gt;</p>\n"],
  ["<div>\n**in**\n</div>", "<p>&lt;div&gt;<br><strong>in</strong><br>&lt;/div&gt;</p>\n"],
  ["a<br>b <!-- c -->", "<p>a<br>b &lt;!-- c --&gt;</p>\n"],
  ["<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"],
  ["![a *b*](https://x.test/y.png \"t\")", '<p><a href="https://x.test/y.png" title="t">a *b*</a></p>\n'],
  ["![](https://x.test/y.png)", '<p><a href="https://x.test/y.png">https://x.test/y.png</a></p>\n'],
  ["a [b][r]\n\n[r]: https://x.test/", '<p>a <a href="https://x.test/">b</a></p>\n'],
])("%s is shown as %s", (text, html) => {
  expect(htmlOf(text)).toBe(html);
});

test("boxes of tasks keep their state", () => {
  expect(htmlOf("- [x] done\n- [ ] to do").match(/<input[^>]*>/g)).toEqual(['<input checked="" disabled="" type="checkbox">', '<input disabled="" type="checkbox">']);
});

test.each([
  ["quotes", "> ".repeat(3000) + "end"],
  ["bullets", "- ".repeat(3000) + "end"],
  ["numbers", "1. ".repeat(3000) + "end"],
  ["quotes and bullets", "> - ".repeat(3000) + "end"],
  ["lists by indentation", Array.from({ length: 300 }, (_, depth) => `${"  ".repeat(depth)}- end`).join("\n")],
  ["strong words", "**a ".repeat(3000) + "end" + "** b".repeat(3000)],
  ["links", "[".repeat(3000) + "end" + "](https://x.test)".repeat(3000)],
  ["HTML", "<b>".repeat(3000) + "end" + "</b>".repeat(3000)],
])("%s 3,000 deep are shown, and no tags are deeper than a browser's stack allows", (_, text) => {
  let depth = 0;
  const depths = [...htmlOf(text).matchAll(/<(\/?)(?!br|hr|input)\w[^>]*>/g)].map(([, closes]) => (depth += closes ? -1 : 1));
  expect([depth, Math.max(...depths) <= 140]).toEqual([0, true]);
  expect(shown(text)).toContain("end");
});

// Each took more than three seconds, or grew with the square of its length.
test.each([
  ["brackets", "[".repeat(MANY)],
  ["stars", `x${"*".repeat(MANY)}`],
  ["backticks", `x${"`".repeat(MANY)}`],
  ["strikes that do not end", "~~a~ ".repeat(MANY / 5)],
  ["an address that does not end", `${"a.".repeat(MANY / 2)}@`],
  ["white space within a line", `a${" ".repeat(MANY)}b`],
  ["an address of stars", `https://a${"*".repeat(MANY)}`],
])("%s of 100,000 characters are shown whole", (_, text) => {
  expect(shown(text).trim() === text.trim()).toBe(true);
});

test.each([
  ["an item of many lines", `- ${"\n  a".repeat(MANY / 4)}`, MANY / 4],
  ["a table of many columns", `|${"a|".repeat(10_000)}\n|${"-|".repeat(10_000)}\n|${"a|".repeat(10_000)}`, 20_000],
  ["a line of marks within words", "a*b_".repeat(MANY / 4), MANY / 4],
  ["a long line", "a ".repeat(500_000), 500_000],
])("%s is shown whole", (_, text, count) => {
  expect(shown(text).match(/a/g)).toHaveLength(count);
});

test("a text that grows gives the same blocks as the whole, and makes only its end anew", () => {
  const text = "# A\n\nb *c*\nd\n\n- e\n\n- f\n  g\n\n[r]: https://x.test\n\n```js\nh\n\ni\n```\n\n| j |\n|-|\n| [k][r] |\n\n> l\n\nend";
  const blocks = new MarkdownBlocks();
  for (let end = 1; end <= text.length; end++) {
    const before = blocks.read(text.slice(0, end - 1));
    const after = blocks.read(text.slice(0, end));
    const kept = before.slice(0, Math.max(0, before.findLastIndex(({ source }) => source.trim() !== "")));
    expect(after.slice(0, kept.length).every((block, index) => block === kept[index])).toBe(true);
    expect(after.map(({ html }) => html).join("")).toBe(htmlOf(text.slice(0, end)));
  }
  expect(blocks.read("other").map(({ html }) => html)).toEqual(["<p>other</p>\n"]);
});

test("JSON that nests deep is set out in a length that grows with its own", () => {
  expect(prettyJson("[".repeat(5000) + "]".repeat(5000))!.length).toBeLessThan(700_000);
});
