"""Which LM head a checkpoint's text model has: the one that transformers loads."""
import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from compiler.checkpoint import open_checkpoint
from compiler.checkpoint.tensor import Tensor
from compiler.checkpoint.tied_head import are_equal
from compiler.known_answer.products import Products
from compiler.known_answer.stored_weights import StoredWeights
from compiler.known_answer.text_model import TextModel
from compiler.pipeline import lower_model
from tests.fixtures.gguf_files import FIELDS, gemma3_tensors, write_gguf
from tests.fixtures.safetensors_files import GEMMA3, gemma3_model, write_folder

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
VISION = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=4, model_type="siglip_vision_model")
TEXT = GEMMA3 | {"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "layer_types": ["sliding_attention", "full_attention"]}
OUTER = {"model_type": "gemma3", "text_config": TEXT, "vision_config": VISION, "architectures": ["Gemma3ForConditionalGeneration"], "mm_tokens_per_image": 4}
IDS = [2, *map(int, np.random.default_rng(3).integers(3, GEMMA3["vocab_size"], 99))]


def tensors(prefix: str = "model.", head: str | None = HEAD, equal: bool = False) -> dict[str, torch.Tensor]:
    found = {name.replace("model.", prefix, 1): values.clone() for name, values in gemma3_model().state_dict().items() if name != HEAD}
    if head is not None:
        embedding = found[f"{prefix}embed_tokens.weight"]
        found[head] = embedding.clone() if equal else torch.randn(embedding.shape, generator=torch.Generator().manual_seed(5))
    return found


CASES = {  # config, tensors, whether the head has weights of its own
    "stated as tied, and differs": (TEXT | {"tie_word_embeddings": True}, tensors(), True),
    "not stated, and differs": (TEXT, tensors(), True),
    "stated as its own": (TEXT | {"tie_word_embeddings": False}, tensors(), True),
    "equal": (TEXT, tensors(equal=True), False),
    "equal, stated as its own": (TEXT | {"tie_word_embeddings": False}, tensors(equal=True), True),
    "absent": (TEXT, tensors(head=None), False),
    "a head without an embedding": (TEXT, {name: values for name, values in tensors().items() if name != EMBEDDING}, False),
    "bare names": (TEXT, tensors(""), True),
    "a head below model": (TEXT, tensors(head="model.lm_head.weight"), True),
    "a head that no text model has": (TEXT, tensors(head="language_model.lm_head.weight"), False),
    "multimodal": (OUTER, tensors("model.language_model."), True),
    "multimodal, older names": (OUTER, tensors("language_model.model.", "language_model.lm_head.weight"), True),
    "multimodal, stated as tied": (OUTER | {"tie_word_embeddings": True}, tensors("model.language_model."), True),
    "multimodal, absent, and its own by text_config alone": (
        OUTER | {"text_config": TEXT | {"tie_word_embeddings": False}}, tensors("language_model.model.", None), False),
    "multimodal, where no model has it": (OUTER, tensors("model.language_model.", "model.language_model.lm_head.weight"), False),
}


@pytest.mark.parametrize(("config", "held", "own"), CASES.values(), ids=CASES)
def test_the_head_is_the_one_of_transformers(tmp_path, config, held, own):
    write_folder(tmp_path, held, config)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.config["tie_word_embeddings"] is not own and (HEAD in checkpoint.tensors) is own
    reference = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        expected = reference(torch.tensor([IDS])).logits[0, -1].numpy()
    lowered = lower_model(checkpoint, "f32", None, chunks=(16,))
    found = TextModel(lowered.config, Products(StoredWeights(lowered.weights))).logits(IDS)[0]
    # About 1e3 roundings of the reference's float32 on values of order 1; 100 tokens are 84 beyond the window.
    assert np.abs(found - expected).max() < 2e-4


@pytest.mark.parametrize(("change", "own"), [(None, False), ("equal", False), ("differs", True)])
def test_a_gguf_files_output_is_the_head(tmp_path, change, own):
    held = gemma3_tensors()
    if change is not None:
        held["output.weight"] = held["token_embd.weight"] * (2 if change == "differs" else 1)
    write_gguf(tmp_path / "tiny.gguf", held, FIELDS)
    checkpoint = open_checkpoint(tmp_path / "tiny.gguf")
    assert checkpoint.config["tie_word_embeddings"] is not own and (HEAD in checkpoint.tensors) is own
    if own:
        np.testing.assert_array_equal(checkpoint.tensors[HEAD].values(), held["output.weight"])


def test_equality_goes_by_numbers_in_any_format(tmp_path):
    values = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float16)
    files = {"F16": values, "F32": values.astype(np.float32)}
    made = {}
    for kind, array in files.items():
        (tmp_path / kind).write_bytes(array.tobytes())
        made[kind] = Tensor("x", (5, 8), kind, tmp_path / kind, "x", 0)
    assert are_equal(made["F16"], made["F32"]) and are_equal(made["F16"], made["F16"])
    (tmp_path / "F32").write_bytes((files["F32"] * np.float32(1.0000001)).tobytes())
    assert not are_equal(made["F16"], made["F32"])


def test_minus_zero_is_zero(tmp_path):
    for name, zero in (("a", 0.0), ("b", -0.0)):
        (tmp_path / name).write_bytes(np.full((2, 2), zero, np.float32).tobytes())
    assert are_equal(*(Tensor("x", (2, 2), "F32", tmp_path / name, "x", 0) for name in "ab"))


def test_a_head_of_its_own_that_is_not_there_is_named(tmp_path):
    write_folder(tmp_path, tensors(head=None), TEXT | {"tie_word_embeddings": False})
    with pytest.raises(Exception, match=r"tensor lm_head\.weight is missing; expected shape \(40, 64\)"):
        lower_model(open_checkpoint(tmp_path), "f32", None, chunks=(16,))


def test_the_config_that_was_read_is_not_changed_by_opening_again(tmp_path):
    write_folder(tmp_path, tensors(), TEXT)
    assert open_checkpoint(tmp_path).config == open_checkpoint(tmp_path).config
    assert "tie_word_embeddings" not in json.loads((tmp_path / "config.json").read_text())
