import { expect, test } from "vitest";
import { CallNames } from "../src/text/call_names";

const TEXTS = ["", "no", "now", "w", "{", "late", "r{", "r", "▁", "a", "now{x"];
const OPENING = [0, 0];

/** Texts of the tokens that may follow these; null: all. */
async function next(names: string[], ...written: string[]): Promise<string[] | null> {
  const mask = await new CallNames(names, TEXTS, 40, OPENING.length).after([...OPENING, ...written.map((text) => TEXTS.indexOf(text))]);
  return mask && TEXTS.filter((_, id) => mask[id >> 5]! & (1 << (id & 31)));
}

test("a name is one of those that there are, to its end, and no further", async () => {
  const names = ["now", "later"];
  expect(await next(names)).toEqual(["no", "now", "late"]);
  expect(await next(names, "no")).toEqual(["w"]);
  expect(await next(names, "no", "w")).toEqual(["{"]);
  expect(await next(names, "late")).toEqual(["r{", "r"]);
});

test("of two names of which one begins the other, both can be had", async () => {
  expect(await next(["now", "nowa"], "now")).toEqual(["{", "a"]);
});

test("behind the name, and where no token spells what comes next, all may follow", async () => {
  expect(await next(["now"], "now", "{")).toBeNull();
  expect(await next(["now", "later"], "late", "r{")).toBeNull();
  expect(await next(["ü"])).toBeNull();
  expect(await next(["a now"], "a")).toEqual(["▁"]);
});
