import { describe, expect, test, vi } from "vitest";
import type { Backend } from "../src/backend/backend";
import { BackendSlot } from "../src/engine/backend_slot";
import { GemletError } from "../src/errors";
import { FakeBackend } from "./fake_backend";

const LOST = new GemletError("device-lost", "the GPU was lost (reset)");

function slotOf(fallBack: ((failure: GemletError, signal: AbortSignal) => Promise<Backend>) | null) {
  const first = new FakeBackend([]);
  const onChange = vi.fn();
  return { first, onChange, slot: new BackendSlot(first, fallBack, onChange) };
}

describe("BackendSlot", () => {
  test("loads another backend once, tells of it, frees the first, and answers with it from then on", async () => {
    const second = new FakeBackend([]);
    const fallBack = vi.fn(async () => second);
    const { first, slot, onChange } = slotOf(fallBack);
    expect(await slot.current()).toBe(first);
    const replacing = [slot.replace(first, LOST), slot.current(), slot.replace(first, LOST)];
    expect(await Promise.all(replacing)).toEqual([second, second, second]);
    expect([fallBack.mock.calls.length, onChange.mock.calls, first.calls.includes("unload")]).toEqual([1, [[second]], true]);
    expect(await slot.current()).toBe(second);
  });

  test("tries again with the next request where the other backend did not load", async () => {
    const second = new FakeBackend([]);
    let tries = 0;
    const { first, slot } = slotOf(async () => {
      if (tries++ === 0) throw new GemletError("network", "no such file");
      return second;
    });
    await expect(slot.replace(first, LOST)).rejects.toThrow("no such file");
    expect(await slot.current()).toBe(first);
    expect(await slot.replace(first, LOST)).toBe(second);
  });

  test("passes on what is no failure of a GPU, and says what to do where nothing can take over", async () => {
    const wrong = new GemletError("bad-request", "chunks: wrong");
    const withFallBack = slotOf(async () => new FakeBackend([]));
    await expect(withFallBack.slot.replace(withFallBack.first, wrong)).rejects.toBe(wrong);
    const { first, slot } = slotOf(null);
    await expect(slot.replace(first, LOST)).rejects.toMatchObject({ code: "device-lost", message: "the GPU was lost (reset); load the model again" });
    expect(first.calls).toEqual([]);
  });

  test("ends the loading of another backend when it is unloaded", async () => {
    let signal: AbortSignal | undefined;
    const { first, slot } = slotOf((_, given) => new Promise(() => (signal = given)));
    void slot.replace(first, LOST);
    await Promise.resolve();
    await slot.unload();
    expect(signal!.aborted).toBe(true);
  });
});
