import { describe, expect, test } from "vitest";
import type { AnswerDelta } from "../src/engine/openai";
import { chatShape, noPiece, usageOf } from "../src/engine/responses";
import { NO_ANSWER, withDelta, withoutHalfCalls } from "../src/page/answer_message";
import { addCall, type CallDelta } from "../src/text/call_delta";

const shape = chatShape("m", { tokenIds: false, logprobs: false });
const PIECES: CallDelta[] = [
  { index: 0, name: "f", arguments: "{", whole: false },
  { index: 0, arguments: '"a":{"b":1}', whole: false },
  { index: 1, name: "g", arguments: "{", whole: false },
  { index: 1, arguments: '"c":"☕"', whole: false },
  { index: 1, arguments: "}", whole: true },
];
const OUTCOME = {
  finishReason: "tool_calls", aborted: false, completionTokens: 9, thoughtTokens: 0, cachedTokens: 0, timeToFirstTokenMs: 1, prefillTokensPerSecond: 1, decodeTokensPerSecond: 1,
} as const;

/** What chunks say of the pieces. */
const deltas = (): AnswerDelta[] => PIECES.map((piece) => shape.chunk({ ...noPiece(), calls: [piece] }, null).choices[0]!.delta);

describe("Calls of a chat", () => {
  test("are streamed with id, type and name first, and then the arguments alone", () => {
    const [first, second, third] = deltas().map(({ tool_calls }) => tool_calls![0]!);
    expect(first).toEqual({ index: 0, id: expect.stringMatching(/^call-/), type: "function", function: { name: "f", arguments: "{" } });
    expect(second).toEqual({ index: 0, function: { arguments: '"a":{"b":1}' } });
    expect([third!.index, third!.function.name]).toEqual([1, "g"]);
  });

  test("are given whole, without one that broke off", () => {
    const all = { ...noPiece(), text: "call:f{a:{b:1}" };
    for (const piece of PIECES) addCall(all.calls, piece);
    const { message } = shape.whole(all, OUTCOME, usageOf(3, OUTCOME)).choices[0]!;
    expect(message.tool_calls).toEqual([{ id: expect.any(String), type: "function", function: { name: "g", arguments: '{"c":"☕"}' } }]);
    expect(message.content).toBe("call:f{a:{b:1}");
  });

  test("add up in the page to the message that can be sent again", () => {
    const answer = deltas().reduce(withDelta, NO_ANSWER);
    expect(answer.tool_calls!.map((call) => call.function)).toEqual([{ name: "f", arguments: '{"a":{"b":1}' }, { name: "g", arguments: '{"c":"☕"}' }]);
    expect(withoutHalfCalls(answer).tool_calls!.map((call) => call.function)).toEqual([{ name: "g", arguments: '{"c":"☕"}' }]);
    const half = deltas().slice(0, 2).reduce(withDelta, NO_ANSWER);
    expect(withoutHalfCalls(half)).toEqual({ role: "assistant", content: "" });
  });
});
