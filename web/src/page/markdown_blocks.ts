/** Markdown as HTML, block by block. What a model writes is not trusted: see markdown.ts for how the HTML is shown. */

import { Lexer, type MarkedOptions, Parser, Renderer, type Token, Tokenizer, type Tokens, type TokensList } from "marked";

/** Quotes in quotes, lists in lists, emphasis in emphasis. What lies deeper is shown as it is written: each level takes the stack, and time for all within. */
const MOST_NESTED = 32;
/** Characters that are read as one. The time for one grows with the square of its length; a mark that begins in one does not end in the next. */
const LONGEST_RUN = 2000;
const LONGEST_LIST = 20_000;

/** A paragraph, a list, a table and the like. */
export interface Block {
  /** What it was made of. */
  source: string;
  html: string;
  /** The address that it gives for a reference. */
  defines?: Tokens.Def;
}

/** The blocks of a text that may grow: what was made of the text before is kept as far as more text cannot change it. */
export class MarkdownBlocks {
  private blocks: Block[] = [];
  private text = "";

  read(text: string): Block[] {
    const kept = text.startsWith(this.text) ? this.closed() : [];
    const start = kept.reduce((length, { source }) => length + source.length, 0);
    this.text = text;
    this.blocks = [...kept, ...blocksOf(text.slice(start), kept)];
    return this.blocks;
  }

  /** All but the last, which may go on, and the empty lines behind it. */
  private closed(): Block[] {
    return this.blocks.slice(0, Math.max(0, this.blocks.findLastIndex(({ source }) => source.trim() !== "")));
  }
}

/** `before`: the blocks above. */
function blocksOf(text: string, before: readonly Block[]): Block[] {
  const options: MarkedOptions = { gfm: true, breaks: true, tokenizer: new PlainTokenizer(), renderer: new LinkRenderer() };
  const lexer = new ShallowLexer(options);
  for (const { defines } of before) if (defines) lexer.tokens.links[defines.tag] ??= defines;
  return lexer.lex(text).map((token) => ({
    source: token.raw,
    html: Parser.parse([token], options),
    ...(token.type === "def" && { defines: token as Tokens.Def }),
  }));
}

class ShallowLexer extends Lexer {
  private depth = 0;

  override blockTokens(text: string, tokens?: Token[], lastParagraphClipped?: boolean): Token[];
  override blockTokens(text: string, tokens?: TokensList, lastParagraphClipped?: boolean): TokensList;
  override blockTokens(text: string, tokens: Token[] = [], lastParagraphClipped?: boolean): Token[] {
    return this.nested(text, tokens, () => super.blockTokens(text, tokens, lastParagraphClipped));
  }

  override inlineTokens(text: string, tokens: Token[] = []): Token[] {
    return this.nested(text, tokens, () => {
      for (const run of runsOf(text)) super.inlineTokens(run, tokens);
      return tokens;
    });
  }

  private nested(text: string, tokens: Token[], work: () => Token[]): Token[] {
    if (this.depth === MOST_NESTED) {
      tokens.push({ type: "text", raw: text, text });
      return tokens;
    }
    this.depth += 1;
    try {
      return work();
    } finally {
      this.depth -= 1;
    }
  }
}

/** Knows no HTML, which is shown as it is written; but a break, which models put into the cells of tables. */
class PlainTokenizer extends Tokenizer {
  override list(text: string): Tokens.List | undefined {
    if (text.length <= LONGEST_LIST) return super.list(text);
    const end = text.lastIndexOf("\n", LONGEST_LIST) + 1;
    return super.list(text.slice(0, end || LONGEST_LIST));
  }

  override html(): undefined {
    return undefined;
  }

  override tag(text: string): Tokens.Tag | undefined {
    const [raw] = /^<br\s*\/?>/i.exec(text) ?? [];
    return raw === undefined ? undefined : ({ type: "br", raw } as unknown as Tokens.Tag);
  }
}

/** A picture would tell its host that it is shown: it is a link in place of that. */
class LinkRenderer extends Renderer {
  override image({ href, title, text }: Tokens.Image): string {
    return this.link({ type: "link", raw: "", href, ...(title && { title }), text, tokens: [{ type: "text", raw: text, text: text || href }] } as Tokens.Link);
  }
}

/** Cut where there is white space, if there is any. */
function runsOf(text: string): string[] {
  if (text.length <= LONGEST_RUN) return [text];
  return text.match(new RegExp(`[^]{1,${LONGEST_RUN}}(?=\\s|$)|[^]{${LONGEST_RUN}}`, "g"))!;
}
