/**
 * A JSON schema as a grammar, in xgrammar's EBNF: whatever the grammar allows, the schema allows.
 *
 * xgrammar has a converter of its own, but some of what its version 0.1.27 lets through is no JSON (control characters in strings of bounded length) or
 * breaks the schema (bounds of numbers; keys that come twice). What cannot be enforced is refused here by name. Of what a schema leaves open not all is
 * written: no properties that it does not list, listed ones in their order, whole numbers of at most 15 digits, white space as a model writes it, no
 * quotation marks, backslashes and line ends in strings that have a largest length.
 */

import { fail, isObject, show } from "../engine/check_fields";
import { MOST_RULES } from "./grammar_limits";
import { BASE, FORMATS, MOST_CLASSES, PLAIN } from "./json_rules";
import { alternatives, oneOf, quoted } from "./literal_tree";
import { integerRange, numberRange } from "./number_range";
import { counts, isNote, isNumberFormat, isTextFormat, KEYWORDS, list, type Schema, typeOf, typesOf, wholeBounds } from "./schema_keywords";
import { References } from "./schema_references";

/** The grammar of JSON text that `schema` allows. `path`: its name in errors. Throws GemletError "bad-request" that names what is wrong or not enforced. */
export function schemaGrammar(schema: unknown, path: string): string {
  return new SchemaGrammar(schema, path).text();
}

/** Name of the whole schema, as a reference has it. */
const WHOLE = "#";

class SchemaGrammar {
  /** Rules by their expressions: what is said twice is compiled once. */
  private readonly rules = new Map<string, string>();
  /** Rule by the schema that is referred to, and what of them is still to be written. */
  private readonly referred = new Map<string, string>();
  private readonly due: { name: string; target: unknown }[] = [];
  private readonly references: References;
  /** The schema whose values those that are being written are, all of them; null: they are inside of such. */
  private whole: string | null = WHOLE;
  private written = "";

  constructor(
    private readonly root: unknown,
    private readonly path: string,
  ) {
    this.references = new References(root);
  }

  text(): string {
    const root = this.expression(this.root, this.path);
    for (let next = this.due.shift(); next; next = this.due.shift()) {
      this.whole = next.name;
      this.write(this.referred.get(next.name)!, this.expression(next.target, `${this.path}.${next.name}`));
    }
    this.references.checkRings(this.path);
    return `root ::= ${root}\n${this.written}${BASE}`;
  }

  /** A short expression, mostly a rule's name. */
  private expression(schema: unknown, path: string): string {
    if (schema === true) return "value";
    if (!isObject(schema)) return fail(path, "expected a schema that some value fits");
    const { $ref, anyOf, allOf } = schema;
    if ($ref !== undefined) return this.only(schema, ["$ref"], path), this.reference($ref, path);
    if (schema["const"] !== undefined || schema["enum"] !== undefined) return this.literals(schema, path);
    if (anyOf !== undefined) {
      this.only(schema, ["anyOf"], path);
      return this.rule(alternatives(list(anyOf, `${path}.anyOf`).map((each, i) => this.expression(each, `${path}.anyOf[${i}]`))));
    }
    if (allOf !== undefined) {
      this.only(schema, ["allOf"], path);
      const all = list(allOf, `${path}.allOf`);
      return all.length === 1 ? this.expression(all[0], `${path}.allOf[0]`) : fail(`${path}.allOf`, "more than one schema at once is not enforced; write them as one");
    }
    const types = typesOf(schema, path);
    this.only(schema, ["type", ...types.flatMap((each) => KEYWORDS[each]!)], path);
    return types.length === 0 ? "value" : this.rule(alternatives(types.map((each) => this.ofType(each, schema, path))));
  }

  /** Refuses keywords that would not be looked at. */
  private only(schema: Schema, looked: readonly string[], path: string): void {
    const other = Object.keys(schema).find((keyword) => schema[keyword] !== undefined && !looked.includes(keyword) && !isNote(keyword));
    if (other === undefined) return;
    const advice: Record<string, string> = { pattern: "; ask for the whole answer by `regex` or `grammar`", oneOf: "; use anyOf, which may not differ where no value fits two of them" };
    fail(`${path}.${other}`, `this keyword is not enforced here${advice[other] ?? ""}`);
  }

  private ofType(type: string, schema: Schema, path: string): string {
    switch (type) {
      case "string": return this.string(schema, path);
      case "integer": return this.number(schema, path, "integer", integerRange);
      case "number": return this.number(schema, path, "number", numberRange);
      case "object": return this.inside(() => this.object(schema, path));
      case "array": return this.inside(() => this.array(schema, path));
      default: return type;
    }
  }

  /** Its values hold others. */
  private inside(write: () => string): string {
    const { whole } = this;
    this.whole = null;
    const expression = write();
    this.whole = whole;
    return expression;
  }

  private number(schema: Schema, path: string, unbounded: string, range: typeof integerRange): string {
    const bounds = wholeBounds(schema, path);
    if (bounds.minimum === undefined && bounds.maximum === undefined) return unbounded;
    return range(bounds) ?? fail(path, "no whole number of 15 digits is within these bounds");
  }

  private string(schema: Schema, path: string): string {
    const { format } = schema;
    const [least, most] = counts(schema, "minLength", "maxLength", path);
    if (format === undefined || isNumberFormat(format)) {
      if (most === Infinity) return least === 0 ? "string" : `"\\"" ${PLAIN}{${least}} ${PLAIN}* (escape ${PLAIN}*)* "\\""`;
      return `"\\"" ${most <= MOST_CLASSES ? PLAIN : "char"}${repeated(least, most)} "\\""`;
    }
    if (!isTextFormat(format)) return fail(`${path}.format`, `expected ${Object.keys(FORMATS).join(", ")}, found ${show(format)}`);
    if (least > 0 || most < Infinity) fail(`${path}.format`, "a format and a length at once are not enforced");
    return `"\\"" ${FORMATS[format]} "\\""`;
  }

