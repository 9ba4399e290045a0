"""A whole model whose embedding has more rows than its tokenizer has tokens, at the end and between others, on both targets."""
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from compiler.serve import serving
from tests.browser.test_random_checkpoints import TOLERANCE, prompt
from tests.fixtures.gemma4_checkpoints import VOCABULARY, reference, reference_logits
from tests.fixtures.sites import EnginePage, add_model, add_page, manifest_of

# The tokenizer's ids from 290 on are unused ones.
WITHOUT = [290, 293, 294, *range(301, VOCABULARY)]
RANGES = [[290, 291], [293, 295], [301, VOCABULARY]]
MODEL = "more-rows"


@pytest.fixture(scope="module")
def checkpoint(checkpoints, tmp_path_factory):
    """Rows without a token have eight times the length of others, so that the largest logit is one of theirs."""
    folder = tmp_path_factory.mktemp("more_rows") / "checkpoint"
    shutil.copytree(checkpoints("plain"), folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"][WITHOUT] *= 8
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {token: number for token, number in vocabulary.items() if number not in WITHOUT}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.fixture(scope="module")
def address(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("more_rows_site")
    add_page(folder)
    model = add_model(folder, checkpoint, MODEL, "f32", targets=("webgpu", "wasm"))
    assert manifest_of(model)["tokenizer"]["without_text"] == RANGES
    with serving(folder) as url:
        yield url


@pytest.fixture(scope="module", params=["wasm", "webgpu"])
def engine(request, browser, address):
    page = EnginePage(browser, address)
    page.load(MODEL, backend=request.param, activations="float", tuning="off")
    yield page
    page.close()


def test_logits_of_such_rows_are_the_models_own_and_yet_none_is_drawn(engine, checkpoint):
    model = reference(checkpoint)
    answer = engine.tokens(prompt(), 12)
    expected = reference_logits(model, prompt() + answer)[len(prompt()) - 1 : -1]
    assert set(expected.argmax(axis=1)) <= set(WITHOUT), "the model draws others anyway"
    found = np.array(engine.logits(prompt()))
    # The longer rows have eight times the rounding.
    assert np.abs(found - expected[0]).max() <= 8 * TOLERANCE and found.argmax() in WITHOUT
    expected[:, WITHOUT] = -np.inf
    assert answer == expected.argmax(axis=1).tolist()


@pytest.mark.parametrize("fields", [dict(temperature=1.0), dict(temperature=2.0, top_k=300), dict(temperature=1.0, top_p=0.99), dict(temperature=1.0, min_p=0.01),
                                    dict(temperature=1.0, presence_penalty=1), dict(logit_bias={"289": 3}), dict(temperature=1.0, repetition_penalty=1.5),
                                    dict(regex=".{9,}"), dict(temperature=1.0, regex=".{9,}")], ids=str)
def test_no_kind_of_draw_takes_one_and_every_answer_has_its_text(engine, fields):
    common = dict(temperature=0, seed=3, ignore_eos="regex" not in fields)
    request = dict(prompt=prompt() + WITHOUT[:4], max_tokens=24, return_token_ids=True, **{**common, **fields})
    choice = engine.complete(**request)["choices"][0]
    assert set(choice["token_ids"]).isdisjoint(WITHOUT) and len(choice["token_ids"]) <= 24 and isinstance(choice["text"], str)


def test_the_likeliest_of_logprobs_are_of_those_that_can_be_drawn(engine):
    choice = engine.complete(prompt=prompt(), max_tokens=4, temperature=0, return_token_ids=True, logprobs=5, ignore_eos=True)["choices"][0]
    for token, own, top in zip(choice["logprobs"]["tokens"], choice["logprobs"]["token_logprobs"], choice["logprobs"]["top_logprobs"]):
        assert "" not in top and token in top and max(top.values()) == own


def test_a_bias_on_one_is_refused_by_name(engine):
    failure = engine.failure("engine.completions.create({ prompt: 'a', logit_bias: { 294: 100 } })")
    assert failure["code"] == "bad-request" and failure["message"].startswith("logit_bias.294: no token")
