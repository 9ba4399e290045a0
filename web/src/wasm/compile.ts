/** Downloads a module, checks it against its SHA-256, and compiles it while it arrives. */

import { sha256 } from "../artifact/hash";
import type { WasmModule } from "../artifact/manifest";
import { GemletError } from "../errors";

/** Throws GemletError "bad-artifact" where the file is another one than the manifest says, or does not compile. */
export async function compileModule({ file, bytes, sha256: expected }: WasmModule, response: Response): Promise<WebAssembly.Module> {
  // Browsers compile a stream of this type only; some hosts send another.
  const streams = response.headers.get("Content-Type")?.toLowerCase() === "application/wasm";
  const copy = response.clone();
  const compiling = streams ? WebAssembly.compileStreaming(response) : response.arrayBuffer().then((content) => WebAssembly.compile(content));
  compiling.catch(() => undefined); // what a damaged file gives is told by its hash
  const content = await copy.arrayBuffer();
  const found = await sha256(content);
  if (found !== expected) {
    const lengths = content.byteLength === bytes ? "" : `, ${content.byteLength} bytes in place of ${bytes}`;
    throw new GemletError("bad-artifact", `${response.url || file}: the module is damaged: expected SHA-256 ${expected}, found ${found}${lengths}; load again or upload it again`);
  }
  return compiling.catch((cause: Error) => {
    throw new GemletError("bad-artifact", `${response.url || file}: the browser does not compile the module: ${cause.message}`);
  });
}
