/** Makes xgrammar ready, and brings the reasons to light that it has where it fails. */

/** `restart`: added by web/restartable_library.mjs; the next call makes an instance of WebAssembly anew. */
export type GrammarLibrary = (typeof import("@mlc-ai/web-xgrammar"))["default"] & { restart?(): void };

/** What the library wrote last of an error: it aborts then, and throws no reason. */
let reason = "";
const running = new Map<GrammarLibrary, LoadedLibrary>();

/** An instance of the library. What was made by it must not be used, nor disposed, once it is broken. */
export interface LoadedLibrary {
  library: GrammarLibrary;
  /** Once: empty where it had none, as where it trapped. */
  takeReason(): string;
  readonly broken: boolean;
  /** To be called where anything of it has thrown: it leaves no error behind it in order, but memory that cannot be relied on. */
  abandon(): void;
}

/** The instance that all have who ask for this library, until it is broken. */
export async function startLibrary(library: GrammarLibrary): Promise<LoadedLibrary> {
  const known = running.get(library);
  if (known && !known.broken) return known;
  await instantiate(library);
  const loaded = {
    library,
    broken: false,
    takeReason: () => {
      const taken = reason.replace(/^.*?(parser error|parsing error)/, "$1");
      reason = "";
      return taken;
    },
    abandon: () => {
      if (loaded.broken) return;
      loaded.broken = true;
      library.restart?.();
    },
  };
  running.set(library, loaded);
  reason = "";
  return loaded;
}

/** Lets the library make its WebAssembly, which takes hold of the console's functions as they are then. */
async function instantiate(library: GrammarLibrary): Promise<void> {
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
}
