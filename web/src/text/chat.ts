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
import type { Tokenizer } from "./tokenizer";

export class ChatTemplate {
  private readonly render: (variables: Record<string, unknown>) => string;
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

  /** Ids of the whole prompt, up to where the answer begins, or goes on. Throws GemletError "bad-request" where the template refuses. */
  encode({ messages, tools, chat_template_kwargs = {}, continue_final_message = false }: Conversation): number[] {
    // `tools` and `documents` are always there, as in transformers: some templates ask whether they are none.
    const variables: Record<string, Json> = {
      ...chat_template_kwargs,
      messages: templateMessages(messages),
      tools: (tools as Json | undefined) ?? null,
      documents: null,
    };
    const marks = new Marks(this.tokenizer, this.pieces, this.source + JSON.stringify(variables));
    const marked = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, marks.add(value)]));
    if (continue_final_message) marks.addCut(marked["messages"] as { content: Json }[]);
    const rendered = this.renderFrom({ ...marked, add_generation_prompt: !continue_final_message });
    return this.tokenizer.withBos(marks.encode(continue_final_message ? marks.beforeCut(rendered) : rendered));
  }

  /** Whether the template reads a variable of this name. */
  reads(variable: string): boolean {
    return new RegExp(`\\b${variable}\\b`).test(this.source);
  }

  private renderFrom(variables: Record<string, unknown>): string {
    try {
      return this.render({ ...variables, ...this.tokens });
    } catch (cause) {
      throw new GemletError("bad-request", `messages: the model's chat template refuses them: ${(cause as Error).message}`);
    }
  }
}