  private object(schema: Schema, path: string): string {
    const { properties = {}, required = [], additionalProperties = true } = schema;
    if (!isObject(properties)) return fail(`${path}.properties`, "expected an object");
    const names = new Set(Object.keys(properties));
    const unlisted = list(required, `${path}.required`, 0).find((name) => !names.has(name as string));
    if (unlisted !== undefined) fail(`${path}.required`, `${show(unlisted)} is not among the properties`);
    const [least, most] = counts(schema, "minProperties", "maxProperties", path);
    if (names.size > 0) {
      if (least > 0 || most < Infinity) fail(`${path}.${least > 0 ? "min" : "max"}Properties`, "a number of listed properties is not enforced");
      return this.listed(properties, new Set(required as string[]), path);
    }
    // A key may come twice, and counts once then.
    if (least > 1) fail(`${path}.minProperties`, "more than 1 is not enforced");
    if (additionalProperties === false || most === 0) return least === 0 ? '"{" ws "}"' : fail(`${path}.minProperties`, "no property is allowed");
    const member = `string colon ${this.expression(additionalProperties, `${path}.additionalProperties`)}`;
    const members = `${member} ("," ws ${member})${repeated(Math.max(0, least - 1), most - 1)} ws`;
    return `"{" ws ${least === 0 ? `(${members})?` : members} "}"`;
  }

  /** Listed properties in their order: `first` rules stand where none has been written yet, `rest` where some have. */
  private listed(properties: Schema, required: ReadonlySet<string>, path: string): string {
    let [first, rest] = ['""', "ws"];
    for (const [name, schema] of Object.entries(properties).reverse()) {
      const member = this.rule(`${literal(name)} colon ${this.expression(schema, `${path}.properties.${name}`)}`);
      const optional = !required.has(name);
      const [first_, rest_] = [`${member} ${rest}`, `"," ws ${member} ${rest}`];
      first = this.rule(optional ? `${first_} | ${first}` : first_);
      rest = this.rule(optional ? `${rest_} | ${rest}` : rest_);
    }
    return `"{" ws ${first} "}"`;
  }

  private array(schema: Schema, path: string): string {
    const { items = true, prefixItems = [] } = schema;
    const prefix = list(prefixItems, `${path}.prefixItems`, 0).map((each, i) => this.expression(each, `${path}.prefixItems[${i}]`));
    const [least, most] = counts(schema, "minItems", "maxItems", path);
    if (prefix.length > most) fail(`${path}.maxItems`, `prefixItems are ${prefix.length}`);
    const [few, many] = [Math.max(0, least - prefix.length), items === false ? 0 : most - prefix.length];
    if (few > many) fail(`${path}.minItems`, "so many items are not allowed");
    const all = prefix.join(' "," ws ');
    if (many === 0) return prefix.length > 0 ? `"[" ws ${all} ws "]"` : '"[" ws "]"';
    const item = this.expression(items, `${path}.items`);
    if (prefix.length > 0) return `"[" ws ${all} ("," ws ${item})${repeated(few, many)} ws "]"`;
    const some = `${item} ("," ws ${item})${repeated(Math.max(0, few - 1), many - 1)} ws`;
    return `"[" ws ${few === 0 ? `(${some})?` : some} "]"`;
  }

  private literals(schema: Schema, path: string): string {
    const keyword = schema["enum"] === undefined ? "const" : "enum";
    this.only(schema, [keyword, "type"], path);
    const values = keyword === "const" ? [schema["const"]] : list(schema["enum"], `${path}.enum`);
    const types = schema["type"] === undefined ? null : new Set(typesOf(schema, path));
    const fitting = values.filter((value) => types === null || types.has(typeOf(value)) || (types.has("number") && typeOf(value) === "integer"));
    if (fitting.length === 0) fail(`${path}.${keyword}`, "no value is of the schema's type");
    return this.rule(oneOf(fitting.map((value) => JSON.stringify(value)), (expression) => this.rule(expression)));
  }

  private reference(pointer: unknown, path: string): string {
    const { name, target } = this.references.follow(pointer, path);
    if (this.whole !== null) this.references.add(this.whole, name);
    const known = this.referred.get(name);
    if (known !== undefined) return known;
    const rule = `s${this.referred.size}`;
    this.referred.set(name, rule);
    this.due.push({ name, target });
    return rule;
  }

  private rule(expression: string): string {
    if (/^\w+$/.test(expression)) return expression;
    const known = this.rules.get(expression);
    if (known !== undefined) return known;
    const name = `r${this.rules.size}`;
    this.rules.set(expression, name);
    this.write(name, expression);
    return name;
  }

  private write(name: string, expression: string): void {
    this.written += `${name} ::= ${expression}\n`;
    if (this.rules.size + this.referred.size > MOST_RULES) fail(this.path, `its grammar has more than ${MOST_RULES} rules, which is the most that can be compiled here`);
  }
}

function repeated(least: number, most: number): string {
  return most === Infinity ? (least === 0 ? "*" : `{${least},}`) : `{${least},${most}}`;
}

/** The value's JSON text as a string of the grammar, whose escapes are JSON's own. */
function literal(value: unknown): string {
  return quoted(JSON.stringify(value));
}
