"""The short run of the fuzzer (README of the long one: tests/fuzz/__main__.py), and that it sees what it is for."""

import os
from collections import Counter

import pytest

from compiler.checkpoint import open_checkpoint
from compiler.errors import GemletError
from tests.fuzz import run as runner
from tests.fuzz import worker
from tests.fuzz.inputs import GGUF, Inputs
from tests.fuzz.worker import Trial

SEED, INPUTS, PLANS = 16, 4000, 60


def test_damaged_checkpoints_are_refused_by_name_or_read_right():
    result = runner.run(SEED, 0, INPUTS, PLANS)
    assert result.failures == []
    assert sum(result.counts.values()) == INPUTS
    outcomes = Counter()
    for (kind, outcome), count in result.counts.items():
        outcomes[kind] += count
        outcomes[outcome] += count
    kinds = {file if "." in file and not file.endswith((".gguf", ".safetensors")) else None for _, file, _ in worker_targets()}
    assert all(outcomes[kind] for kind in kinds - {None} | {"gguf", "safetensors"})
    assert min(outcomes["refused"], outcomes["same"], outcomes["other"]) > INPUTS // 20


def worker_targets():
    from tests.fuzz.inputs import TARGETS

    return TARGETS


def test_a_seed_gives_the_same_inputs_everywhere():
    first, second = Inputs(3), Inputs(3)
    assert [first.input(number) for number in range(300)] == [second.input(number) for number in range(300)]
    assert first.input(7) != Inputs(4).input(7)


@pytest.fixture
def trial(tmp_path) -> Trial:
    return Trial(Inputs(SEED), tmp_path, 0)


def test_the_sound_checkpoints_are_imported(trial):
    for checkpoint in (*GGUF, *trial.inputs.folders):
        trial.write_sound(checkpoint)
        assert open_checkpoint(trial.path(checkpoint)).tensors


@pytest.mark.parametrize("raised", [KeyError("rope_theta"), MemoryError(), GemletError("a message without any file")])
def test_a_traceback_and_a_message_without_a_file_count_as_failures(trial, monkeypatch, raised):
    def fail(path, values):
        raise raised

    trial.write_sound("folder")
    monkeypatch.setattr(worker, "import_checkpoint", fail)
    number = next(number for number in range(100) if trial.inputs.input(number).checkpoint == "folder")
    assert trial.outcome(number)[1] == "FAILED"


def test_an_input_that_ends_or_halts_the_worker_is_counted_and_the_next_ones_are_tried(tmp_path, monkeypatch):
    (tmp_path / "tests" / "fuzz").mkdir(parents=True)
    (tmp_path / "tests" / "fuzz" / "worker.py").write_text(
        "import os, sys, time\n"
        "for number in range(int(sys.argv[2]), int(sys.argv[2]) + int(sys.argv[3])):\n"
        "    print(number, flush=True)\n"
        "    if number == 1: os.abort()\n"
        "    if number == 3: time.sleep(60)\n"
        "    print('[\"gguf\", \"same\", \"\"]', flush=True)\n"
    )
    monkeypatch.setattr(runner, "PROJECT", tmp_path)
    monkeypatch.setattr(runner, "SECONDS", 1)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path)]))
    result = runner.run(SEED, 0, 6)
    assert [number for number, *_ in result.failures] == [1, 3]
    assert sum(count for (_, outcome), count in result.counts.items() if outcome == "same") == 4
