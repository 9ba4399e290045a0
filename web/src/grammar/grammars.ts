/** Grammars over a model's tokens: which of them may come next. */

import type { CompiledGrammar, GrammarCompiler, GrammarMatcher } from "@mlc-ai/web-xgrammar";
import { GemletError } from "../errors";
import { ByteTokens } from "./byte_tokens";
import { withSafeClasses } from "./classes";
import { checkRules, checkText } from "./grammar_limits";
import { separateAlternatives } from "./separate_alternatives";
import type { LoadedLibrary } from "./start_library";

/** `field`: what the caller gave it as, for errors. */
export interface GrammarSpec {
  kind: "ebnf" | "regex";
  text: string;
  field: string;
}

export interface GrammarTokens {
  /** The text of each token in the vocabulary, "" where it has none in an answer. */
  texts: string[];
  /** Number of logits, at least that of texts. */
  count: number;
  /** Ids that end an answer; they are allowed where the grammar may end. */
  stop: number[];
}

interface Ready {
  compiler: GrammarCompiler;
  loaded: LoadedLibrary;
  bytes: ByteTokens;
  /** By kind and text, the least recently used first. */
  compiled: Map<string, CompiledGrammar>;
}

/** The library's own memory of them would grow with each other grammar, until there is no memory left. */
const MOST_COMPILED = 8;

export class Grammars {
  private ready: Promise<Ready> | undefined;

  constructor(
    private readonly tokens: () => GrammarTokens,
    private readonly load: () => Promise<LoadedLibrary>,
  ) {}

  /** A grammar at its beginning. Throws GemletError "bad-request" where it is none, or too large, "network" where the library cannot be loaded. */
  async begin(spec: GrammarSpec): Promise<TokenMasks> {
    checkText(spec);
    const text = withSafeClasses(spec);
    const ready = await this.prepared();
    const { loaded, bytes } = ready;
    const compiled = await this.compiled(ready, { ...spec, text });
    const matcher = await guarded(loaded, spec, () => loaded.library.GrammarMatcher.createGrammarMatcher(compiled));
    return new TokenMasks(matcher, bytes, spec, loaded);
  }

  private async compiled({ compiler, loaded, compiled }: Ready, spec: GrammarSpec): Promise<CompiledGrammar> {
    const key = `${spec.kind} ${spec.text}`;
    const grammar = compiled.get(key) ?? (await compile(loaded, compiler, spec));
    compiled.delete(key);
    compiled.set(key, grammar);
    for (const oldest of compiled.keys()) {
      if (compiled.size <= MOST_COMPILED) break;
      compiled.get(oldest)!.dispose(); // a matcher that still has it keeps it
      compiled.delete(oldest);
    }
    return grammar;
  }

  private async prepared(): Promise<Ready> {
    const ready = await (this.ready ??= this.prepare());
    if (!ready.loaded.broken) return ready;
    return (this.ready = this.prepare());
  }

  private async prepare(): Promise<Ready> {
    const loaded = await this.load().catch((cause: Error) => {
      this.ready = undefined; // the next request tries again
      throw new GemletError("network", `the part of the engine that knows grammars could not be loaded: ${cause.message}`);
    });
    const { texts, count, stop } = this.tokens();
    try {
      const info = await loaded.library.TokenizerInfo.createTokenizerInfo(texts, "byte_fallback", false, count, stop);
      const compiler = await loaded.library.GrammarCompiler.createGrammarCompiler(info, false);
      info.dispose();
      return { loaded, compiler, bytes: new ByteTokens(texts, count), compiled: new Map() };
    } catch (cause) {
      this.ready = undefined;
      loaded.abandon();
      throw new GemletError("bad-artifact", `the grammar library fails with the model's vocabulary of ${count} tokens: ${loaded.takeReason() || (cause as Error).message}`);
    }
  }
}

/** One answer's way through a grammar. */
export class TokenMasks {
  private accepted = 0;

  constructor(
    private readonly matcher: GrammarMatcher,
    private readonly bytes: ByteTokens,
    private readonly spec: GrammarSpec,
    private readonly loaded: LoadedLibrary,
  ) {}

  /**
   * The mask of the token behind `answer`, as in `Adjustment`; of answers that begin alike, each longer than the one before. Throws GemletError "bad-request"
   * where no token of the vocabulary can follow.
   */
  async after(answer: readonly number[]): Promise<Int32Array<ArrayBuffer>> {
    const { field } = this.spec;
    for (const token of answer.slice(this.accepted)) {
      const isAllowed = await guarded(this.loaded, this.spec, async () => this.matcher.acceptToken(token));
      if (!isAllowed) throw new Error(`the token ${token} was drawn, which ${field} does not allow`);
    }
    this.accepted = answer.length;
    const mask = new Int32Array(await guarded(this.loaded, this.spec, () => this.matcher.getNextTokenBitmask()));
    this.bytes.correct(mask, answer.at(-1));
    if (mask.every((word) => word === 0)) {
      throw new GemletError("bad-request", `${field}: behind token ${answer.length} of the answer, no token of this model's vocabulary can follow`);
    }
    return mask;
  }

  dispose(): void {
    if (this.loaded.broken) return; // what was in its memory is gone
    this.matcher.dispose();
  }
}

async function compile(loaded: LoadedLibrary, compiler: GrammarCompiler, spec: GrammarSpec): Promise<CompiledGrammar> {
  const { library } = loaded;
  const tag = { type: "structural_tag", format: { type: "regex", pattern: spec.text } } as const;
  const grammar = await guarded(loaded, spec, () => (spec.kind === "ebnf" ? library.Grammar.fromEBNF(spec.text) : library.Grammar.fromStructuralTag(tag)));
  const separate = await guarded(loaded, spec, async () => separateAlternatives(grammar.toString()));
  grammar.dispose();
  checkRules(separate, spec.field);
  return guarded(loaded, spec, () => compiler.compileGrammar(separate));
}

/** Throws GemletError "bad-request" where the library throws, whose instance nobody uses any more then. */
async function guarded<T>(loaded: LoadedLibrary, { kind, field }: GrammarSpec, work: () => Promise<T>): Promise<T> {
  const what = kind === "regex" ? "regular expression" : "grammar";
  if (loaded.broken) throw new GemletError("bad-request", `${field}: the ${what} broke off, since another made the grammar library fail; ask again`);
  try {
    return await work();
  } catch (cause) {
    const reason = loaded.takeReason();
    loaded.abandon();
    // Without a reason it trapped: its stack, or its memory, was too small.
    const problem = reason === "" ? `is too much for the grammar library (${(cause as Error).message}); make it smaller` : `is not valid: ${reason}`;
    throw new GemletError("bad-request", `${field}: the ${what} ${problem}`);
  }
}
