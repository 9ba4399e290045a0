"""docs/models.md and its pictures say what `plan` says today."""
from xml.etree import ElementTree

import pytest

from compiler.plan_picture import draw_layers
from compiler.plan_text import giga, size
from compiler.setup.folders import PROJECT
from tests.fixtures.doc_figures import assert_figures, table
from tests.fixtures.real_configs import REAL_MODELS, real_plan

DOCS = PROJECT / "docs"
HOW_TO_UPDATE = "update it with: python build.py test -- tests/compiler/test_plan_docs.py --update-docs"


def comparison(plans: list[dict]) -> str:
    """Everything that is one number a model."""
    def row(title: str, value) -> list[str]:
        return [title, *(value(plan) for plan in plans)]

    def placed(place: str, context: str):
        return lambda plan: size(plan["placements"][place]["gpu_bytes"][context]) if place in plan["placements"] else "-"

    longest = [list(plan["kv_bytes"])[-1] for plan in plans]
    assert all(plan["placements"]["in_gpu_memory"]["gpu_bytes"] == plan["gpu_bytes"] for plan in plans)
    return table(["", *(plan["model"] for plan in plans)], [
        row("parameters", lambda plan: f"{plan['parameters'] / 1e9:.2f} B"),
        row("weights in q4", lambda plan: size(plan["bytes_by_quantization"]["q4"])),
        row("weights in q8", lambda plan: size(plan["bytes_by_quantization"]["q8"])),
        row("launches a decoded token", lambda plan: str(plan["launches_per_decoded_token"])),
        row("distinct kernels", lambda plan: str(plan["kernels"])),
        row("weights read a decoded token", lambda plan: f"{plan['weight_bytes_per_decoded_token'] / 1e9:.2f} GB"),
        row("multiply-accumulates a decoded token", lambda plan: giga(plan["macs_per_decoded_token"])),
        row("the same a prompt token", lambda plan: giga(plan["macs_per_prompt_token"])),
        row("the same without the skip", lambda plan: giga(plan["macs_per_prompt_token_without_skip"])),
        row("KV at 4096 tokens", lambda plan: size(plan["kv_bytes"]["4096"])),
        row("KV at 32768 tokens", lambda plan: size(plan["kv_bytes"]["32768"])),
        ["KV at full context", *(f"{size(plan['kv_bytes'][context])} at {context}" for plan, context in zip(plans, longest))],
        row("GPU memory at 4096 tokens", placed("in_gpu_memory", "4096")),
        row("GPU memory at 32768 tokens", placed("in_gpu_memory", "32768")),
        row("at 4096 tokens, per-layer embeddings outside", placed("outside", "4096")),
        row("at 32768 tokens, per-layer embeddings outside", placed("outside", "32768")),
        row("largest binding at 4096 tokens", lambda plan: size(plan["placements"]["in_gpu_memory"]["largest_binding_bytes"]["4096"])),
        row("longest context in 8 GiB", lambda plan: str(plan["placements"]["in_gpu_memory"]["fits_memory"]["8 GiB"] or "none")),
        row("longest context in 24 GiB", lambda plan: str(plan["placements"]["in_gpu_memory"]["fits_memory"]["24 GiB"] or "none")),
    ])


def kinds(plan: dict) -> str:
    """A line for each kind of layer."""
    found: dict[tuple, list[dict]] = {}
    for row in plan["layers"]:
        own = row["kv_source"] == row["layer"]
        key = (row["kind"].removesuffix("_attention"), "its own" if own else f"that of {row['kv_source']}", row["parameters"])
        found.setdefault(key, []).append(row)
    return table(["layer", "KV", "layers", "weights", "in q4", "KV at 32768", "launches", "read a token", "MACs, prompt"], [
        [kind.replace("full", "global"), source, str(len(rows)), f"{parameters / 1e6:.1f} M", size(rows[0]["bytes_by_quantization"]["q4"]),
         size(rows[0]["kv_bytes"]["32768"]), str(rows[0]["launches_per_decoded_token"]), size(rows[0]["weight_bytes_per_decoded_token"]),
         f"{rows[0]['macs_per_prompt_token'] / 1e6:.0f} M"]
        for (kind, source, parameters), rows in found.items()])


def figures() -> str:
    plans = [real_plan(model) for model in REAL_MODELS]
    parts = [comparison(plans)]
    for plan in plans:
        parts.append(f"## {plan['model']}\n\n![The layers of {plan['model']}]({plan['model']}.svg)\n\n{kinds(plan)}")
    return "\n\n".join(parts)


@pytest.mark.parametrize("model", REAL_MODELS)
def test_the_picture_is_what_plan_draws(model, update_docs):
    path, picture = DOCS / f"{model}.svg", draw_layers(real_plan(model))
    if update_docs:
        path.write_text(picture, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == picture, f"{path} is out of date; {HOW_TO_UPDATE}"


def test_the_page_holds_the_figures_of_plan(update_docs):
    assert_figures(DOCS / "models.md", figures(), update_docs, HOW_TO_UPDATE)


@pytest.mark.parametrize("model", REAL_MODELS)
def test_a_picture_has_a_bar_a_layer_and_an_arc_from_each_source_to_its_reader(model):
    svg = "{http://www.w3.org/2000/svg}"
    root, layers = ElementTree.fromstring(draw_layers(real_plan(model))), real_plan(model)["layers"]
    bars = [rect for rect in root.iter(f"{svg}rect") if rect.find(f"{svg}title") is not None]
    assert [bar.get("class").split()[0] for bar in bars] == [row["kind"].removesuffix("_attention") for row in layers]
    assert [bar.get("class").endswith("own") for bar in bars] == [row["kv_source"] == row["layer"] for row in layers]
    middle = [float(bar.get("x")) + float(bar.get("width")) / 2 for bar in bars]
    arcs = [(float(arc.get("d")[1:].split()[0]), float(arc.get("d").split()[-2])) for arc in root.iter(f"{svg}path")]
    assert arcs == [(middle[row["kv_source"]], middle[row["layer"]]) for row in layers if row["kv_source"] != row["layer"]]
