/** What transformers' Jinja, which is Python's, prints for these templates; each was tried with jinja2 3.1. */

import { describe, expect, test } from "vitest";
import { ExactNumber, parseExactly } from "../src/text/exact_numbers";
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

/** As transformers' Jinja renders them, from what Python's json reads. */
describe("numbers of JSON text are Python's", () => {
  const messages = parseExactly(
    '[{"n":12345678901234567890,"m":12345678901234567891,"f":1.0,"e":1e5,"h":1e400,"z":-0,"zf":-0.0,"d":0.1234567890123456789,"big":1e16,' +
      '"bigger":123456789012345680.0,"small":1.50,"neg":-9007199254740993,"list":[1.0,null,true,"x",9007199254740993,{"a":2.0}],"max":9007199254740991,"t":1E-7,' +
      '"k":100000000000000000000.5}]',
  );

  test.each([
    ["{{ messages[0] }}",
      "{'n': 12345678901234567890, 'm': 12345678901234567891, 'f': 1.0, 'e': 100000.0, 'h': inf, 'z': 0, 'zf': -0.0, 'd': 0.12345678901234568, 'big': 1e+16, 'bigger': 1.2345678901234568e+17, 'small': 1.5, 'neg': -9007199254740993, 'list': [1.0, None, True, 'x', 9007199254740993, {'a': 2.0}], 'max': 9007199254740991, 't': 1e-07, 'k': 1e+20}"],
    ["{{ messages[0] | tojson }}",
      "{\"n\": 12345678901234567890, \"m\": 12345678901234567891, \"f\": 1.0, \"e\": 100000.0, \"h\": Infinity, \"z\": 0, \"zf\": -0.0, \"d\": 0.12345678901234568, \"big\": 1e+16, \"bigger\": 1.2345678901234568e+17, \"small\": 1.5, \"neg\": -9007199254740993, \"list\": [1.0, null, true, \"x\", 9007199254740993, {\"a\": 2.0}], \"max\": 9007199254740991, \"t\": 1e-07, \"k\": 1e+20}"],
    ["{{ messages[0].list | tojson(indent=2) }}",
      "[\n  1.0,\n  null,\n  true,\n  \"x\",\n  9007199254740993,\n  {\n    \"a\": 2.0\n  }\n]"],
    ["{{ messages[0].n ~ messages[0].f }}",
      "123456789012345678901.0"],
    ["{{ messages[0].list | join(',') }}|{{ messages[0].list | join }}",
      "1.0,None,True,x,9007199254740993,{'a': 2.0}|1.0NoneTruex9007199254740993{'a': 2.0}"],
    ["{% for k, v in messages[0] | dictsort %}{{ k }}={{ v }};{% endfor %}",
      "big=1e+16;bigger=1.2345678901234568e+17;d=0.12345678901234568;e=100000.0;f=1.0;h=inf;k=1e+20;list=[1.0, None, True, 'x', 9007199254740993, {'a': 2.0}];m=12345678901234567891;max=9007199254740991;n=12345678901234567890;neg=-9007199254740993;small=1.5;t=1e-07;z=0;zf=-0.0;"],
    ["{{ {'a': [1.0, {'b': []}], 'é': 'ü\n', 'B': none} | tojson(sort_keys=true, ensure_ascii=true, separators=[',', ':']) }}",
      "{\"B\":null,\"a\":[1.0,{\"b\":[]}],\"\\u00e9\":\"\\u00fc\\n\"}"],
    ["{{ [] | tojson(indent=2) }}{{ {} | tojson }}{{ {'a': {'b': [1]}} | tojson(indent=4) }}",
      "[]{}{\n    \"a\": {\n        \"b\": [\n            1\n        ]\n    }\n}"],
    ["{{ messages[0].n | string | length }}{{ messages[0].f | string }}",
      "201.0"],
    ["{{ 'abc' | join('-') }}",
      "a-b-c"],
    ["{{ messages[0].n is integer }}{{ messages[0].n is number }}{{ messages[0].f is number }}{{ messages[0].f is integer }}{{ messages[0].f is string }}{{ messages[0].n is mapping }}",
      "TrueTrueTrueFalseFalseFalse"],
  ])("%j", (template, rendered) => {
    expect(compileTemplate(template)({ messages })).toBe(rendered);
    // And again, since a template is compiled once.
    expect(compileTemplate(template)({ messages })).toBe(rendered);
  });

  test.each([
    '{"a":"12345678901234567890","b\\"1.0":["1.0",1.0,"\\\\",2.0],"\ue000":"\ue0001"}', '{"1.0":{"12345678901234567890":"\\u0031.0"}}', '{"__proto__":1.0,"a":1,"a":2.0}', "[]",
  ])("and text is text: %s", (text) => {
    const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value, (_, item: unknown) => (item instanceof ExactNumber ? Number(item.text) : item)));
    expect(plain(parseExactly(text))).toEqual(JSON.parse(text));
  });

  test("what is no JSON is refused", () => {
    for (const text of ["", "{", "01.0", "[1.0,]", "{'a':1.0}", "1.0.0"]) expect(() => parseExactly(text)).toThrow(SyntaxError);
  });
});
