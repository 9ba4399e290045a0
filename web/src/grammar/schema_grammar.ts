/**
 * A JSON schema as a grammar, in xgrammar's EBNF: whatever the grammar allows, the schema allows.
 *
 * xgrammar has a converter of its own, but some of what its version 0.1.27 lets through is no JSON (control characters in strings of bounded length) or
 * breaks the schema (bounds of numbers; keys that come twice). What cannot be enforced is refused here by name. Of what a schema leaves open not all is
 * written: no properties that it does not list, listed ones in their order, whole numbers of at most 15 digits, white space of at most 20 characters, no
 * quotation marks, backslashes and line ends in strings that have a largest length.
 */

import { fail, isObject } from "../engine/check_fields";
import { BASE, FORMATS, MOST_CLASSES, PLAIN } from "./json_rules";
import { integerRange, numberRange } from "./number_range";
import { counts, inferredTypes, KEYWORDS, list, type Schema, typeOf, wholeBounds } from "./schema_keywords";

/** What says nothing about a value. */
const NOTES = ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id", "$defs", "definitions"];
/** The grammar of JSON text that `schema` allows. `path`: its name in errors. Throws GemletError "bad-request" that names what is wrong or not enforced. */
export function schemaGrammar(schema: unknown, path: string): string {
  return new SchemaGrammar(schema, path).text();
}

class SchemaGrammar {
  private readonly rules: string[] = [];
  /** Rule by the pointer of a `$ref`. */
  private readonly references = new Map<string, string>();
  private named = 0;

  constructor(
    private readonly root: unknown,
    private readonly path: string,
  ) {}

  text(): string {
    const root = this.expression(this.root, this.path);
    return `root ::= ${root}\n${this.rules.join("\n")}${BASE}`;
  }

  private expression(schema: unknown, path: string): string {
    if (schema === true) return "value";
    if (!isObject(schema)) return fail(path, "expected a schema that some value fits");
    const { $ref, anyOf, allOf, type } = schema;
    if ($ref !== undefined) return this.only(schema, ["$ref"], path), this.reference($ref, path);
    if (schema["const"] !== undefined || schema["enum"] !== undefined) return this.literals(schema, path);
    if (anyOf !== undefined) {
      this.only(schema, ["anyOf"], path);
      return union(list(anyOf, `${path}.anyOf`).map((each, i) => this.expression(each, `${path}.anyOf[${i}]`)));
    }
    if (allOf !== undefined) {
      this.only(schema, ["allOf"], path);
      const all = list(allOf, `${path}.allOf`);
      return all.length === 1 ? this.expression(all[0], `${path}.allOf[0]`) : fail(`${path}.allOf`, "more than one schema at once is not enforced; write them as one");
    }
    const types = type === undefined ? inferredTypes(schema) : list(typeof type === "string" ? [type] : type, `${path}.type`);
    const wrong = types.find((each) => typeof each !== "string" || !Object.hasOwn(KEYWORDS, each));
    if (wrong !== undefined) fail(`${path}.type`, `expected ${Object.keys(KEYWORDS).join(", ")}, found ${JSON.stringify(wrong)}`);
    this.only(schema, ["type", ...types.flatMap((each) => KEYWORDS[each as string]!)], path);
    return types.length === 0 ? "value" : union(types.map((each) => this.ofType(each as string, schema, path)));
  }

  /** Refuses keywords that would not be looked at. */
  private only(schema: Schema, looked: readonly string[], path: string): void {
    const other = Object.keys(schema).find((keyword) => schema[keyword] !== undefined && !looked.includes(keyword) && !NOTES.includes(keyword));
    if (other === undefined) return;
    const advice: Record<string, string> = { pattern: "; ask for the whole answer by `regex` or `grammar`", oneOf: "; use anyOf, which may not differ where no value fits two of them" };
    fail(`${path}.${other}`, `this keyword is not enforced here${advice[other] ?? ""}`);
  }

  private ofType(type: string, schema: Schema, path: string): string {
    switch (type) {
      case "string": return this.string(schema, path);
      case "integer": return within(integerRange(wholeBounds(schema, path)), path);
      case "number": return schema["minimum"] === undefined && schema["maximum"] === undefined ? "number" : within(numberRange(wholeBounds(schema, path)), path);
      case "object": return this.object(schema, path);
      case "array": return this.array(schema, path);
      default: return type;
    }
  }

  private string(schema: Schema, path: string): string {
    const { format } = schema;
    const [least, most] = counts(schema, "minLength", "maxLength", path);
    if (format === undefined) {
      if (most === Infinity) return least === 0 ? "string" : `"\\"" ${PLAIN}{${least}} ${PLAIN}* (escape ${PLAIN}*)* "\\""`;
      return `"\\"" ${most <= MOST_CLASSES ? PLAIN : "char"}${repeated(least, most)} "\\""`;
    }
    if (typeof format !== "string" || !Object.hasOwn(FORMATS, format)) fail(`${path}.format`, `expected ${Object.keys(FORMATS).join(", ")}, found ${JSON.stringify(format)}`);
    if (least > 0 || most < Infinity) fail(`${path}.format`, "a format and a length at once are not enforced");
    return `"\\"" ${FORMATS[format]} "\\""`;
  }

