/** Starts workers, also for pages of another origin than the engine's. */

import { GemletError } from "./errors";
import { scriptAddress } from "./script_address";

/**
 * A module worker of the script at `address`. Browsers start workers of the page's own origin only: for another origin it is one line in a blob,
 * which imports the script, as its host allows with `Access-Control-Allow-Origin`. In a frame that has no origin, as a sandboxed one, not even a blob is of its
 * origin, and the line lies in the address. What a page's Content-Security-Policy has to allow then is told in docs/embed.md.
 */
export function startWorker(address: string, name: string): Worker {
  const script = new URL(address, import.meta.url);
  const start = (from: string): Worker => new Worker(scriptAddress(from) as string, { type: "module", name });
  if (script.origin === self.origin) return start(script.href);
  const line = `import ${JSON.stringify(script.href)};`;
  if (self.origin === "null") return start(`data:text/javascript,${encodeURIComponent(line)}`);
  const blob = URL.createObjectURL(new Blob([line], { type: "text/javascript" }));
  const worker = start(blob);
  worker.addEventListener("message", () => URL.revokeObjectURL(blob), { once: true });
  return worker;
}

/** The module worker of that script and name which all tabs of the site share. Throws GemletError "bad-request" where there can be none. */
export function startSharedWorker(address: string, name: string): SharedWorker {
  const refuse = (problem: string): never => {
    throw new GemletError("bad-request", `host: ${problem}; load with host: "worker"`);
  };
  if (!("SharedWorker" in globalThis && navigator.locks)) refuse("this browser, or a page without https, has no workers that tabs can share, or no locks");
  const script = new URL(address, import.meta.url);
  if (script.origin !== self.origin) refuse(`tabs can share a worker of their own origin alone, and the engine's files are on ${script.origin}`);
  return new SharedWorker(scriptAddress(script.href) as string, { type: "module", name });
}

/** What went wrong with a worker, by its `error` event, which has no message where the script did not load. */
export function workerFailure({ message }: ErrorEvent): string {
  return message || "its script did not load; look that its file is there, and that a Content-Security-Policy of the page allows it (docs/embed.md)";
}
