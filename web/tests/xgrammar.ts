/** The grammar library in Node, which cannot import its file: that is a script which calls itself a module. */

import text from "@mlc-ai/web-xgrammar/lib/index.js?raw";
import { type GrammarLibrary, type LoadedLibrary, startLibrary } from "../src/grammar/start_library";

export function loadForNode(): Promise<LoadedLibrary> {
  const library = {} as GrammarLibrary;
  // It finds what a worker of a page has.
  const location = { href: "https://example.org/worker.js" };
  const scope = { exports: library, module: {}, process: undefined, importScripts: () => undefined, location, self: { location } };
  new Function(...Object.keys(scope), text)(...Object.values(scope));
  return startLibrary(library);
}
