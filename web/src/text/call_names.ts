/** Which tokens may come next while the name of a call is written, where it has to be that of one of several tools. */

export class CallNames {
  private readonly heads: readonly string[];

  /**
   * `texts`: the text of each token in the vocabulary's spelling, "" of special ones; `count`: of logits; `opening`: tokens of the answer that stand before the
   * name.
   */
  constructor(
    names: readonly string[],
    private readonly texts: readonly string[],
    private readonly count: number,
    private readonly opening: number,
  ) {
    this.heads = names.map((name) => `${name.replaceAll(" ", "▁")}{`);
  }

  /** The mask of the token behind `answer`, as in `Adjustment`. Null where all may follow: the name is whole, or has a character that no token spells. */
  async after(answer: readonly number[]): Promise<Int32Array<ArrayBuffer> | null> {
    const written = answer.slice(this.opening).map((id) => this.texts[id]).join("");
    const rests = this.heads.filter((head) => head.startsWith(written)).map((head) => head.slice(written.length));
    const mask = new Int32Array(Math.ceil(this.count / 32));
    this.texts.forEach((text, id) => {
      if (text !== "" && rests.some((rest) => rest.startsWith(text))) mask[id >> 5]! |= 1 << (id & 31);
    });
    return mask.some((word) => word !== 0) ? mask : null;
  }
}
