/** The grammar library, which is larger than all else of the engine: a file of its own, for the engine to load when a request first needs it. */

import xgrammar from "@mlc-ai/web-xgrammar";
import { type GrammarLibrary, type LoadedLibrary, startLibrary } from "./start_library";

export function loadLibrary(): Promise<LoadedLibrary> {
  return startLibrary(xgrammar as GrammarLibrary);
}
