"""The known answer against transformers, which computes it a third time, and what it finds of kernels that are wrong."""
import json
from dataclasses import replace

import numpy as np
import pytest

from compiler.checkpoint import Checkpoint, open_checkpoint
from compiler.checkpoint.texts import tokenizer_json
from compiler.checkpoint.tokenizer import special_token_ids
from compiler.errors import GemletError
from compiler.known_answer import known_answer
from compiler.known_answer.answer import BEST, LAYER_STRIPES, STRIPES, stripes
from compiler.known_answer.prompt import LENGTH, known_prompt
from compiler.known_answer.stored_weights import StoredWeights
from compiler.package import compile_model
from compiler.pipeline import lower_model
from compiler.progress import SilentProgress
from compiler.quantize.format import GROUP
from tests.fixtures.dequantized import dequantized_weights, put_into
from tests.fixtures.gemma4_checkpoints import reference, reference_logits
from tests.fixtures.mobile_checkpoints import SHAPES, make_mobile, mobile_reference
from tests.fixtures.random_models import MODELS

# Of the largest value: transformers computes in float32, which is good to some 1e-6, and the answer has six digits.
BOUND = 1e-5


def answer_of(checkpoint: Checkpoint, quant: str, context: int | None = None) -> dict:
    tokenizer = tokenizer_json(checkpoint)
    lowered = lower_model(checkpoint, quant, context, chunks=(16,))
    return known_answer(lowered, tokenizer, special_token_ids(tokenizer, checkpoint.generation), SilentProgress())


def compare(answer: dict, logits: np.ndarray) -> None:
    """The answer against the logits [vocabulary] of the reference."""
    best, bound = dict(answer["best"]), BOUND * np.abs(logits).max()
    assert list(best) == np.argsort(-logits, kind="stable")[:BEST].tolist()
    assert np.abs(logits[[*best]] - [*best.values()]).max() < bound
    assert np.abs(stripes(logits[None].astype(np.float64), STRIPES)[0] - answer["stripes"]).max() < bound


@pytest.mark.parametrize("name", MODELS)
def test_it_is_what_transformers_computes_from_the_stored_weights(name, checkpoints):
    shape, quant = MODELS[name]
    answer = answer_of(open_checkpoint(checkpoints(shape)), quant)
    model = reference(checkpoints(shape))
    put_into(model, dequantized_weights(checkpoints(shape), quant), norm_offset=1.0 if shape == "gemma3" else 0.0)
    compare(answer, reference_logits(model, answer["ids"])[-1])


@pytest.mark.parametrize("shape", SHAPES)
def test_it_rounds_as_mobile_checkpoints_do(shape, tmp_path):
    make_mobile(tmp_path / shape, shape)
    answer = answer_of(open_checkpoint(tmp_path / shape), "auto")
    compare(answer, reference_logits(mobile_reference(tmp_path / shape), answer["ids"])[-1])


@pytest.mark.parametrize("shape", ["shared_kv", "gemma3"])
def test_layers_are_those_of_transformers(shape, checkpoints):
    answer = answer_of(open_checkpoint(checkpoints(shape)), "f32")
    model, outputs = reference(checkpoints(shape)), []
    for layer in model.model.layers:
        layer.register_forward_hook(lambda _layer, _inputs, output: outputs.append((output[0] if isinstance(output, tuple) else output)[0, -1].numpy()))
    reference_logits(model, answer["ids"])
    assert len(outputs) == len(answer["layers"]) == len(answer["tolerance"]["layers"])
    for found, expected in zip(answer["layers"], outputs):
        x = expected[None].astype(np.float64)
        assert np.abs(np.append(stripes(x, LAYER_STRIPES)[0], np.sqrt((x * x).mean())) - found).max() < BOUND * np.abs(x).max()


def test_the_same_model_gives_the_same_answer(checkpoints):
    checkpoint = open_checkpoint(checkpoints("experts_top8"))
    assert json.dumps(answer_of(checkpoint, "q4")) == json.dumps(answer_of(checkpoint, "q4"))


class WrongRow(StoredWeights):
    """One row of one matrix is that of its neighbour; or one block of columns is zero."""

    def __init__(self, weights, name: str, row: int | None):
        super().__init__(weights)
        self.name, self.row = name, row

    def rows(self, name, start, stop):
        values = super().rows(name, start, stop)
        if name == self.name and self.row is None:
            values[:, :GROUP] = 0
        elif name == self.name and start <= self.row < stop:
            values[self.row - start] = super().rows(name, self.row - 1, self.row)
        return values


WRONG = {"model.layers.0.self_attn.q_proj.weight": 5, "model.layers.1.self_attn.v_proj.weight": 11, "model.layers.2.self_attn.o_proj.weight": 63,
         "model.layers.1.mlp.gate_proj.weight": 95, "model.layers.2.mlp.down_proj.weight": 1, "model.embed_tokens.weight": 319}


@pytest.mark.parametrize("shape", ["shared_kv", "gemma3"])
@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("what", ["row", "columns"])
def test_a_wrong_row_or_block_of_columns_moves_it_beyond_the_tolerance(shape, name, what, checkpoints, monkeypatch):
    right = answer_of(open_checkpoint(checkpoints(shape)), "q8")
    monkeypatch.setattr("compiler.known_answer.answer.StoredWeights", lambda weights: WrongRow(weights, name, WRONG[name] if what == "row" else None))
    wrong = answer_of(open_checkpoint(checkpoints(shape)), "q8")
    for form in ("float", "int16"):
        values = dict(wrong["best"])
        moved = [abs(values.get(token, np.inf) - value) > right["tolerance"]["best"][form] for token, value in right["best"]]
        moved += [abs(a - b) > right["tolerance"]["stripes"][form] for a, b in zip(wrong["stripes"], right["stripes"])]
        assert any(moved), form


def test_the_prompt_begins_with_the_bos_and_has_ids_that_the_tokenizer_knows(checkpoints):
    checkpoint = open_checkpoint(checkpoints("plain"))
    tokenizer = tokenizer_json(checkpoint)
    tokens = special_token_ids(tokenizer, checkpoint.generation)
    ids = known_prompt(tokenizer, tokens, 320, 1300)
    assert (ids[0], len(ids), len(ids) % 2) == (tokens.bos, LENGTH, 1)
    assert max(ids) < 320 and len(set(ids)) > LENGTH // 2 and max(ids) - min(ids) > 250
    assert known_prompt(tokenizer, tokens, 320, 4) == ids[:4]
    assert max(known_prompt(tokenizer, tokens, 40, 1300)) < 40
    assert known_prompt(tokenizer, replace(tokens, bos=None, add_bos=False), 320, 1300) == [*ids[1:]]


def test_a_prompt_is_no_longer_than_the_context(checkpoints):
    assert len(answer_of(open_checkpoint(checkpoints("plain")), "f32", context=7)["ids"]) == 7


def test_without_weights_there_is_none(checkpoints, tmp_path):
    compile_model(open_checkpoint(checkpoints("plain") / "config.json"), tmp_path, "bare", "q8", 64, ("webgpu",), None, SilentProgress(), weights=False)
    assert json.loads((tmp_path / "models" / "bare" / "model.json").read_text())["known_answer"] is None


def test_numbers_that_are_not_finite_are_an_error(checkpoints, monkeypatch):
    monkeypatch.setattr("compiler.known_answer.products.Products.vector", lambda self, name: np.full(1, 1e200))
    with pytest.raises(GemletError, match="layer 0 of the prompt .* is not finite"), np.errstate(all="ignore"):
        answer_of(open_checkpoint(checkpoints("plain")), "f32")
