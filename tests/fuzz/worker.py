"""The process that tries inputs one after the other. It says which it begins, so that the parent knows at which it hangs or dies."""

import argparse
import json
import resource
import shutil
import sys
import traceback
from functools import lru_cache
from pathlib import Path

if __name__ == "__main__":  # in a process of its own, since tests in this one may need torch
    sys.modules["torch"] = None  # type: ignore[assignment]  # TVM imports it where it finds it: seconds, for nothing

import compiler.checkpoint.template_choice  # noqa: E402
import compiler.checkpoint.tokenizer  # noqa: E402
from compiler.errors import GemletError  # noqa: E402
from compiler.plan import plan_model  # noqa: E402
from model_defs.config import ConfigError  # noqa: E402
from tests.fuzz.importing import difference, import_checkpoint, tokenizer_difference  # noqa: E402
from tests.fuzz.inputs import GGUF, Input, Inputs  # noqa: E402

EXTRA_MEMORY = 1 << 30
# Most inputs leave tokenizer and template as they were; what the same bytes are found to be is the same.
compiler.checkpoint.template_choice.check_template = lru_cache(16)(compiler.checkpoint.template_choice.check_template)
compiler.checkpoint.tokenizer._check = lru_cache(16)(compiler.checkpoint.tokenizer._check)


class Trial:
    """Imports inputs in folders of `place`, each checkpoint's sound files beside the damaged one."""

    def __init__(self, inputs: Inputs, place: Path, plans: int) -> None:
        self.inputs, self.place, self.plans = inputs, place, plans
        self.digests: dict[tuple[str, bool], str] = {}
        self.tried = self.accepted = 0

    def path(self, checkpoint: str) -> Path:
        return self.place / checkpoint / "tiny.gguf" if checkpoint in GGUF else self.place / checkpoint

    def write_sound(self, checkpoint: str) -> None:
        folder = self.place / checkpoint
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, content in self.inputs.sound(checkpoint).items():
            (folder / name).write_bytes(content)
        for values in (False, True):
            self.digests[checkpoint, values] = import_checkpoint(self.path(checkpoint), values).digest

    def outcome(self, number: int) -> tuple[str, str, str]:
        """(kind of file, outcome, detail): "refused" with the message, "same", "other", or "FAILED" with what is wrong."""
        tried = self.inputs.input(number)
        self.tried += 1
        if (tried.checkpoint, True) not in self.digests:
            self.write_sound(tried.checkpoint)
        place = self.place / tried.checkpoint / tried.file
        sound = self.inputs.sound(tried.checkpoint)[tried.file]
        place.write_bytes(tried.content)
        try:
            return (tried.kind, *self.imported(tried))
        finally:
            place.write_bytes(sound)

    def imported(self, tried: Input) -> tuple[str, str]:
        path = self.path(tried.checkpoint)
        try:
            of_weights = tried.kind in ("gguf", "safetensors")
            found = import_checkpoint(path, of_weights)
            if found.digest == self.digests[tried.checkpoint, of_weights]:
                return "same", ""
            # GGUFReader takes 20 ms a file, so that it is asked now and then.
            wrong = difference(found, path) if tried.kind == "safetensors" or self.tried % 8 == 0 else None
            if wrong is None and tried.file == "tokenizer.json":
                wrong = tokenizer_difference(tried.content, found.texts.tokenizer)
            if wrong is not None:
                return "FAILED", f"read otherwise than its library does: {wrong!r}"
            self.accepted += tried.file == "config.json" or tried.checkpoint in GGUF
            if self.plans and self.accepted % self.plans == 1:
                plan_model(found.checkpoint, "auto", None)
            return "other", ""
        except ConfigError as error:
            return ("refused", str(error)) if str(error).startswith("config: ") else ("FAILED", f"ConfigError: {error}")
        except GemletError as error:
            return ("refused", str(error)) if str(self.place) in str(error) else ("FAILED", f"names no file: {error}")
        except Exception as error:  # what the fuzzer is for
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/fuzz/" not in frame.filename] or [None]
            inner = [frame for frame in frames if frame and "/compiler/" in frame.filename] or frames
            where = f"{Path(inner[-1].filename).name}:{inner[-1].lineno}" if inner[-1] else "?"
            return "FAILED", f"{type(error).__name__} at {where}: {str(error)[:200]}"


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("seed", "first", "count", "plans"):
        parser.add_argument(name, type=int)
    parser.add_argument("place", type=Path)
    options = parser.parse_args()
    trial = Trial(Inputs(options.seed), options.place, options.plans)
    for checkpoint in (*GGUF, *trial.inputs.folders):
        trial.write_sound(checkpoint)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + EXTRA_MEMORY, used + EXTRA_MEMORY))
    for number in range(options.first, options.first + options.count):
        print(f"{number}", flush=True)
        kind, outcome, detail = trial.outcome(number)
        print(json.dumps([kind, outcome, detail]), flush=True)


if __name__ == "__main__":
    main()
