/** Makes xgrammar ready, and brings the reasons to light that it has where it fails. */

export type GrammarLibrary = (typeof import("@mlc-ai/web-xgrammar"))["default"];

/** What the library wrote last of an error: it aborts then, and throws no reason. */
let reason = "";

/** The library, ready, and how to take the reason of its last failure. */
export interface LoadedLibrary {
  library: GrammarLibrary;
  takeReason(): string;
}

/** Lets the library make its WebAssembly, which takes hold of the console's functions as they are then. */
export async function startLibrary(library: GrammarLibrary): Promise<LoadedLibrary> {
  const { error } = console;
  console.error = (...words: unknown[]) => {
    const text = words.join(" ");
    // "[FATAL] file:line: what is wrong"; what else comes is the library's own word that it aborts.
    const fatal = /^\[FATAL\] [^ ]*: (.*)/s.exec(text);
    if (fatal) reason = fatal[1]!;
    else if (!/^Aborted\(|^\[WARNING\]/.test(text)) error(...words);
  };
  try {
    (await library.Grammar.builtinJSONGrammar()).dispose();
  } finally {
    console.error = error;
  }
  return { library, takeReason: () => reason.replace(/^.*?(parser error|parsing error)/, "$1") };
}
