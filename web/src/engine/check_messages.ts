/** Checks of a conversation: messages, tools and variables of the template. */

import { type Check, check, fail, fields, isInteger, isObject, isText, json, jsonObject, listOf, show } from "./check_fields";
import type { ChatParams } from "./openai";
import { isShallow } from "./plain_data";

const text = check("text", (value) => typeof value === "string");
const name = check("text that is not empty", isText);
const flag = check("true or false", (value) => typeof value === "boolean");
const nothing = check("null", (value) => value === null);
const orNull =
  (item: Check): Check =>
  (value, path) =>
    value === null || item(value, path);

const isFunction = check('"function"', (value) => value === "function");
const part = fields({ type: check('"text": this engine takes no other kind of part', (value) => value === "text"), text });
const parts = listOf("{ type: \"text\", text }", part, 0);
const content: Check = (value, path) => (typeof value === "string" ? undefined : parts(value, path));
/** A role is right already where its message is checked. */
const role: Check = () => undefined;

const toolCall = fields({ type: isFunction, function: fields({ name, arguments: check("JSON text of an object", isJsonOfObject) }) }, { id: name });
const toolResponse = fields({ name, response: json });

const plainMessage = fields({ role, content }, { name });
const assistantMessage = fields(
  { role },
  {
    content: orNull(content),
    name,
    tool_calls: listOf("calls", toolCall),
    reasoning_content: text,
    tool_responses: listOf("{ name, response }", toolResponse),
    refusal: nothing,
    annotations: listOf("annotations", () => undefined, 0),
  },
);

const MESSAGES = new Map<unknown, Check>([
  ["system", plainMessage],
  ["developer", plainMessage],
  ["user", plainMessage],
  ["assistant", assistantMessage],
  ["tool", fields({ role, content, tool_call_id: name }, { name })],
]);

const message: Check = (value, path) => {
  const found = isObject(value) ? value["role"] : undefined;
  const checkMessage = isObject(value) ? MESSAGES.get(found) : fields({});
  if (!checkMessage) fail(`${path}.role`, `expected ${[...MESSAGES.keys()].map(show).join(", ")}, found ${show(found)}`);
  checkMessage(value, path);
};

const tool = fields({
  type: isFunction,
  function: fields(
    { name },
    { description: text, parameters: jsonObject, response: jsonObject, strict: flag },
  ),
});

const namedTool = fields({ type: isFunction, function: fields({ name }) });
const toolChoice: Check = (value, path) => {
  if (isObject(value)) return namedTool(value, path);
  if (!TOOL_CHOICES.includes(value as string)) fail(path, `expected ${TOOL_CHOICES.map(show).join(", ")} or a function, found ${show(value)}`);
};

const TOOL_CHOICES: readonly string[] = ["none", "auto", "required"];
/** OpenAI's. A model that can think does so or not. */
const EFFORTS: readonly string[] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/** Variables that the engine itself gives to a template. */
const OWN_VARIABLES = ["messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"];

const variables: Check = (value, path) => {
  jsonObject(value, path);
  const own = OWN_VARIABLES.find((each) => Object.hasOwn(value as object, each));
  if (own !== undefined) fail(`${path}.${own}`, "the engine sets this variable itself");
};

export const MESSAGES_CHECK = listOf("messages", message);
export const CHAT_CHECKS: Record<string, Check> = {
  tools: listOf("tools", tool, 0),
  tool_choice: toolChoice,
  modalities: check('["text"]: this engine answers in text', isListOfText),
  verbosity: check(
    '"medium": this engine does not change how much a model says; ask for that in a message',
    (value) => value === "medium",
  ),
  reasoning_effort: check(`one of ${EFFORTS.map(show).join(", ")}`, (value) => EFFORTS.includes(value as string)),
  thinking_budget: check("an integer of at least 0", (value) => isInteger(value) && value >= 0),
  chat_template_kwargs: variables,
  continue_final_message: flag,
};

/** Throws GemletError "bad-request" where `continue_final_message` has nothing to go on behind. */
export function checkContinuation({ messages, tool_choice = "auto", continue_final_message }: ChatParams): void {
  if (!continue_final_message) return;
  const path = `messages[${messages.length - 1}]`;
  const last = messages.at(-1)!;
  if (last.role !== "assistant") {
    fail(`${path}.role`, `continue_final_message goes on with an assistant's message: expected "assistant", found ${show(last.role)}`);
  }
  if (last.tool_calls) fail(`${path}.tool_calls`, "continue_final_message: behind calls comes a tool's answer; send it, or leave the calls out");
  if (last.content !== "" && !last.content?.length) {
    fail(`${path}.content`, `continue_final_message goes on behind the content: expected text, perhaps empty, or parts, found ${show(last.content)}`);
  }
  if (tool_choice !== "auto" && tool_choice !== "none") fail("tool_choice", 'continue_final_message goes on with text: expected "auto" or "none"');
}

function isListOfText(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((each) => each === "text");
}

function isJsonOfObject(value: unknown): boolean {
  if (typeof value !== "string") return false;
  try {
    const parsed: unknown = JSON.parse(value);
    return isObject(parsed) && isShallow(parsed);
  } catch {
    return false;
  }
}
