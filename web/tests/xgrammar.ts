/** The grammar library in Node, which cannot import its file: that is a script which calls itself a module. */

import { restartable } from "../restartable_library.mjs";
import text from "@mlc-ai/web-xgrammar/lib/index.js?raw";
import { type GrammarLibrary, type LoadedLibrary, startLibrary } from "../src/grammar/start_library";

/** A library of its own, whose instance nobody else uses. */
export function newLibrary(): GrammarLibrary {
  const library = {} as GrammarLibrary;
  // It finds what a worker of a page has.
  const location = { href: "https://example.org/worker.js" };
  const scope = { exports: library, module: {}, process: undefined, importScripts: () => undefined, location, self: { location } };
  new Function(...Object.keys(scope), restartable(text))(...Object.values(scope));
  return library;
}

export const loadForNode = (): Promise<LoadedLibrary> => startLibrary(newLibrary());
