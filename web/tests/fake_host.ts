/** A web host of artifacts, in the place of `fetch`: it answers ranges, and can break off or change what it sends. */

import type { Artifact } from "./fixture";

export const ORIGIN = "http://site.test";
export const FOLDER = `${ORIGIN}/models/recital/`;

type Bytes = Uint8Array<ArrayBuffer>;

interface Asked {
  file: string;
  range: string | null;
  ifRange: string | null;
  cache: RequestCache | undefined;
}

export class FakeHost {
  asked: Asked[] = [];
  /** "ignored": all is answered with the whole file. "refused": no answer, as where another origin does not allow the header. */
  ranges: "known" | "ignored" | "refused" = "known";
  etag: string | null = '"1"';
  /** Bytes of a body, by file, after which the connection is lost. */
  readonly breaks = new Map<string, number>();
  /** What is sent in place of a file's bytes. */
  change: (bytes: Bytes, file: string) => Bytes = (bytes) => bytes;
  /** Awaited before each answer. */
  before: () => Promise<void> = async () => undefined;

  constructor(public files: Artifact["files"]) {}

  fetch = async (url: string, { signal, headers, cache }: RequestInit): Promise<Response> => {
    signal?.throwIfAborted();
    const file = url.slice(FOLDER.length);
    const sent = new Headers(headers);
    const [range, ifRange] = [sent.get("Range"), sent.get("If-Range")];
    this.asked.push({ file, range, ifRange, cache });
    await this.before();
    if (range !== null && this.ranges === "refused") throw new TypeError("Failed to fetch");
    const bytes = this.change((this.files.get(file) as Bytes).slice(), file);
    const from = range !== null && this.ranges === "known" && (ifRange === null || ifRange === this.etag) ? Number(/^bytes=(\d+)-$/.exec(range)![1]) : null;
    if (from !== null && from >= bytes.length) return new Response("", { status: 416 });
    const answer = new Headers({ ...(this.etag !== null && { ETag: this.etag }) });
    if (from !== null) answer.set("Content-Range", `bytes ${from}-${bytes.length - 1}/${bytes.length}`);
    const body = this.body(bytes.subarray(from ?? 0), this.breaks.get(file));
    return new Response(body, { status: from === null ? 200 : 206, headers: answer });
  };

  /** Files that were asked for, in order. */
  get names(): string[] {
    return this.asked.map(({ file }) => file);
  }

  private body(bytes: Bytes, end: number | undefined): ReadableStream<Bytes> | Bytes {
    if (end === undefined) return bytes;
    const parts = [bytes.slice(0, end)];
    const pull = (controller: ReadableStreamDefaultController<Bytes>): void => {
      const part = parts.shift();
      if (part) controller.enqueue(part);
      else controller.error(new TypeError("network error"));
    };
    return new ReadableStream({ pull });
  }
}