  private object(schema: Schema, path: string): string {
    const { properties = {}, required = [], additionalProperties = true } = schema;
    if (!isObject(properties)) return fail(`${path}.properties`, "expected an object");
    const names = Object.keys(properties);
    const unlisted = list(required, `${path}.required`, 0).find((name) => !names.includes(name as string));
    if (unlisted !== undefined) fail(`${path}.required`, `${JSON.stringify(unlisted)} is not among the properties`);
    const [least, most] = counts(schema, "minProperties", "maxProperties", path);
    if (names.length > 0) {
      if (least > 0 || most < Infinity) fail(`${path}.${least > 0 ? "min" : "max"}Properties`, "a number of listed properties is not enforced");
      return this.listed(properties, new Set(required as string[]), path);
    }
    // A key may come twice, and counts once then.
    if (least > 1) fail(`${path}.minProperties`, "more than 1 is not enforced");
    if (additionalProperties === false || most === 0) return least === 0 ? '"{" ws "}"' : fail(`${path}.minProperties`, "no property is allowed");
    const member = `string ws ":" ws ${this.rule(this.expression(additionalProperties, `${path}.additionalProperties`))}`;
    const members = `${member} (ws "," ws ${member})${repeated(Math.max(0, least - 1), most - 1)} ws`;
    return `"{" ws ${least === 0 ? `(${members})?` : members} "}"`;
  }

  /** Listed properties in their order: `first` rules stand where none has been written yet, `rest` where some have. */
  private listed(properties: Schema, required: ReadonlySet<string>, path: string): string {
    let [first, rest] = ['""', '""'];
    for (const [name, schema] of Object.entries(properties).reverse()) {
      const member = this.rule(`${literal(name)} ws ":" ws ${this.expression(schema, `${path}.properties.${name}`)}`);
      const optional = !required.has(name);
      const [first_, rest_] = [`${member} ${rest}`, `ws "," ws ${member} ${rest}`];
      first = this.rule(optional ? `${first_} | ${first}` : first_);
      rest = this.rule(optional ? `${rest_} | ${rest}` : rest_);
    }
    return `"{" ws ${first} ws "}"`;
  }

  private array(schema: Schema, path: string): string {
    const { items = true, prefixItems = [] } = schema;
    const prefix = list(prefixItems, `${path}.prefixItems`, 0).map((each, i) => this.expression(each, `${path}.prefixItems[${i}]`));
    const [least, most] = counts(schema, "minItems", "maxItems", path);
    if (prefix.length > most) fail(`${path}.maxItems`, `prefixItems are ${prefix.length}`);
    const [few, many] = [Math.max(0, least - prefix.length), items === false ? 0 : most - prefix.length];
    if (few > many) fail(`${path}.minItems`, "so many items are not allowed");
    const all = prefix.join(' ws "," ws ');
    if (many === 0) return `"[" ws ${all} ws "]"`;
    const item = this.rule(this.expression(items, `${path}.items`));
    if (prefix.length > 0) return `"[" ws ${all} (ws "," ws ${item})${repeated(few, many)} ws "]"`;
    const some = `${item} (ws "," ws ${item})${repeated(Math.max(0, few - 1), many - 1)} ws`;
    return `"[" ws ${few === 0 ? `(${some})?` : some} "]"`;
  }

  private literals(schema: Schema, path: string): string {
    const keyword = schema["enum"] === undefined ? "const" : "enum";
    this.only(schema, [keyword, "type"], path);
    const values = keyword === "const" ? [schema["const"]] : list(schema["enum"], `${path}.enum`);
    const types = schema["type"] === undefined ? null : [schema["type"]].flat();
    const fitting = values.filter((value) => types === null || types.some((type) => type === typeOf(value) || (type === "number" && typeOf(value) === "integer")));
    return fitting.length > 0 ? union(fitting.map(literal)) : fail(`${path}.${keyword}`, "no value is of the schema's type");
  }

  private reference(pointer: unknown, path: string): string {
    if (typeof pointer !== "string" || !/^#(\/|$)/.test(pointer)) return fail(`${path}.$ref`, `expected a pointer into this schema, such as "#/$defs/name", found ${JSON.stringify(pointer)}`);
    const known = this.references.get(pointer);
    if (known !== undefined) return known;
    let target: unknown = this.root;
    for (const part of pointer.split("/").slice(1)) {
      const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
      target = isObject(target) && Object.hasOwn(target, key) ? target[key] : Array.isArray(target) ? target[Number(key)] : undefined;
    }
    if (target === undefined) fail(`${path}.$ref`, `there is no ${pointer} in this schema`);
    const name = this.newName();
    this.references.set(pointer, name);
    this.rules.push(`${name} ::= ${this.expression(target, `${this.path}.${pointer}`)}`);
    return name;
  }

  private rule(expression: string): string {
    const name = this.newName();
    this.rules.push(`${name} ::= ${expression}`);
    return name;
  }

  private newName(): string {
    return `r${this.named++}`;
  }
}

function within(range: string | null, path: string): string {
  return range ?? fail(path, "no whole number of 15 digits is within these bounds");
}

function repeated(least: number, most: number): string {
  return most === Infinity ? (least === 0 ? "*" : `{${least},}`) : `{${least},${most}}`;
}

/** The value's JSON text as a string of the grammar, whose escapes are JSON's own. */
function literal(value: unknown): string {
  return JSON.stringify(JSON.stringify(value));
}

function union(expressions: string[]): string {
  return expressions.length === 1 ? expressions[0]! : `(${expressions.map((each) => `(${each})`).join(" | ")})`;
}

