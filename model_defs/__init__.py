"""What the models are, as `tvm.relax.frontend.nn` modules: one folder a family.

A family offers `Config.from_dict(config)` (transformers' keys), `TextModel(config)` with the methods `decode`, `prefill`
and `tail` (docs/architecture.md, "Program"), `TextModel.caches()` and `TextModel.sources(parameter name)`.
"""
from . import gemma3, gemma4

FAMILIES = {"gemma3_text": gemma3, "gemma4_text": gemma4}
