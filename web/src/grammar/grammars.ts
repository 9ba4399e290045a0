/** Grammars over a model's tokens: which of them may come next. */

import type { CompiledGrammar, GrammarCompiler, GrammarMatcher } from "@mlc-ai/web-xgrammar";
import { GemletError } from "../errors";
import { ByteTokens } from "./byte_tokens";
import { withSafeClasses } from "./classes";
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
}

export class Grammars {
  private ready: Promise<Ready> | undefined;

  constructor(
    private readonly tokens: () => GrammarTokens,
    private readonly load: () => Promise<LoadedLibrary>,
  ) {}

  /** A grammar at its beginning. Throws GemletError "bad-request" where it is none, "network" where the library cannot be loaded. */
  async begin(spec: GrammarSpec): Promise<TokenMasks> {
    const text = withSafeClasses(spec);
    const { compiler, loaded, bytes } = await (this.ready ??= this.prepare());
    try {
      const compiled = await compile(loaded, compiler, { ...spec, text });
      return new TokenMasks(await loaded.library.GrammarMatcher.createGrammarMatcher(compiled), compiled, bytes, spec.field);
    } catch {
      throw new GemletError("bad-request", `${spec.field}: the ${spec.kind === "regex" ? "regular expression" : "grammar"} is not valid: ${loaded.takeReason()}`);
    }
  }

  private async prepare(): Promise<Ready> {
    const loaded = await this.load().catch((cause: Error) => {
      this.ready = undefined; // the next request tries again
      throw new GemletError("network", `the part of the engine that knows grammars could not be loaded: ${cause.message}`);
    });
    const { texts, count, stop } = this.tokens();
    const info = await loaded.library.TokenizerInfo.createTokenizerInfo(texts, "byte_fallback", false, count, stop);
    return { loaded, compiler: await loaded.library.GrammarCompiler.createGrammarCompiler(info), bytes: new ByteTokens(texts, count) };
  }
}

/** One answer's way through a grammar. */
export class TokenMasks {
  private accepted = 0;

  constructor(
    private readonly matcher: GrammarMatcher,
    private readonly compiled: CompiledGrammar,
    private readonly bytes: ByteTokens,
    private readonly field: string,
  ) {}

  /**
   * The mask of the token behind `answer`, as in `Adjustment`; of answers that begin alike, each longer than the one before. Throws GemletError "bad-request"
   * where no token of the vocabulary can follow.
   */
  async after(answer: readonly number[]): Promise<Int32Array<ArrayBuffer>> {
    for (const token of answer.slice(this.accepted)) {
      if (!this.matcher.acceptToken(token)) throw new Error(`the token ${token} was drawn, which ${this.field} does not allow`);
    }
    this.accepted = answer.length;
    const mask = new Int32Array(await this.matcher.getNextTokenBitmask());
    this.bytes.correct(mask, answer.at(-1));
    if (mask.every((word) => word === 0)) {
      throw new GemletError("bad-request", `${this.field}: behind token ${answer.length} of the answer, no token of this model's vocabulary can follow`);
    }
    return mask;
  }

  dispose(): void {
    this.matcher.dispose();
    this.compiled.dispose();
  }
}

async function compile({ library }: LoadedLibrary, compiler: GrammarCompiler, { kind, text }: GrammarSpec): Promise<CompiledGrammar> {
  const tag = { type: "structural_tag", format: { type: "regex", pattern: text } } as const;
  const grammar = await (kind === "ebnf" ? library.Grammar.fromEBNF(text) : library.Grammar.fromStructuralTag(tag));
  try {
    return await compiler.compileGrammar(separateAlternatives(grammar.toString()));
  } finally {
    grammar.dispose();
  }
}
