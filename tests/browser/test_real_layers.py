"""One layer of each kind of every Gemma 4 model at its real sizes, in the browser against transformers' own layers.

Together the kinds are: sliding and global layers with KV of their own and sharing it, K = V, per-layer embeddings, the double-wide
MLP, 128 experts. Five tokens go through prefill (matrix-matrix kernels), the last of them through the layers that share KV
(tail), a sixth through decode (matrix-vector kernels).
Not here: prompts beyond the window (test_random_checkpoints.py has them, at small sizes), and in f32 the 26B-A4B and the 31B,
whose two layers would take 7 GB and 4 GB of weights.
"""
import shutil

import numpy as np
import pytest

from compiler.serve import serving
from tests.fixtures.replay import Replay

PROMPT, NEXT, CHUNK = [2, 40, 90, 7, 300], 33, 16
FORMATS = {"gemma-4-e2b": ["f32", "q4"], "gemma-4-e4b": ["f32", "q4"], "gemma-4-26b-a4b": ["q4"], "gemma-4-31b": ["q4"]}
# The project's bounds on the error of the hidden state, relative to its largest value. Float32 sums of up to 21504 products, in
# another order than the reference's, are off by about 1e-6 of it, with q4 weights as well: the reference has the same weights.
TOLERANCE = {"f32": 1e-4, "q4": 1e-3}


@pytest.fixture
def folder(tmp_path):
    """A folder that does not outlive the test: pytest would keep gigabytes for three sessions."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("model", FORMATS)
def test_hidden_states_equal_the_reference(model, browser, folder):
    # Only here: every collection of tests imports this file, and transformers takes seconds.
    from tests.fixtures.real_layers import compile_layers, hidden_states, write_checkpoint

    checkpoint = write_checkpoint(folder, model, seed=5)
    expected = hidden_states(checkpoint, [*PROMPT, NEXT])
    with_own_kv = len(expected) - checkpoint.config["num_kv_shared_layers"]
    last = len(PROMPT) - 1
    (folder / "blank.html").write_text("<!doctype html><title>blank</title>")
    with serving(folder) as address:
        for quant in FORMATS[model]:
            compile_layers(checkpoint, folder / quant, quant, CHUNK)
            replay = Replay(browser, address, quant)
            replay.run(f"prefill_{CHUNK}", 0, PROMPT)
            errors = {"prefill": relative_error(replay.read("handover.hidden"), expected[with_own_kv - 1, last])}
            replay.run("tail", 0, PROMPT)
            errors["tail"] = relative_error(replay.read(replay.head_input("tail")), expected[-1, last])
            replay.run("decode", len(PROMPT), [NEXT])
            errors["decode"] = relative_error(replay.read(replay.head_input("decode")), expected[-1, last + 1])
            replay.close()
            shutil.rmtree(folder / quant)
            assert max(errors.values()) <= TOLERANCE[quant], (quant, errors)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """`found` is a whole buffer, which may be longer."""
    return float(np.abs(found[:expected.size] - expected).max() / np.abs(expected).max())
