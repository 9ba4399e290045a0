"""Names of tensors in Hugging Face checkpoints: which are the text model's, and what these are called in it."""

from collections.abc import Iterable

from compiler.errors import GemletError

# Longest first: what stands before the names of the text model in the ways that its checkpoints are saved.
PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.", "")
OTHER_PARTS = ("vision_tower.", "audio_tower.", "embed_vision.", "embed_audio.", "multi_modal_projector.")
# What libraries put before all names: PEFT, torch's data parallelism, torch.compile.
WRAPPERS = ("base_model.model.", "module.", "_orig_mod.")
ADAPTED = (
    *(".lora_", "lora_A", "lora_B", "lora_magnitude", ".ia3_", ".oft_", ".hada_w"),
    *(".base_layer.", ".modules_to_save.", ".original_module."),
)
HEADS = ("lm_head.weight", "model.lm_head.weight")  # as transformers reads them
HEAD_OF_TEXT_PART = "language_model.lm_head.weight"  # as older multimodal checkpoints have it


def text_names(sources: Iterable[str], where: str) -> dict[str, str]:
    """Each tensor of the text model: the file's name -> the canonical one. Those of vision and audio are left out.

    Raises GemletError for tensors of an adapter, and where only some names have a library's prefix.
    """
    sources = list(sources)
    adapted = [name for name in sources if any(mark in name for mark in ADAPTED)]
    if adapted:
        raise GemletError(
            f"{where}: holds {len(adapted)} tensors of an adapter (LoRA), among them {', '.join(adapted[:3])}; they change "
            "what the model answers. Merge the adapter into its model first: merge_and_unload() of PEFT."
        )
    bare = _unwrapped(sources, where)
    in_text_part = any(name.startswith("language_model.") for name in bare.values() if name != HEAD_OF_TEXT_PART)
    in_text_part = in_text_part or any(name.startswith("model.language_model.") for name in bare.values())
    found = {}
    for source, name in bare.items():
        canonical = canonical_name(name)
        if canonical == "lm_head.weight" and name not in HEADS and not (name == HEAD_OF_TEXT_PART and in_text_part):
            canonical = f"model.{name}"  # transformers does not know such a head, so that it stays over
        if canonical is not None:
            found[source] = canonical
    return found


def canonical_name(source_name: str) -> str | None:
    """The tensor's name in the text model, or None for one of the vision or audio parts."""
    if source_name.removeprefix("model.").startswith(OTHER_PARTS):
        return None
    prefix = next(prefix for prefix in PREFIXES if source_name.startswith(prefix))
    rest = source_name.removeprefix(prefix)
    return rest if rest.startswith("lm_head.") else f"model.{rest}"


def _unwrapped(sources: list[str], where: str) -> dict[str, str]:
    """The names without what a library put before all of them."""
    bare = {name: name for name in sources}
    while sources:
        wrapped = {wrapper: [name for name in bare.values() if name.startswith(wrapper)] for wrapper in WRAPPERS}
        wrapper = next((wrapper for wrapper in WRAPPERS if wrapped[wrapper]), None)
        if wrapper is None:
            break
        if len(wrapped[wrapper]) != len(bare):
            other = next(name for name in bare.values() if not name.startswith(wrapper))
            raise GemletError(
                f"{where}: {len(wrapped[wrapper])} of {len(bare)} tensors begin with {wrapper}, such as {wrapped[wrapper][0]}, "
                f"and others do not, such as {other}. Save the model again, without what wraps it."
            )
        bare = {source: name.removeprefix(wrapper) for source, name in bare.items()}
    return bare
