"""Answers whose form a grammar says, of a model with random weights: what is drawn is JSON by its schema, whatever the model would rather write."""
import json
import re
import subprocess

import pytest

from compiler.setup.folders import ENVIRONMENT, REQUIREMENTS, WEB
from compiler.setup.node import ensure_node
from tests.fixtures.sites import EnginePage
from tests.fixtures.wasm_models import MODEL

EACH = 10
# The tests' tokenizer has 7 special tokens, then the bytes. Random weights would write hundreds of characters before they end a string that has no
# largest length, and nest values without end.
END_STRINGS = {str(7 + ord(character)): 6 for character in '"}]'}
# Each schema's answers, as a page asks for them: some whole, some streamed, at several temperatures.
ANSWERS = """async ([schemas, each, logit_bias]) => {
    const found = [];
    for (const [name, schema] of Object.entries(schemas)) {
        for (let seed = 0; seed < each; seed++) {
            const request = { prompt: [2, 7, 30 + seed], seed, temperature: [0.7, 1, 1.5][seed % 3], max_tokens: 3000, logit_bias,
                response_format: { type: "json_schema", json_schema: { name, schema, strict: true } } };
            let text = "", reason;
            if (seed % 2) {
                for await (const { choices } of await engine.completions.create({ ...request, stream: true })) {
                    text += choices[0].text;
                    reason = choices[0].finish_reason;
                }
            } else {
                const { choices } = await engine.completions.create(request);
                [text, reason] = [choices[0].text, choices[0].finish_reason];
            }
            found.push({ name, text, reason });
        }
    }
    return found;
}"""
VALIDATE = """
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
const { schemas, answers } = JSON.parse(readFileSync(0, "utf8"));
const ajv = new Ajv2020({ strict: false, validateFormats: false });
const validators = Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, ajv.compile(schema)]));
console.log(JSON.stringify(answers.filter(({ name, text }) => {
    try { return !validators[name](JSON.parse(text)); } catch { return true; }
})));
"""


@pytest.fixture(scope="module")
def engine(browser, wasm_address):
    page = EnginePage(browser, wasm_address)
    page.load(MODEL, backend="wasm")
    yield page
    page.close()


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict]:
    """Those of web/tests/schemas.json."""
    return json.loads((WEB / "tests" / "schemas.json").read_text(encoding="utf-8"))


def invalid(schemas: dict, answers: list[dict]) -> list[dict]:
    """The answers that are no JSON, or not by their schema, as ajv finds."""
    result = subprocess.run([ensure_node(ENVIRONMENT, REQUIREMENTS).node, "--input-type=module", "-e", VALIDATE], input=json.dumps({"schemas": schemas, "answers": answers}),
                            cwd=WEB, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def test_200_answers_under_20_schemas_all_parse_and_validate(engine, schemas):
    assert len(schemas) == 20
    answers = engine.page.evaluate(ANSWERS, [schemas, EACH, END_STRINGS])
    assert len(answers) == 20 * EACH
    assert [answer for answer in answers if answer["reason"] != "stop"] == []
    assert invalid(schemas, answers) == []
    # They differ, so that they tell more than one answer would.
    assert len({(answer["name"], answer["text"]) for answer in answers}) > 150


def answer(engine, **request) -> tuple[str, str]:
    choice = engine.complete(**{"prompt": [2, 7], "seed": 3, "max_tokens": 3000, **request})["choices"][0]
    return choice["text"], choice["finish_reason"]


def test_regexes_grammars_and_json_objects_are_whole_and_end_by_themselves(engine):
    for seed in range(10):
        text, reason = answer(engine, regex=r"(yes|no), [a-f]{2,4}\.", seed=seed)
        assert reason == "stop" and re.fullmatch(r"(yes|no), [a-f]{2,4}\.", text)
        text, reason = answer(engine, grammar='root ::= item ("; " item){1,3}\nitem ::= [0-9]{1,3} " é"', seed=seed)
        assert reason == "stop" and re.fullmatch(r"\d{1,3} é(; \d{1,3} é){1,3}", text)
    text, reason = answer(engine, response_format={"type": "json_object"}, temperature=1.5, logit_bias=END_STRINGS)
    assert reason == "stop" and isinstance(json.loads(text), dict)


def test_max_tokens_cuts_an_answer_short_with_length(engine):
    text, reason = answer(engine, regex="[ab]{40}", max_tokens=15)
    assert reason == "length" and re.fullmatch("[ab]{15}", text)


def test_penalties_biases_and_logprobs_go_with_a_grammar(engine):
    plain, _ = answer(engine, regex="[a-e]{12}", temperature=0)
    spread, _ = answer(engine, regex="[a-e]{12}", temperature=0, frequency_penalty=2.0)
    assert len(set(plain)) < len(set(spread))
    choice = engine.complete(prompt=[2, 7], regex="[ab]{3}", seed=1, logprobs=20, return_token_ids=True)["choices"][0]
    assert choice["finish_reason"] == "stop" and len(choice["token_ids"]) == 4 == len(choice["logprobs"]["tokens"]) + 1
    # The model's own, which knows of no grammar.
    assert all(len(top) > 10 for top in choice["logprobs"]["top_logprobs"])


def test_what_is_wrong_is_named_before_anything_is_drawn_and_the_next_request_works(engine):
    def refusal(request: str) -> str:
        failure = engine.failure(f"engine.completions.create({{ prompt: [2], {request} }})")
        assert failure["code"] == "bad-request"
        return failure["message"]

    assert re.match(r"grammar: the grammar is not valid: parser error at line 1", refusal("grammar: 'root ::='"))
    assert "regex: the regular expression is not valid: parsing error at position 3" in refusal("regex: '[a'")
    assert "response_format.json_schema.schema.pattern: this keyword is not enforced" in refusal(
        "response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'string', pattern: 'a' } } }")
    assert "regex: grammar says already" in refusal("grammar: 'root ::= \"a\"', regex: 'a'")
    assert "ignore_eos: regex ends the answer" in refusal("regex: 'a', ignore_eos: true")
    assert "response_format.type: expected" in refusal("response_format: { type: 'xml' }")
    assert answer(engine, regex="ab") == ("ab", "stop")


def test_chats_answer_by_a_schema_on_a_gpu_too(browser, wasm_address, schemas):
    page = EnginePage(browser, wasm_address)
    page.load(MODEL, backend="webgpu", tuning="off")
    names = ("person", "optional", "list", "choice")
    answers = page.page.evaluate("""async (schemas) => {
        const found = [];
        for (const [name, schema] of Object.entries(schemas)) {
            const { choices } = await engine.chat.completions.create({ messages: [{ role: "user", content: "hello" }], seed: 5, max_completion_tokens: 3000,
                response_format: { type: "json_schema", json_schema: { name, schema } } });
            found.push({ name, text: choices[0].message.content, reason: choices[0].finish_reason });
        }
        return found;
    }""", {name: schemas[name] for name in names})
    assert [each["reason"] for each in answers] == ["stop"] * len(names) and invalid(schemas, answers) == []
    page.close()


def test_what_knows_grammars_is_loaded_when_a_request_first_needs_it(browser, wasm_address):
    page = EnginePage(browser, wasm_address)
    asked = []
    page.page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.load(MODEL, backend="wasm")
    page.complete(prompt=[2, 7], max_tokens=2)
    assert not any("grammar" in file for file in asked) and any("worker" in file for file in asked)
    page.complete(prompt=[2, 7], max_tokens=2, regex="ab")
    assert sum("grammar" in file for file in asked) == 1
    page.close()
