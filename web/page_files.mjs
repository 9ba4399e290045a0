/** Tells the service worker (src/offline/service_worker.ts) which files it keeps, and the SHA-256 of each. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** What the page needs of public/. */
const PUBLIC = ["manifest.webmanifest", "icon-192.png", "icon-512.png", "icon-maskable-512.png"];
const PLACE = /["'`]%FILES%["'`]/;

/** Of a file whose address is the folder's own. */
const INDEX = "index.html";

/** @returns {import("vite").Plugin} */
export function pageFiles() {
  return {
    name: "page-files",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const hash = (content) => createHash("sha256").update(content).digest("hex");
        // What knows grammars is large, and few requests need it.
        const built = Object.values(bundle).filter(({ fileName }) => fileName === INDEX || /^assets\/(?!grammar)/.test(fileName));
        const hashes = Object.fromEntries([
          ...built.map((file) => [file.fileName === INDEX ? "" : file.fileName, hash(file.type === "chunk" ? file.code : file.source)]),
          ...PUBLIC.map((name) => [name, hash(readFileSync(new URL(`public/${name}`, import.meta.url)))]),
        ]);
        const entry = Object.values(bundle).find((file) => file.type === "chunk" && file.isEntry && file.name === "index")?.fileName;
        const worker = bundle["service-worker.js"];
        if (worker?.type !== "chunk" || !PLACE.test(worker.code)) return this.error("service-worker.js: expected the text %FILES%, found none");
        if (!entry || !hashes[""]) return this.error(`${INDEX}: expected the page and its script in the bundle, found ${Object.keys(bundle).join(", ")}`);
        worker.code = worker.code.replace(PLACE, () => JSON.stringify(JSON.stringify({ entry, hashes })));
      },
    },
  };
}
