import { expect, test } from "vitest";
import { Conversations } from "../src/generate/conversations";
import { FakeBackend } from "./fake_backend";

const numbers = (count: number, from: number): number[] => Array.from({ length: count }, (_, i) => from + i);
const [A, B, C] = [100, 200, 300].map((from) => numbers(10, from)) as [number[], number[], number[]];

/** A backend, and what a request of these ids does with its caches: gives how many of them were held. */
function start(budget: number, backend = new FakeBackend([0])) {
  const conversations = new Conversations(budget);
  const ask = async (ids: number[], asked = backend): Promise<number> => {
    await conversations.bring(asked, ids);
    const shared = asked.kept.shared(ids);
    asked.start({ temperature: 0, top_k: 0, top_p: 1, min_p: 0, seed: 0, stop: [] }, shared);
    asked.kept.begin(shared);
    await asked.prefill({ ids: ids.slice(shared), blocks: [], size: 16 });
    asked.kept.hold(ids, ids.length);
    // What the caches really hold is what they are said to hold.
    expect(asked.prompts.at(-1)).toEqual(ids);
    return shared;
  };
  return { ask, backend, conversations };
}

test("a conversation goes on where it was after another took its place", async () => {
  const { ask } = start(100);
  expect([await ask(A), await ask(B), await ask([...A, 1]), await ask([...B, 2]), await ask([...A, 1, 3])]).toEqual([0, 0, 10, 10, 11]);
});

test("the least recently used goes first, and what is brought back is no copy any more", async () => {
  const { ask, backend } = start(20);
  backend.freeBytes = 20;
  for (const ids of [A, B, C]) await ask(ids);
  // A and B are aside; C takes the place of A, the older one, since B is wanted, and comes back.
  expect([await ask([...B, 1]), backend.freeBytes]).toEqual([10, 10]);
  // B has 11 tokens now, so that C cannot stay beside it.
  await ask(numbers(10, 400));
  expect(backend.freeBytes).toBe(9);
  expect([await ask([...B, 1, 2]), await ask(A), await ask(C)]).toEqual([11, 0, 0]);
});

test("a copy of which a request shares a part alone stays", async () => {
  const { ask, backend } = start(100, new FakeBackend([0], { window: 4 }));
  const long = numbers(40, 500);
  await ask(A);
  await ask([A[0]!, ...long]);
  // The rings have lost the beginning, so that one token of A is more than what they share.
  expect(await ask([A[0]!, 1, 2])).toBe(1);
  expect([backend.prompts.length, await ask([...A, 3]), await ask([A[0]!, ...long, 4])]).toEqual([3, 10, 41]);
});

test("the budget counts what is about to be brought back, which is not given up for what takes its place", async () => {
  const { ask, backend } = start(15);
  await ask(A);
  await ask(B);
  // Beside A there is no room for B.
  expect([await ask([...A, 1]), await ask(B)]).toEqual([10, 0]);
  expect(backend.freeBytes).toBe(Infinity);
});

test("what is larger than the budget is not kept, and takes no other's place", async () => {
  const { ask } = start(10);
  await ask(A);
  await ask(numbers(11, 200));
  expect(await ask(C)).toBe(0);
  expect(await ask([...A, 1])).toBe(10);
  const none = start(0);
  await none.ask(A);
  await none.ask(B);
  expect(await none.ask(A)).toBe(0);
});

test("where there is no memory for a copy, nothing is kept, and nothing fails", async () => {
  const { ask, backend } = start(100);
  backend.freeBytes = 5;
  await ask(A);
  await ask(B);
  expect([await ask(A), backend.freeBytes]).toEqual([0, 5]);
});

test("going on behind all that is held copies nothing", async () => {
  const { ask, backend } = start(100);
  backend.freeBytes = 100;
  await ask(A);
  await ask([...A, 1, 2]);
  expect(await ask([...A, 1, 2])).toBe(11); // the last token is computed anew, and is the same
  expect(backend.freeBytes).toBe(100);
});

test("of the turns of a conversation the newest is kept alone", async () => {
  const { ask, backend } = start(100);
  backend.freeBytes = 100;
  await ask([...A, 1]);
  await ask([...A, 2]); // another answer
  expect(backend.freeBytes).toBe(89);
  await ask([...A, 3]);
  expect(backend.freeBytes).toBe(89);
});

test("what was put aside in one backend is forgotten when another has taken over", async () => {
  const { ask, backend, conversations } = start(100);
  backend.freeBytes = 100;
  await ask(A);
  await ask(B);
  const next = new FakeBackend([0]);
  expect(await ask(A, next)).toBe(0);
  expect(backend.freeBytes).toBe(100);
  await ask(B, next);
  conversations.forget();
  expect(await ask(A, next)).toBe(0);
});
