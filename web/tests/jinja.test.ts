/** What transformers' Jinja, which is Python's, prints for these templates; each was tried with jinja2 3.1. */

import { describe, expect, test } from "vitest";
import { compileTemplate } from "../src/text/jinja";

const VALUES = {
  nothing: null, yes: true, no: false, count: 3, half: 0.5, tiny: 1.5e-7, small: 0.00001, big: 2 ** 60, text: "a'b",
  list: [1, null, "x", [true]], object: { k: "v\n", n: null }, types: ["string", "null"], space: "\ufeff\x85 a \x1c\u3000",
};

describe("compileTemplate", () => {
  test.each([
    ["{{ nothing }}|{{ absent }}|{{ yes }}|{{ no }}", "None||True|False"],
    ["{{ count }} {{ half }} {{ tiny }} {{ small }} {{ big }} {{ count / 3 }}", "3 0.5 1.5e-07 1e-05 1152921504606846976 1.0"],
    ["{{ text }} {{ list }} {{ object }}", "a'b [1, None, 'x', [True]] {'k': 'v\\n', 'n': None}"],
    ["{{ [text, '\"', '\"\\'', 'a\\\\b\\t'] }}", "[\"a'b\", '\"', '\"\\'', 'a\\\\b\\t']"],
    ["{{ absent | upper }}|{{ nothing | upper }}|{{ yes | lower }}|{{ count | string }}|{{ types | upper }}", "|NONE|true|3|['STRING', 'NULL']"],
    ["{{ types | map('upper') | list }}{{ types | map('upper') | join(',') }}", "['STRING', 'NULL']STRING,NULL"],
    ["{{ [{'a': 1}] | map(attribute='a') | list }}", "[1]"],
    ["{{ 'a' ~ nothing ~ count ~ yes }}", "aNone3True"],
    ["[{{ space | trim }}]", "[\ufeff\x85 a]"],
    ["{% for x in list %}{{ x }}{{ ',' if not loop.last }}{% else %}none{% endfor %}", "1,None,x,[True]"],
    ["{% if nothing %}a{% elif no %}b{% else %}{{ nothing }}{% endif %}", "None"],
    ["{% macro m(x, y=none) %}{{ x }}{{ y }}{{ kwargs }}{% endmacro %}{{ m(1, z=2) }}", "1None{'z': 2}"],
    ["{% for x in absent %}{{ x }}{% else %}no {% endfor %}{% for x in list if x is string %}{{ x }}{% endfor %}", "no x"],
    ["{{ absent is iterable }}{{ object is iterable }}{{ text is not sequence }}{{ count is sequence }}{{ nothing is not iterable }}", "TrueTrueFalseFalseTrue"],
    ["{% set s %}{{ yes }}{% endset %}{{ s + '!' }}", "True!"],
    ["{% macro outer() %}[{{ caller() }}]{% endmacro %}{% call outer() %}{{ no }}{% endcall %}", "[False]"],
    ["a\r\n{%- if yes %}\r\nb\r\n{% endif %}\r\nc", "ab\nc"],
    ["{{ object | tojson }}{{ {'a': nothing} | tojson }}", '{"k": "v\\n", "n": null}{"a": null}'],
  ])("renders %j as Python does", (template, rendered) => {
    expect(compileTemplate(template)(VALUES)).toBe(rendered);
  });

  test("evaluates what it prints once", () => {
    const template = "{% set n = namespace(i=0) %}{% macro next() %}{% set n.i = n.i + 1 %}{{ n.i }}{% endmacro %}{{ next() }}{{ next() | trim }}{{ next() ~ '' }}";
    expect(compileTemplate(template)({})).toBe("123");
  });

  test("renders again and again", () => {
    const render = compileTemplate("{% set x = a | upper %}{{ x }}");
    expect([render({ a: "a" }), render({ a: null }), render({})]).toEqual(["A", "NONE", ""]);
  });

  test("throws what a template raises", () => {
    expect(() => compileTemplate("{{ raise_exception('no') }}")({})).toThrow("no");
    expect(() => compileTemplate("{{ a | nonsense }}")({ a: "a" })).toThrow("nonsense");
    expect(() => compileTemplate("{% for %}")).toThrow();
  });
});
