import { describe, expect, test } from "vitest";
import { checkLoadRequest } from "../src/engine/check_load_request";

const REQUEST = { perLayerEmbeddings: "auto", tuning: "auto", activations: null, stepsInFlight: 4, conversationMemory: 0, threads: null, knownAnswer: "auto" } as const;

describe("checkLoadRequest", () => {
  test.each([
    {}, { perLayerEmbeddings: "gpu" as const }, { perLayerEmbeddings: "storage" as const }, { stepsInFlight: 1 },
    { tuning: "off" as const }, { tuning: { variant: 0 } }, { tuning: { milliseconds: 5e3 } }, { activations: "int8" as const }, { activations: "float16" as const }, { activations: "float" as const },
    { threads: 1 }, { threads: 16 }, { conversationMemory: 2 ** 33 }, { knownAnswer: "off" as const },
  ])("takes %j", (change) => {
    expect(() => checkLoadRequest({ ...REQUEST, ...change })).not.toThrow();
  });

  test.each([
    [{ perLayerEmbeddings: "disk" }, 'perLayerEmbeddings: expected "auto", "gpu" or "storage", found "disk"'],
    [{ perLayerEmbeddings: null }, 'perLayerEmbeddings: expected "auto", "gpu" or "storage", found null'],
    [{ perLayerEmbeddings: 1 }, 'perLayerEmbeddings: expected "auto", "gpu" or "storage", found 1'],
    [{ tuning: "on" }, 'tuning: expected "auto" or "off", found "on"'],
    [{ tuning: { variant: "a" } }, 'tuning: expected "auto" or "off", found {"variant":"a"}'],
    [{ tuning: { milliseconds: 0 } }, 'tuning: expected "auto" or "off", found {"milliseconds":0}'],
    [{ tuning: null }, 'tuning: expected "auto" or "off", found null'],
    [{ activations: "int4" }, 'activations: expected "float", "float16", "int16" or "int8", found "int4"'],
    [{ knownAnswer: false }, 'knownAnswer: expected "auto" or "off", found false'],
    [{ threads: 0 }, "threads: expected a whole number of at least 1, found 0"],
    [{ threads: "2" }, 'threads: expected a whole number of at least 1, found "2"'],
    [{ conversationMemory: -1 }, "conversationMemory: expected a whole number of bytes, 0 for none, found -1"],
    [{ conversationMemory: 0.5 }, "conversationMemory: expected a whole number of bytes, 0 for none, found 0.5"],
    [{ stepsInFlight: 0 }, "stepsInFlight: expected a whole number of at least 1, found 0"],
    [{ stepsInFlight: 1.5 }, "stepsInFlight: expected a whole number of at least 1, found 1.5"],
    [{ stepsInFlight: "2" }, 'stepsInFlight: expected a whole number of at least 1, found "2"'],
  ])("refuses %j by name", (change, message) => {
    expect(() => checkLoadRequest({ ...REQUEST, ...(change as object) })).toThrow(message);
  });
});
