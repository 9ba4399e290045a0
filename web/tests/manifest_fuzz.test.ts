/**
 * Manifests damaged at random, seeds fixed: each is refused by a GemletError that names the file, or is one that nothing stumbles over.
 * GEMLET_FUZZ_INPUTS=200000 npx vitest run tests/manifest_fuzz.test.ts is the long run.
 */

import { expect, test } from "vitest";
import { checkManifest } from "../src/artifact/check_manifest";
import type { Manifest } from "../src/artifact/manifest";
import { GemletError } from "../src/errors";
import { makeArtifact } from "./fixture";
import { problemOf } from "./manifest_problems";
import { random } from "./random";
import { wasmProgram } from "./wasm_fixture";

const INPUTS = Number(import.meta.env["GEMLET_FUZZ_INPUTS"] ?? 4000);
const SEED = Number(import.meta.env["GEMLET_FUZZ_SEED"] ?? 16);
const URL = "models/recital/model.json";
const { manifest } = await makeArtifact("abc");
const SOUND = { ...structuredClone(manifest), wasm: await wasmProgram(manifest), targets: ["webgpu", "wasm"] } as Manifest;

const NUMBERS = [0, 1, 2, 3, 7, 16, 64, 255, 4096, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53, 1e300, 0.5, -0.5];
const TEXTS = ["", "a", "../x", "https://example.org/x", "webgpu", "wasm", "__proto__", "state", "logits", "x".repeat(300), "\0"];

type Place = { holder: Record<string, unknown>; key: string };

/** All places below a value; of long lists the first ones. */
function places(value: unknown): Place[] {
  if (typeof value !== "object" || value === null) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).slice(0, 30).flatMap((key) => [{ holder, key }, ...places(holder[key])]);
}

function damaged(seed: number): { document: unknown; change: string } {
  const draw = random(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(draw() * items.length)]!;
  const oddValue = (): unknown => {
    const sign = draw() < 0.25 ? -1 : 1;
    return pick([sign * pick(NUMBERS), sign * pick(NUMBERS), pick(TEXTS), null, true, false, [], {}, [[]], [null], [0, 0, 0], [1, 1, 1, 1], { a: 1 }, "1"]);
  };
  const document = structuredClone(SOUND) as unknown;
  const changes = [];
  for (let left = draw() < 0.7 ? 1 : 3; left > 0; left--) {
    const { holder, key } = pick(places(document));
    const before = holder[key];
    const kind = Math.floor(draw() * 6);
    if (kind === 0) {
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
    } else if (kind === 1 && typeof before === "number") {
      holder[key] = pick([before + 1, before - 1, -before, before * 2, before + 0.5, String(before), [before]]);
    } else if (kind === 2 && Array.isArray(before)) {
      holder[key] = pick([[], [...before, ...before], before.slice(1), [...before].reverse(), [...before, null], { ...before }]);
    } else if (kind === 3) {
      holder[key] = structuredClone(pick(places(document)).holder);
    } else {
      holder[key] = oddValue();
    }
    changes.push(`${key}: ${JSON.stringify(before)?.slice(0, 60)} -> ${JSON.stringify(holder[key])?.slice(0, 60)}`);
  }
  return { document, change: changes.join("; ") };
}

test("the sound manifest passes", () => {
  expect(problemOf(checkManifest(structuredClone(SOUND), URL))).toBeUndefined();
});

test(`${INPUTS} damaged manifests are refused by name or are sound`, { timeout: 20_000 + INPUTS * 2 }, () => {
  const counts = { refused: 0, accepted: 0 };
  const failures = new Map<string, string>();
  for (let number = 0; number < INPUTS; number++) {
    const { document, change } = damaged(SEED * 1_000_003 + number);
    try {
      // As the engine has it: parsed from a text.
      const problem = problemOf(checkManifest(JSON.parse(JSON.stringify(document)), URL));
      counts.accepted += 1;
      if (problem !== undefined) failures.set(problem.replace(/\d+/g, "N"), `${number}: ${change}`);
    } catch (error) {
      counts.refused += 1;
      const isRefusal = error instanceof GemletError && error.code === "bad-artifact" && error.message.startsWith(URL);
      if (!isRefusal) failures.set(String(error), `${number}: ${change}\n${(error as Error).stack?.split("\n")[1]}`);
    }
  }
  console.log(`manifest: seed ${SEED}, ${INPUTS} inputs, ${counts.refused} refused, ${counts.accepted} accepted, ${failures.size} kinds of failure`);
  expect([...failures].map(([problem, example]) => `${problem} (${example})`)).toEqual([]);
  expect(Math.min(counts.refused, counts.accepted)).toBeGreaterThan(INPUTS / 20);
});
