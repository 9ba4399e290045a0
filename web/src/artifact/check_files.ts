/** Checks what a manifest says of files: they lie in the model's own folder, and are of a size that can be. */

import type { Fail } from "./check_shape";
import type { Manifest } from "./manifest";

/** Names as the compiler writes them: an address made of such a name stays below the folder. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.+-]*(\/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$/;
/** The compiler writes 32 MiB; each is held in memory whole. */
const LARGEST_SHARD = 2 ** 28;

export function checkFiles(manifest: Manifest, fail: Fail): void {
  const { tokenizer, chat_template, license, kernels, shards, wasm } = manifest;
  const need = (name: string | null | undefined, where: string): void => {
    if (name !== null && name !== undefined && !NAME.test(name)) fail(`${where} is ${JSON.stringify(name.slice(0, 60))}, expected a file's name below the model's folder`);
  };
  need(tokenizer.file, "tokenizer.file");
  need(chat_template, "chat_template");
  need(license.file, "license.file");
  for (const [i, kernel] of kernels.entries()) {
    need(kernel.file, `kernels[${i}].file`);
    for (const [j, { file }] of (kernel.variants ?? []).entries()) need(file, `kernels[${i}].variants[${j}].file`);
  }
  for (const [i, { file }] of (wasm && "modules" in wasm ? wasm.modules : []).entries()) need(file, `wasm.modules[${i}].file`);
  const known = new Map<string, string>();
  for (const [i, { file, bytes, sha256 }] of shards.entries()) {
    need(file, `shards[${i}].file`);
    if (bytes < 1 || bytes > LARGEST_SHARD) fail(`shards[${i}].bytes is ${bytes}, expected 1 to ${LARGEST_SHARD}`);
    // Shards may be equal; then they are the same file.
    for (const [name, content] of [[`file ${file}`, `${bytes} ${sha256}`], [`hash ${sha256}`, `${bytes}`]] as const) {
      if (known.has(name) && known.get(name) !== content) fail(`shards[${i}]: ${name} is named before with another size or hash`);
      known.set(name, content);
    }
  }
}
