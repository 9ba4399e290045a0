/** What a request says of the form of its answer. */

import type { GrammarSpec } from "../grammar/grammars";
import { schemaGrammar } from "../grammar/schema_grammar";
import { type Check, check, fail, fields, isObject, isText, jsonObject, show } from "./check_fields";
import type { SamplingParams } from "./openai";

const text = check("text that is not empty", isText);
const isType: Check = () => undefined; // it is right where the object is checked by it

const FORMATS = new Map<unknown, Check>([
  ["text", fields({ type: isType })],
  ["json_object", fields({ type: isType })],
  [
    "json_schema",
    fields({
      type: isType,
      json_schema: fields(
        { name: text, schema: jsonObject },
        {
          description: check("text", (value) => typeof value === "string"),
          strict: check("true or false: the schema is enforced in any case", (value) => typeof value === "boolean"),
        },
      ),
    }),
  ],
]);

const responseFormat: Check = (value, path) => {
  const type = isObject(value) ? value["type"] : undefined;
  const checkFormat = isObject(value) ? FORMATS.get(type) : fields({});
  if (!checkFormat) fail(`${path}.type`, `expected ${[...FORMATS.keys()].map(show).join(", ")}, found ${show(type)}`);
  checkFormat(value, path);
};

export const GRAMMAR_CHECKS = { response_format: responseFormat, grammar: text, regex: text };

/** Null where the answer is free. Throws GemletError "bad-request" where two fields contradict each other, or a schema cannot be enforced. */
export function grammarOf({ response_format, grammar, regex, ignore_eos }: SamplingParams): GrammarSpec | null {
  const found: GrammarSpec[] = [];
  if (response_format?.type === "json_object") found.push({ kind: "ebnf", text: schemaGrammar({ type: "object" }, ""), field: "response_format" });
  if (response_format?.type === "json_schema") {
    const field = "response_format.json_schema.schema";
    found.push({ kind: "ebnf", text: schemaGrammar(response_format.json_schema.schema, field), field });
  }
  if (grammar !== undefined) found.push({ kind: "ebnf", text: grammar, field: "grammar" });
  if (regex !== undefined) found.push({ kind: "regex", text: regex, field: "regex" });
  if (found.length > 1) fail(found[1]!.field, `${found[0]!.field} says already what the answer is to be; expected one of them`);
  if (found.length > 0 && ignore_eos) fail("ignore_eos", `${found[0]!.field} ends the answer by a stop token; expected one of them`);
  return found[0] ?? null;
}
