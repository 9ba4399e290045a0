"""The whole lowering: model definition -> Relax -> passes -> launches -> Program."""
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tvm
from tvm.relax.frontend import nn

from model_defs import FAMILIES
from model_defs.config import ConfigError

from .checkpoint import Checkpoint
from .errors import GemletError
from .kernels.adjust import adjust_kernel, list_words, mask_kernel, mask_words
from .kernels.kernel import ceil_div
from .kernels.linear_vector import shape_for
from .kernels.sample import sample_kernel
from .kernels.withhold import Ranges, withheld_table, withhold_kernel
from .passes.fuse_attention_inputs import fuse_attention_inputs
from .passes.fuse_attention_parts import fuse_attention_parts
from .passes.fuse_epilogue import fuse_epilogue
from .passes.fuse_experts_input import fuse_experts_input
from .passes.fuse_norm import fuse_norm
from .passes.fuse_vector_input import fuse_vector_input
from .passes.lower_linear import lower_linear
from .schedule.kv_plan import CachePlan, plan_caches
from .schedule.lookup_tables import lookup_tables
from .schedule.lower_operators import LOWERINGS
from .schedule.lower_step import Context, StepLowering, View
from .schedule.memory_plan import plan_memory
from .schedule.program import Buffer, Launch, Program, Table
from .state import CHUNKS, state_words
from .weights import Weight, pack_values, plan_weights

Pass = Callable[[tvm.IRModule], tvm.IRModule]
COMMON_PASSES: tuple[Pass, ...] = (lower_linear, fuse_attention_inputs, fuse_epilogue, fuse_norm)
# What only GPUs need: there a launch costs more than the same norm reckoned in every workgroup.
GPU_PASSES: tuple[Pass, ...] = (fuse_attention_parts, fuse_experts_input, fuse_vector_input)
PASSES = COMMON_PASSES + GPU_PASSES
DEFAULT_CONTEXT = 8192


@dataclass(frozen=True)
class Lowered:
    """The Program for GPUs and what it was made from. module: the steps after COMMON_PASSES, from which those for CPUs are made.
    withheld: (first, end) of ids that are never drawn."""

    program: Program
    module: tvm.IRModule
    weights: list[Weight]
    model: nn.Module
    caches: list[CachePlan]
    withheld: Ranges = ()

    @property
    def config(self):
        """The model definition's sizes."""
        return self.model.config


def lower_model(checkpoint: Checkpoint, quant: str, context: int | None, dump: Path | None = None,
                chunks: tuple[int, ...] = CHUNKS, withheld: Ranges = ()) -> Lowered:
    """The Program of a checkpoint; no weight is read.

    context: most tokens of a conversation (None: 8192, or what the model was trained for where that is less).
    dump: folder for the Relax after each pass and the Program as text. withheld: (first, end) of ids that must not be drawn. Raises GemletError for a configuration that the
    model definitions do not cover, or tensors that do not fit it.
    """
    family = FAMILIES[checkpoint.config["model_type"]]
    try:
        config = family.Config.from_dict(checkpoint.config)
    except ConfigError as error:
        raise GemletError(f"{checkpoint.path}: {error}") from error
    context = chosen_context(checkpoint, context, config.max_position_embeddings)
    model = family.TextModel(config)
    caches = plan_caches(model.caches(), context, max(chunks))
    module, parameters = export_steps(model, caches, chunks)
    write_dump(dump, "0-model", module.script)
    for index, apply in enumerate(PASSES, 1):
        module = apply(module)
        if apply is COMMON_PASSES[-1]:
            common = module
        write_dump(dump, f"{index}-{apply.__name__}", module.script)
    tables = lookup_tables(module, [name for name, _ in parameters])
    weights = plan_weights(model, parameters, checkpoint, quant, tables)
    program = lower_steps(module, model, weights, caches, context, chunks, withheld)
    program.check()
    write_dump(dump, "program", program.text)
    return Lowered(program, common, weights, model, caches, withheld)


def chosen_context(checkpoint: Checkpoint, context: int | None, trained: int) -> int:
    """The context to compile for; GemletError where it is more than the model was trained for, or nothing."""
    if context is None:
        return min(DEFAULT_CONTEXT, trained)
    if not 0 < context <= trained:
        raise GemletError(f"{checkpoint.path}: --context {context}; expected 1 to {trained}, what the model was trained for")
    return context


