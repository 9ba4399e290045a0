/**
 * A conversation to token ids, by the model's own chat template.
 *
 * Only the template may write special tokens; a user who types `<turn|>` sends these characters (see marks.ts). All other text
 * is encoded as if the whole prompt had been typed: text of the template and text of a message that touch may share a token.
 */

import { GemletError } from "../errors";
import { compileTemplate } from "./jinja";
import { Marks, TokenPieces } from "./marks";
import { type Conversation, type Json, templateMessages } from "./messages";
import { workFor } from "./template_work";
import type { Tokenizer } from "./tokenizer";

/** Characters that are always looked at, as JSON. */
const LEAST_TEXT = 1_000_000;

export class ChatTemplate {
  private readonly render: (variables: Record<string, unknown>, work: number) => string;
  private readonly pieces: TokenPieces;

  /** `source`: text of chat_template.jinja. Throws GemletError "bad-artifact" where it does not parse. */
  constructor(
    private readonly source: string,
    private readonly tokenizer: Tokenizer,
    private readonly tokens: { bos_token: string; eos_token: string },
  ) {
    try {
      this.render = compileTemplate(source);
    } catch (cause) {
      throw new GemletError("bad-artifact", `the chat template does not parse: ${(cause as Error).message}`);
    }
    this.pieces = new TokenPieces(tokenizer.special.keys());
  }

  /**
   * Ids of the whole prompt, up to where the answer begins, or goes on; of its beginning alone where they are many more than `most`. Throws GemletError
   * "bad-request" where the template refuses, or does not come to an end, and "context-overflow" where there is more text than can be looked at for so many.
   */
  encode({ messages, tools, chat_template_kwargs = {}, continue_final_message = false }: Conversation, most = Infinity): number[] {
    // `tools` and `documents` are always there, as in transformers: some templates ask whether they are none.
    const variables: Record<string, Json> = {
      ...chat_template_kwargs,
      messages: templateMessages(messages),
      tools: (tools as Json | undefined) ?? null,
      documents: null,
    };
    const written = JSON.stringify(variables);
    this.checkSize(written.length, most);
    const marks = new Marks(this.tokenizer, this.pieces, this.source + written);
    const marked = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, marks.add(value)]));
    if (continue_final_message) marks.addCut(marked["messages"] as { content: Json }[]);
    const rendered = this.renderFrom({ ...marked, add_generation_prompt: !continue_final_message }, workFor(written.length));
    const shown = continue_final_message ? marks.beforeCut(rendered) : rendered;
    return this.tokenizer.withBos(marks.encode(shown.slice(0, 2 * most * this.tokenizer.longest + 1), most));
  }

  /** A template need not show all that it is given, so that only what is far too much is refused. */
  private checkSize(characters: number, most: number): void {
    const limit = Math.max(LEAST_TEXT, 4 * most * this.tokenizer.longest);
    if (characters <= limit) return;
    throw new GemletError("context-overflow", `the conversation has ${characters} characters, and at most ${limit} are looked at for a context of ${most} tokens; shorten it`);
  }

  /** Whether the template reads a variable of this name. */
  reads(variable: string): boolean {
    return new RegExp(`\\b${variable}\\b`).test(this.source);
  }

  private renderFrom(variables: Record<string, unknown>, work: number): string {
    try {
      return this.render({ ...variables, ...this.tokens }, work);
    } catch (cause) {
      throw new GemletError("bad-request", `messages: the model's chat template refuses them: ${(cause as Error).message}`);
    }
  }
}
