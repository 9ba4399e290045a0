"""Penalties, biases and logprobs of whole answers, on either backend, against the engine's own logits."""
import numpy as np
import pytest

from compiler.kernels import twins
from tests.fixtures.sites import EnginePage
from tests.fixtures.wasm_models import MODEL

PROMPT = [2, *(3 + 7 * i % 90 for i in range(30)), 7, 7]
# The engine's logits of a chunk and of a token differ by the order of their sums.
CLOSE = 1e-3


@pytest.fixture(scope="module", params=["wasm", "webgpu"])
def engine(request, browser, wasm_address):
    page = EnginePage(browser, wasm_address)
    page.load(MODEL, backend=request.param, activations="float", tuning="off")
    yield page
    page.close()


def adjusted(logits: np.ndarray, answer: list[int], presence=0.0, frequency=0.0, repetition=1.0, bias=None) -> np.ndarray:
    """As OpenAI and transformers define it, over the whole vocabulary."""
    seen = np.unique([*PROMPT, *answer])
    logits = twins.adjust(logits, seen, np.full(len(seen), repetition), np.zeros(len(seen)))
    counts = np.bincount(answer, minlength=len(logits)) if answer else np.zeros(len(logits))
    logits -= presence * (counts > 0) + frequency * counts
    for token, amount in (bias or {}).items():
        logits[token] += amount
    return logits


@pytest.mark.parametrize("settings", [dict(presence=2.0), dict(frequency=1.5), dict(repetition=1.7), dict(repetition=0.5),
                                      dict(presence=0.5, frequency=0.3, repetition=1.2, bias={9: 3.0, 70: -2.0, 311: 1.0})], ids=str)
def test_each_token_is_the_best_of_the_logits_as_they_are_adjusted(engine, settings):
    request = {f"{name}_penalty": value for name, value in settings.items() if name != "bias"} | {"logit_bias": settings.get("bias", {})}
    answer = engine.tokens(PROMPT, 14, **request)
    for count in range(len(answer)):
        expected = adjusted(np.array(engine.logits([*PROMPT, *answer[:count]])), answer[:count], **settings)
        assert expected[answer[count]] > expected.max() - CLOSE, f"token {count}"
    assert answer != engine.tokens(PROMPT, 14)


def test_a_bias_of_100_forces_a_token_and_one_of_minus_100_bans_it(engine):
    plain = engine.tokens(PROMPT, 6)
    assert engine.tokens(PROMPT, 6, logit_bias={"40": 100}, temperature=1.0, seed=3) == [40] * 6
    assert set(plain).isdisjoint(engine.tokens(PROMPT, 30, logit_bias={str(token): -100 for token in plain}, temperature=1.0, seed=3))


def test_logprobs_are_those_of_the_models_own_logits_whatever_is_drawn(engine):
    request = dict(prompt=PROMPT, max_tokens=10, ignore_eos=True, return_token_ids=True, temperature=1.5, seed=5, logprobs=20, logit_bias={"40": 8}, top_k=30)
    choice = engine.complete(**request)["choices"][0]
    answer, found = choice["token_ids"], choice["logprobs"]
    assert 40 in answer and len(answer) == len(found["tokens"]) == 10
    for count, token in enumerate(answer):
        logits = np.array(engine.logits([*PROMPT, *answer[:count]]), np.float64)
        expected = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        assert abs(found["token_logprobs"][count] - expected[token]) < CLOSE
        # Two tokens of one text, a character and its byte, share a name: the likelier has it.
        top, best = sorted(found["top_logprobs"][count].values()), np.sort(expected)[-20:]
        assert 10 < len(top) and abs(top[-1] - best[-1]) < CLOSE and np.abs(np.subtract.outer(top, best)).min(axis=1).max() < CLOSE


@pytest.mark.parametrize("sampling", [dict(temperature=0), dict(temperature=1.5, seed=7), dict(temperature=1.0, seed=8, top_k=20, top_p=0.9, min_p=0.01)], ids=str)
def test_what_is_only_looked_at_changes_no_token(engine, sampling):
    plain = engine.tokens(PROMPT, 20, **sampling)
    assert engine.tokens(PROMPT, 20, logprobs=3, **sampling) == plain
    # A bias on a token that is never near.
    assert engine.tokens(PROMPT, 20, logit_bias={"3": 1e-9}, **sampling) == plain


def test_chats_have_logprobs_of_their_own_shape(engine):
    answer = engine.page.evaluate("""async () => await engine.chat.completions.create({
        messages: [{ role: "user", content: "hello" }], max_completion_tokens: 8, ignore_eos: true, seed: 2, logprobs: true, top_logprobs: 3, n: 1 })""")
    content = answer["choices"][0]["logprobs"]["content"]
    assert len(content) == answer["usage"]["completion_tokens"] == 8
    for token in content:
        assert len(token["top_logprobs"]) == 3 and token["logprob"] <= token["top_logprobs"][0]["logprob"] < 0
        assert all(0 <= byte < 256 for byte in token["bytes"])
