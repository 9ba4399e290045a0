/** Writes THIRD_PARTY_NOTICES.txt beside what is built: name, version, licence and its text of each package that is in the bundles. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FILE = "THIRD_PARTY_NOTICES.txt";
const TEXTS = /^(licen[cs]e|copying|notice)\b/i;
const INTRODUCTION = "gemlet's scripts hold code of these packages, under these licences. gemlet itself is under the Apache License 2.0.\n";
const LINE = `\n${"-".repeat(80)}\n\n`;

/** Texts of packages that come without them, or that hold others' work beside their own: web/notices/NAME.txt. */
const ADDED = fileURLToPath(new URL("notices", import.meta.url));

/** The packages of a build: those of the page, and those of its workers, whose bundles are made first. */
export class Packages {
  folders = new Set();

  /** @returns {import("vite").Plugin} */
  ofWorker() {
    return { name: "packages-of-worker", generateBundle: (_, bundle) => this.find(bundle) };
  }

  /** @returns {import("vite").Plugin} */
  notices() {
    const { folders } = this;
    const find = (bundle) => this.find(bundle);
    return {
      name: "notices",
      enforce: "post",
      generateBundle(_, bundle) {
        find(bundle);
        const entries = [...folders].map((folder) => entryOf(folder, (message) => this.error(message))).sort();
        this.emitFile({ type: "asset", fileName: FILE, source: [INTRODUCTION, ...entries].join(LINE) });
      },
    };
  }

  find(bundle) {
    const modules = Object.values(bundle).flatMap((file) => (file.type === "chunk" ? file.moduleIds : []));
    for (const id of modules) if (id.includes("/node_modules/")) this.folders.add(packageFolder(id));
  }
}

/** The folder of the package that a module belongs to. */
function packageFolder(id) {
  let folder = dirname(id.replace(/^\0|\?.*$/g, ""));
  // Folders within a package may have a package.json for the kind of their modules alone.
  while (!existsSync(join(folder, "package.json")) || JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version === undefined) folder = dirname(folder);
  return folder;
}

function entryOf(folder, fail) {
  const { name, version, license, author, homepage } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const texts = readdirSync(folder).filter((file) => TEXTS.test(file)).sort().map((file) => join(folder, file));
  const added = join(ADDED, `${name.replace(/^@/, "").replace("/", "+")}.txt`);
  if (existsSync(added)) texts.push(added);
  if (!license || texts.length === 0) fail(`${name}: expected a licence and its text, found ${license} and no file; add web/notices/${basename(added)}`);
  const head = [`${name} ${version}`, `Licence: ${license}`, author && `Author: ${author.name ?? author}`, homepage && `Home: ${homepage}`].filter(Boolean).join("\n");
  return [head, ...texts.map((file) => readFileSync(file, "utf8").trim())].join("\n\n").concat("\n");
}