def export_steps(model, caches: list[CachePlan], chunks: tuple[int, ...]) -> tuple[tvm.IRModule, list]:
    """One Relax function a step: `decode`, `tail` and a `prefill_N` for each chunk size; and the parameters."""
    state = nn.spec.Tensor([state_words(max(chunks))], "int32")
    tensors = tuple(nn.spec.Tensor(list(plan.shape), "float32") for plan in caches)

    def tokens(count: int):
        return nn.spec.Tensor([count], "int32")

    handover = tuple(nn.spec.Tensor([1, width], "float32") for width in model.handover().values())
    module, parameters = model.export_tvm(spec={
        "decode": {"tokens": tokens(1), "state": state, "caches": tensors},
        "tail": {"handover": handover, "state": state, "caches": tensors}})
    for chunk in chunks:
        prefill, _ = model.export_tvm(spec={"prefill": {"tokens": tokens(chunk), "state": state, "caches": tensors}})
        module[f"prefill_{chunk}"] = prefill["prefill"].with_attr("global_symbol", f"prefill_{chunk}")
    return module, parameters


def lower_steps(module: tvm.IRModule, model, weights: list[Weight], caches: list[CachePlan], context: int,
                chunks: tuple[int, ...], withheld: Ranges = ()) -> Program:
    """Launches for every step, in shared scratch memory; `decode` is `decode_logits` and then the launches of `sample`."""
    sizes: dict[str, int] = {}
    roundings = {weight.name: weight.rounding for weight in weights if weight.rounding}
    tables = [weight for weight in weights if weight.is_table]
    lowering = Context({weight.name: weight.format for weight in weights}, roundings, frozenset(table.name for table in tables), caches, context,
                       sizes, {}, {})
    handover = {f"handover.{name}": width for name, width in model.handover().items()}
    inputs = {"tokens": "state", "state": "state", "caches": tuple(caches),
              "handover": tuple(View(name, (1, width), width) for name, width in handover.items())}
    names = [weight.name for weight in weights]

    def lower(step: str, results: list[str]) -> list[Launch]:
        return StepLowering(step, module[step], names, inputs, results, lowering, LOWERINGS).launches

    vocabulary = model.config.vocab_size
    block = shape_for(vocabulary).rows
    sample = [Launch(sample_kernel(vocabulary, block), ("logits", "peaks", "state"))]
    if withheld:
        table = lowering.constants["withheld"] = withheld_table(withheld, vocabulary, block)
        sample.insert(0, Launch(withhold_kernel(vocabulary, block, len(table)), ("logits", "peaks", "withheld")))
    steps = {f"prefill_{chunk}": lower(f"prefill_{chunk}", list(handover)) for chunk in chunks}
    adjust = [Launch(adjust_kernel(vocabulary), ("logits", "adjustments")),
              Launch(mask_kernel(vocabulary, block), ("logits", "peaks", "adjustments", "mask"))]
    decode = lower("decode", ["logits"])
    steps |= {"tail": lower("tail", ["logits"]), "sample": sample, "decode": decode + sample, "decode_logits": decode, "sample_adjusted": adjust + sample}
    steps, scratch = plan_memory(steps, sizes)
    buffers = [Buffer("state", "state", 4 * state_words(max(chunks))), Buffer("logits", "logits", 4 * vocabulary),
               Buffer("peaks", "activation", 4 * ceil_div(vocabulary, block)), Buffer("adjustments", "input", 4 * list_words(vocabulary)),
               Buffer("mask", "input", 4 * mask_words(vocabulary))]
    buffers += [buffer for weight in weights for buffer in weight.buffers()]
    buffers += [Buffer(name, "weight", table.nbytes) for name, table in lowering.constants.items()]
    buffers += [Buffer(name, "weight", 4 * pack_values(parts, weights)) for name, parts in lowering.packs.items()]
    buffers += [buffer for plan in caches for buffer in plan.buffers()]
    buffers += [Buffer(name, "activation", 4 * width) for name, width in handover.items()] + scratch
    bound = {name for launches in steps.values() for launch in launches for name in launch.buffers}
    placed = tuple(Table(table.shape[0], tuple(buffer.name for buffer in table.buffers() if buffer.name in bound), lowering.part(table.name, table.shape[0]))
                   for table in tables)
    return Program({buffer.name: buffer for buffer in buffers if buffer.name in bound}, steps, chunks, context, lowering.constants, placed,
                   lowering.packs)


def write_dump(folder: Path | None, name: str, text: Callable[[], str]) -> None:
    """Writes one stage of the lowering, where a dump is wanted."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text(text(), encoding="utf-8")
