/**
 * Messages to token ids, by the model's own chat template.
 *
 * Only the template may write special tokens; a user who types `<turn|>` sends these characters. So wherever a
 * string of the messages holds a special token's text, a mark (a private-use character that occurs nowhere else) is put
 * behind each of its characters. Then the template is rendered, the result is cut at the special tokens that are left, which
 * are the template's, the marks are taken out again, and the parts between are encoded as plain text. Text of the
 * template and text of a message that touch are encoded together, as if the whole prompt had been typed.
 */

import { Template } from "@huggingface/jinja";
import { GemletError } from "../errors";
import type { Tokenizer } from "./tokenizer";

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export class ChatTemplate {
  private readonly template: Template;

  /** `source`: text of chat_template.jinja. Throws GemletError "bad-artifact" where it does not parse. */
  constructor(
    private readonly source: string,
    private readonly tokenizer: Tokenizer,
    private readonly tokens: { bos_token: string; eos_token: string },
  ) {
    try {
      this.template = new Template(source);
    } catch (cause) {
      throw new GemletError("bad-artifact", `the chat template does not parse: ${(cause as Error).message}`);
    }
  }

  /** Ids of the whole prompt, up to where the answer begins. Throws GemletError "bad-request" where the template refuses. */
  encode(messages: readonly ChatMessage[]): number[] {
    const mark = unusedCharacter(this.source + JSON.stringify(messages));
    const marked = messages.map(({ role, content }) => ({ role, content: this.markSpecial(content, mark) }));
    const ids = this.tokenizer.splitAtSpecial(this.render(marked)).flatMap((part) => {
      const id = this.tokenizer.special.get(part);
      return id === undefined ? this.tokenizer.encodePlain(part.replaceAll(mark, "")) : [id];
    });
    return this.tokenizer.withBos(ids);
  }

  private render(messages: readonly ChatMessage[]): string {
    try {
      return this.template.render({ ...this.tokens, messages, add_generation_prompt: true });
    } catch (cause) {
      throw new GemletError("bad-request", `messages: the model's chat template refuses them: ${(cause as Error).message}`);
    }
  }

  private markSpecial(content: string, mark: string): string {
    return this.tokenizer
      .splitAtSpecial(content)
      .map((part) => (this.tokenizer.special.has(part) ? part.replaceAll(/./gsu, `$&${mark}`) : part))
      .join("");
  }
}

function unusedCharacter(text: string): string {
  for (let code = 0xe000; code <= 0xf8ff; code++) {
    const character = String.fromCharCode(code);
    if (!text.includes(character)) return character;
  }
  throw new GemletError("bad-request", "messages: they use every private-use character of Unicode, and one must be free");
}
