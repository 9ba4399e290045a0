import { afterEach, describe, expect, test, vi } from "vitest";
import type { Manifest } from "../src/artifact/manifest";
import { ShardSource } from "../src/artifact/shard_source";
import { loadShards, type ShardSink } from "../src/artifact/shards";
import { type Artifact, makeArtifact } from "./fixture";

const FOLDER = "http://site.test/models/recital/";
const artifact = await makeArtifact("the weights of a recital");

type Bytes = Uint8Array<ArrayBuffer>;

/** Lets `fetch` answer from the artifact; `change` may replace a file's bytes (null: 404), `body` makes a response's body of them. */
function serve(
  { files }: Artifact,
  change: (file: string, bytes: Bytes) => Bytes | null = (_, bytes) => bytes,
  body: (bytes: Bytes) => BodyInit = (bytes) => bytes,
): void {
  vi.stubGlobal("fetch", async (url: string, { signal }: { signal: AbortSignal | null }) => {
    signal?.throwIfAborted();
    const file = url.slice(FOLDER.length);
    const bytes = change(file, (files.get(file) as Bytes).slice());
    return bytes ? new Response(body(bytes)) : new Response("", { status: 404, statusText: "Not Found" });
  });
}

/** The bytes in two parts, as a stream that is no byte stream. */
function asDefaultStream(bytes: Bytes): ReadableStream<Bytes> {
  const parts = [bytes.subarray(0, 7), bytes.subarray(7)];
  return new ReadableStream({ start: (controller) => (parts.forEach((part) => controller.enqueue(part)), controller.close()) });
}

/** Loads from the network alone; tests/store.test.ts has the store. */
async function loadInto(manifest: Manifest, sink: Pick<ShardSink, "write" | "flush">, onBytes: (count: number) => void = () => undefined, signal?: AbortSignal) {
  const source = new ShardSource(FOLDER, null, null, async () => false, onBytes);
  await loadShards(manifest, { weights: manifest.weights, stored: null, ...sink }, source, signal);
}

/** Loads into plain memory; gives the bytes of the one weight buffer. */
async function load(manifest: Manifest, signal?: AbortSignal): Promise<{ weight: Uint8Array; counted: number }> {
  const weight = new Uint8Array(manifest.buffers[2]!.bytes);
  let counted = 0;
  const write = (_: number, offset: number, bytes: Uint8Array): void => weight.set(bytes, offset);
  await loadInto(manifest, { write, flush: async () => undefined }, (count) => (counted += count), signal);
  return { weight, counted };
}

afterEach(() => vi.unstubAllGlobals());

describe("loadShards", () => {
  test("puts every piece in its place and counts every byte", async () => {
    serve(artifact);
    const { weight, counted } = await load(artifact.manifest);
    const [first, second] = artifact.manifest.shards.map(({ file }) => [...(artifact.files.get(file) as Uint8Array)]);
    expect([...weight]).toEqual([...first!, ...second!]);
    expect(counted).toBe(weight.length);
  });

  test("refuses a shard with one flipped bit, naming it and both hashes, and uses none of its bytes", async () => {
    const { file, sha256 } = artifact.manifest.shards[1]!;
    serve(artifact, (each, bytes) => {
      if (each === file) bytes[5]! ^= 1;
      return bytes;
    });
    const written: number[] = [];
    const loading = loadInto(artifact.manifest, { write: (_, offset) => void written.push(offset), flush: async () => undefined });
    await expect(loading).rejects.toThrow(new RegExp(`${file}: the shard is damaged: expected SHA-256 ${sha256}, found [0-9a-f]{64}`));
    expect(written).not.toContain(artifact.manifest.weights[0]!.pieces[1]![3]);
  });

  test("names address and status of a shard that is missing", async () => {
    const { file } = artifact.manifest.shards[0]!;
    serve(artifact, (each, bytes) => (each === file ? null : bytes));
    await expect(load(artifact.manifest)).rejects.toThrow(`${FOLDER}${file}: the server answered 404 Not Found`);
  });

  test.each([["shorter", 0, -4], ["longer", 0, 4]])("refuses a shard that is %s than stated", async (_, index, difference) => {
    const { file, bytes: stated } = artifact.manifest.shards[index]!;
    serve(artifact, (each, bytes) => {
      if (each !== file) return bytes;
      const other = new Uint8Array(stated + difference);
      other.set(bytes.subarray(0, other.length));
      return other;
    });
    await expect(load(artifact.manifest)).rejects.toMatchObject({ code: "bad-artifact", message: expect.stringContaining(`${stated}`) });
  });

  test("reads bodies of browsers that cannot read into memory of ours", async () => {
    const { file, bytes: stated } = artifact.manifest.shards[1]!;
    for (const more of [0, 4]) {
      serve(artifact, (each, bytes) => (each === file ? new Uint8Array([...bytes, ...new Array(more).fill(0)]) : bytes), asDefaultStream);
      const loading = load(artifact.manifest);
      if (more === 0) expect((await loading).counted).toBe(artifact.manifest.buffers[2]!.bytes);
      else await expect(loading).rejects.toThrow(`${file}: the file is longer than the ${stated} bytes`);
    }
  });

  test("stops with code aborted when the signal fires", async () => {
    serve(artifact);
    await expect(load(artifact.manifest, AbortSignal.abort())).rejects.toMatchObject({ code: "aborted" });
  });

  test("has at most two shards in flight", async () => {
    const many = structuredClone(artifact.manifest);
    const shard = many.shards[0]!;
    many.shards = new Array(7).fill(shard);
    many.weights[0]!.pieces = many.shards.map((_, i) => [i, 0, shard.bytes, 0]);
    let flying = 0;
    let most = 0;
    serve(artifact, (_, bytes) => {
      most = Math.max(most, ++flying);
      return bytes;
    });
    await loadInto(many, { write: () => undefined, flush: async () => void flying-- });
    expect([most, flying]).toEqual([2, 0]);
  });
});
