"""The inputs by number: which checkpoint, which of its files is damaged, and how. One seed gives the same inputs everywhere."""

from dataclasses import dataclass
from random import Random

from tests.fuzz import seeds
from tests.fuzz.gguf_parts import GGUFParts, damaged_gguf
from tests.fuzz.json_damage import damaged_json
from tests.fuzz.safetensors_parts import damaged_safetensors
from tests.fuzz.text_damage import damaged_index, damaged_readme, damaged_template

FOLDERS = {"folder": seeds.folder, "sharded": seeds.sharded, "gemma4": seeds.gemma4, "mobile": seeds.mobile}
GGUF = {"gguf3": 3, "gguf4": 4}
# (checkpoint, file, weight in the draw)
TARGETS = (
    *(("gguf3", "tiny.gguf", 8), ("gguf4", "tiny.gguf", 8)),
    *(("folder", "model.safetensors", 6), ("mobile", "model.safetensors", 3), ("sharded", "model-00001-of-00002.safetensors", 2)),
    ("sharded", "model.safetensors.index.json", 5),
    *(("folder", "config.json", 5), ("gemma4", "config.json", 5), ("mobile", "config.json", 4)),
    *(("folder", "tokenizer.json", 10), ("folder", "generation_config.json", 2), ("gemma4", "tokenizer_config.json", 3)),
    *(("folder", "chat_template.jinja", 6), ("folder", "README.md", 2), ("folder", "LICENSE", 1)),
)


@dataclass(frozen=True)
class Input:
    """file: the one that is damaged, of that checkpoint; content: what it holds then."""

    checkpoint: str
    file: str
    content: bytes

    @property
    def kind(self) -> str:
        """For the counts: GGUF, safetensors or the file's name."""
        suffix = self.file.rpartition(".")[2]
        return suffix if suffix in ("gguf", "safetensors") else self.file


class Inputs:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.folders = {name: make() for name, make in FOLDERS.items()}
        self.gguf: dict[str, GGUFParts] = {name: seeds.gguf(generation) for name, generation in GGUF.items()}

    def sound(self, checkpoint: str) -> dict[str, bytes]:
        """The files of the checkpoint as they are before any damage."""
        return {"tiny.gguf": self.gguf[checkpoint].written()} if checkpoint in GGUF else self.folders[checkpoint]

    def input(self, number: int) -> Input:
        random = Random(f"{self.seed} {number}")
        checkpoint, file, _ = random.choices(TARGETS, [weight for *_, weight in TARGETS])[0]
        if checkpoint in GGUF:
            return Input(checkpoint, file, damaged_gguf(self.gguf[checkpoint], random))
        content = self.folders[checkpoint][file]
        if file.endswith(".safetensors"):
            damaged = damaged_safetensors(content, random)
        elif file.endswith("index.json"):
            damaged = damaged_index(content, random)
        elif file.endswith(".json"):
            damaged = damaged_json(content, random)
        elif file.endswith(".jinja"):
            damaged = damaged_template(content, random)
        else:
            damaged = damaged_readme(content, random)
        return Input(checkpoint, file, damaged)
