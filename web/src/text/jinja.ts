/**
 * Jinja as transformers renders it.
 *
 * @huggingface/jinja follows JavaScript in places: it prints None as nothing and True as `true`, has no text filters for
 * what is no text, no `map` with a filter, no loops over what is undefined, trims JavaScript's white space, and has its numbers. So each such
 * place of a parsed template is replaced, most by a call of a function below. Their names hold a space: no template can mean
 * them by accident.
 */

import { Template } from "@huggingface/jinja";
import { placeExactNumbers } from "./exact_numbers";
import { dumps, type JsonLayout, str, strip, type Value } from "./python";
import { render, workFor } from "./template_work";

const TEXT_FILTERS: Record<string, (text: string) => string> = {
  trim: strip,
  upper: (text) => text.toUpperCase(),
  lower: (text) => text.toLowerCase(),
  string: (text) => text,
};

// An undefined variable is an empty one here. Python asks for the methods, and Jinja's undefined has them all.
const CONTAINERS = ["UndefinedValue", "StringValue", "ArrayValue", "TupleValue", "ObjectValue"];
const CONTAINER_TESTS = ["iterable", "sequence"];

/** Each takes a list with one value: what is in a list comes as the library has it, with its type. */
const FUNCTIONS = {
  "is container": ([value]: [Value]) => CONTAINERS.includes(value.type),
  "is no container": ([value]: [Value]) => !CONTAINERS.includes(value.type),
  "as text": ([value]: [Value]) => str(value),
  "filter text": ([value]: [Value], filter: string) => TEXT_FILTERS[filter]!(str(value)),
  "filter all": ([list]: [Value], filter: string) => (list.value as Value[]).map((value) => TEXT_FILTERS[filter]!(str(value))),
  "all as text": ([{ value }]: [Value]) => {
    if (typeof value === "string") return [...value];
    return Array.isArray(value) ? (value as Value[]).map(str) : [];
  },
  "as JSON": ([value]: [Value], keywords?: unknown) => dumps(value, layoutOf(keywords)),
};

/** Called first, with the messages of the template and a number of each kind, since only the library makes such. */
const PLACE_NUMBERS = "place numbers";

/** A node of the library's syntax tree. */
interface Node {
  type: string;
  [field: string]: unknown;
}

/** Fields that hold what a template writes out, one after the other. */
const BLOCKS = new Set(["body", "alternate", "defaultBlock"]);
/** Nodes of a block that write nothing themselves, or text that stays as it is. */
const NO_VALUES = new Set(["Set", "If", "For", "Macro", "CallStatement", "FilterStatement", "Break", "Continue", "Comment", "StringLiteral"]);

/**
 * Returns the function that renders the template, within `work` steps. Throws SyntaxError where it does not parse; rendering throws Error, also where it takes
 * more steps than that.
 */
export function compileTemplate(source: string): (variables: Record<string, unknown>, work?: number) => string {
  const template = new Template(source.replaceAll(/\r\n?/g, "\n"));
  rewrite(template.parsed);
  const place = parseExpression("f([messages, 0, 0.5])");
  child(place, "callee")["value"] = PLACE_NUMBERS;
  (template.parsed.body as unknown[]).unshift(place);
  return (variables, work = workFor(0)) => {
    const placeNumbers = ([messages, whole, real]: [Value, Value, Value]): string => {
      placeExactNumbers(variables["messages"], messages, whole, real);
      return "";
    };
    return render(template.parsed, { ...variables, ...FUNCTIONS, [PLACE_NUMBERS]: placeNumbers }, work);
  };
}

/** What the filter's keywords say, where it has such. */
function layoutOf(keywords: unknown): JsonLayout {
  if (!(keywords instanceof Map)) return {};
  const plain = ({ value }: Value): unknown => {
    return Array.isArray(value) ? (value as Value[]).map((item) => item.value) : (value ?? null);
  };
  return Object.fromEntries([...(keywords as Map<string, Value>)].map(([name, value]) => [name, plain(value)]));
}

/** Rewrites all that is below `value`; returns what takes its place. */
function rewrite(value: unknown): unknown {
  if (Array.isArray(value)) {
    value.forEach((item, index) => (value[index] = rewrite(item)));
    return value;
  }
  if (value instanceof Map) {
    const pairs = Array.from(value as Map<unknown, unknown>, ([key, item]) => [rewrite(key), rewrite(item)] as const);
    return new Map(pairs);
  }
  if (typeof value !== "object" || value === null) return value;
  const node = value as Node;
  for (const [field, child] of Object.entries(node)) {
    node[field] = rewrite(child);
    if (BLOCKS.has(field)) node[field] = (node[field] as Node[]).map((item) => (NO_VALUES.has(item.type) ? item : call("as text", item)));
  }
  return replacement(node);
}

/** The node itself, perhaps with other children, or another in its place. */
function replacement(node: Node): Node {
  switch (node.type) {
    case "FilterExpression":
      return replaceFilter(node);
    case "TestExpression": {
      if (!CONTAINER_TESTS.includes(child(node, "test")["value"] as string)) return node;
      return call(node["negate"] ? "is no container" : "is container", child(node, "operand"));
    }
    case "BinaryExpression":
      if (child(node, "operator")["value"] !== "~") return node;
      return Object.assign(node, { left: call("as text", child(node, "left")), right: call("as text", child(node, "right")) });
    case "For": {
      // `for x in list if test` has the list one level below.
      const [owner, field] = child(node, "iterable").type === "SelectExpression" ? [child(node, "iterable"), "lhs"] : [node, "iterable"];
      owner[field] = Object.assign(parseExpression("x | default([])"), { operand: owner[field] });
      return node;
    }
    default:
      return node;
  }
}

function replaceFilter(node: Node): Node {
  const filter = child(node, "filter");
  const operand = child(node, "operand");
  const name = filter.type === "Identifier" ? filter["value"] : child(filter, "callee")["value"];
  const args = (filter["args"] ?? []) as Node[];
  if (name === "tojson") {
    const dump = call("as JSON", operand);
    (dump["args"] as Node[]).splice(1, 1, ...args);
    return dump;
  }
  // With two arguments it joins an attribute.
  if (name === "join" && args.length < 2) return Object.assign(node, { operand: call("all as text", operand) });
  if (filter.type === "Identifier") return isTextFilter(name) ? call("filter text", operand, name) : node;
  const [inner] = args;
  const isMap = name === "map" && inner?.type === "StringLiteral" && isTextFilter(inner["value"]);
  return isMap ? call("filter all", operand, inner["value"] as string) : node;
}

function child(node: Node, field: string): Node {
  return node[field] as Node;
}

function isTextFilter(name: unknown): name is string {
  return typeof name === "string" && Object.hasOwn(TEXT_FILTERS, name);
}

/** `name([value], filter)`. */
function call(name: keyof typeof FUNCTIONS, value: Node, filter = ""): Node {
  const node = parseExpression(`f([0], ${JSON.stringify(filter)})`);
  child(node, "callee")["value"] = name;
  (node["args"] as Node[])[0]!["value"] = [value];
  return node;
}

/** Only the library's parser makes nodes. */
function parseExpression(source: string): Node {
  return new Template(`{{ ${source} }}`).parsed.body[0] as unknown as Node;
}
