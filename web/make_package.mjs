/** `npm run package -- FOLDER`: the engine and the element as a folder for `npm publish`, with declarations. */

import { execFileSync } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const web = dirname(fileURLToPath(import.meta.url));
if (process.argv.length !== 3) throw new Error("expected the folder to write, as the only argument: npm run package -- FOLDER");
const folder = resolve(process.env.INIT_CWD ?? ".", process.argv[2]);

await build({ root: web, mode: "package", build: { outDir: folder, emptyOutDir: true } });
copyFileSync(join(web, "..", "LICENSE"), join(folder, "LICENSE"));
const tsc = join(web, "node_modules", ".bin", "tsc");
execFileSync(tsc, ["-p", join(web, "tsconfig.package.json"), "--outDir", join(folder, "types")], { stdio: "inherit" });

// Only with its suffix is a file found by a TypeScript that resolves modules as Node does.
const types = readdirSync(join(folder, "types"), { recursive: true }).filter((name) => name.endsWith(".d.ts"));
for (const file of types.map((name) => join(folder, "types", name))) {
  const text = readFileSync(file, "utf8").replace(/((?:from|import) "\.[^"]*)"/g, '$1.js"');
  writeFileSync(file, text);
}
