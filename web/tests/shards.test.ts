import { afterEach, describe, expect, test, vi } from "vitest";
import type { Manifest } from "../src/artifact/manifest";
import { loadShards } from "../src/artifact/shards";
import { type Artifact, makeArtifact } from "./fixture";

const FOLDER = "http://site.test/models/recital/";
const artifact = await makeArtifact("the weights of a recital");

/** Lets `fetch` answer from the artifact; `change` may replace a file's bytes (null: 404). */
function serve({ files }: Artifact, change: (file: string, bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer> | null = (_, bytes) => bytes): void {
  vi.stubGlobal("fetch", async (url: string, { signal }: { signal: AbortSignal | null }) => {
    signal?.throwIfAborted();
    const file = url.slice(FOLDER.length);
    const bytes = change(file, (files.get(file) as Uint8Array<ArrayBuffer>).slice());
    return bytes ? new Response(bytes) : new Response("", { status: 404, statusText: "Not Found" });
  });
}

/** Loads into plain memory; gives the bytes of the one weight buffer. */
async function load(manifest: Manifest, signal?: AbortSignal): Promise<{ weight: Uint8Array; counted: number }> {
  const weight = new Uint8Array(manifest.buffers[2]!.bytes);
  let counted = 0;
  const sink = { write: (_: number, offset: number, bytes: Uint8Array) => weight.set(bytes, offset), flush: async () => undefined };
  await loadShards(manifest, FOLDER, sink, (count) => (counted += count), signal);
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
    const sink = { write: (_: number, offset: number) => void written.push(offset), flush: async () => undefined };
    const loading = loadShards(artifact.manifest, FOLDER, sink, () => undefined);
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
    const sink = { write: () => undefined, flush: async () => void flying-- };
    await loadShards(many, FOLDER, sink, () => undefined);
    expect([most, flying]).toEqual([2, 0]);
  });
});
