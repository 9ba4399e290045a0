"""What is wrong with a checkpoint's tensors, and what of them has no place in the model: told before kernels are compiled."""
import re

import numpy as np

from .checkpoint import Checkpoint
from .errors import GemletError
from .weights import Weight

LISTED = 4  # names in a note
# What checkpoints repeat, and transformers leaves out in silence, too: K and V of layers that read those of others, and tables that are computed.
REPEATED = re.compile(r"model\.layers\.\d+\.self_attn\.([kv]_(proj|norm)\.weight|rotary_emb\.inv_freq)|model\.rotary_emb\.\w*inv_freq")


def left_out(checkpoint: Checkpoint, weights: list[Weight]) -> list[str]:
    """A note that names the tensors of the text model which the model definition has no place for, if there are any."""
    used = {tensor.name for weight in weights for tensor in weight.tensors}
    unknown = [tensor.source_name for name, tensor in checkpoint.tensors.items() if name not in used and not REPEATED.fullmatch(name)]
    if not unknown:
        return []
    names = ", ".join(unknown[:LISTED]) + (f" and {len(unknown) - LISTED} more" if len(unknown) > LISTED else "")
    return [f"{checkpoint.path}: tensors that a {checkpoint.config['model_type']} has no place for are left out: {names}."]


def check_norms(weights: list[Weight]) -> None:
    """Reads all vectors, which are small. Raises GemletError for one with NaN or infinity, and for a norm without a factor above 0."""
    for weight in weights:
        if weight.is_matrix or not weight.tensors:
            continue
        values = weight.values()
        if "norm" in weight.name and not (values > 0).any():
            tensor = weight.tensors[0]
            found = "zero" if not np.any(values) else "zero or negative"
            raise GemletError(f"{tensor.file}: tensor {tensor.source_name}: all {values.size} factors of the norm are {found}; expected some above 0. "
                              "The file is damaged; download it again.")
