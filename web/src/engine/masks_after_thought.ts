/** Masks of an answer whose prompt has opened a thought: the form that was asked for is that of the text behind it. */

import type { Masks } from "./draw_wishes";

export class MasksAfterThought implements Masks {
  private readonly open: Int32Array<ArrayBuffer>;

  /**
   * `masks`: of the text; `thoughtEnd`: the token that ends the thought. While it lasts, all tokens may come that have a
   * text, of `texts` by id, and none of `stop`: the answer must not end before its text.
   */
  constructor(
    private readonly masks: Masks,
    private readonly thoughtEnd: number,
    { texts, count, stop }: { texts: readonly string[]; count: number; stop: readonly number[] },
  ) {
    this.open = new Int32Array(Math.ceil(count / 32));
    const mayCome = (text: string, id: number): boolean => id === thoughtEnd || (text !== "" && !stop.includes(id));
    texts.forEach((text, id) => {
      if (mayCome(text, id)) this.open[id >> 5]! |= 1 << (id & 31);
    });
  }

  async after(answer: readonly number[]): Promise<Int32Array<ArrayBuffer> | null> {
    const end = answer.indexOf(this.thoughtEnd);
    return end < 0 ? this.open : this.masks.after(answer.slice(end + 1));
  }
}
