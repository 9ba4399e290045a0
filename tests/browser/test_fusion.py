"""A decoded token with the passes that leave few launches, and without them: other kernels, the same logits."""
import numpy as np
import pytest

from compiler import pipeline
from compiler.checkpoint import open_checkpoint
from tests.fixtures.replay import Replay, replaying, write_program

ONE_TOKEN = {"fuse_attention_parts", "fuse_experts_input", "fuse_vector_input"}
CHUNK = 16
IDS = [2, 17, 5, 40, 63, 9, 33, 21]
# Both sum some hundred products a value, in other orders, through at most seven layers: logits of order 10 are off by some 1e-5.
TOLERANCE = 1e-4


def decoded(folder, page) -> np.ndarray:
    """Logits after each of IDS, decoded one by one: float32 [tokens, vocabulary]."""
    replay = Replay(page, folder)
    found = []
    for position, token in enumerate(IDS):
        replay.set_state(position, [token])
        launches = replay.manifest["steps"]["decode"][: -len(replay.manifest["steps"]["sample"])]
        replay.run("decode", 0, len(launches), replay.manifest["state"]["buffer"], 1)
        found.append(replay.logits())
    replay.close()
    return np.stack(found)


@pytest.mark.parametrize(("shape", "quant"), [("ple", "q8"), ("experts_top8", "q4"), ("gemma3", "f32")])
def test_fused_and_unfused_kernels_agree(shape, quant, checkpoints, browser, tmp_path, monkeypatch):
    checkpoint = open_checkpoint(checkpoints(shape))
    launches, logits = [], []
    with replaying(browser, tmp_path) as page:
        for passes in (pipeline.PASSES, tuple(each for each in pipeline.PASSES if each.__name__ not in ONE_TOKEN)):
            monkeypatch.setattr(pipeline, "PASSES", passes)
            folder = tmp_path / str(len(passes))
            folder.mkdir()
            write_program(checkpoint, folder, quant, 64, (CHUNK,))
            logits.append(decoded(folder, page))
            launches.append(len(pipeline.lower_model(checkpoint, quant, 64, chunks=(CHUNK,)).program.steps["decode"]))
    fused, unfused = logits
    assert launches[0] < 0.6 * launches[1]
    assert np.abs(fused - unfused).max() <= TOLERANCE and np.ptp(fused, axis=0).max() > 1
