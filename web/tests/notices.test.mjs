/** What is built names each package whose code it holds. */

import { readFileSync } from "node:fs";
import { build } from "vite";
import { expect, test } from "vitest";

const PACKAGE = /node_modules\/((?:@[^/]+\/)?[^/]+)\//;

test.each(["production", "package"])("in the build for %s each package of the bundles has its name, version and licence in the notices", async (mode) => {
  const sources = new Set();
  const readMaps = {
    name: "read-maps",
    // After all bundles, those of workers among them, whose maps are files of this one.
    generateBundle: (_, bundle) => {
      for (const file of Object.values(bundle)) {
        const map = file.type === "chunk" ? file.map : file.fileName.endsWith(".map") ? JSON.parse(file.source) : null;
        for (const source of map?.sources ?? []) sources.add(source);
      }
    },
  };
  const output = await build({ mode, logLevel: "silent", build: { write: false, sourcemap: true }, plugins: [readMaps] });
  const notices = output.output.find(({ fileName }) => fileName === "THIRD_PARTY_NOTICES.txt");
  const packages = new Set([...sources].flatMap((source) => PACKAGE.exec(source)?.[1] ?? []));
  // From the page's bundle, from a worker's, and from the file that knows grammars.
  expect([...packages]).toEqual(expect.arrayContaining(["lit-html", "marked", "dompurify", "@huggingface/tokenizers", "@mlc-ai/web-xgrammar"]));
  const entries = new Map(notices.source.split(/\n-{80}\n\n/).map((entry) => [entry.slice(0, entry.indexOf("\n")), entry]));
  for (const name of packages) {
    const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
    const entry = entries.get(`${name} ${version}`);
    expect(entry, name).toContain(`Licence: ${license}`);
    expect(entry.length).toBeGreaterThan(500); // the text, too
  }
});
