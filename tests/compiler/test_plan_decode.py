"""The plan of a decoded token by kind of work, and docs/performance.md, which shows it."""
import pytest

from compiler.plan_text import size
from compiler.setup.folders import PROJECT
from tests.fixtures.doc_figures import assert_figures, table
from tests.fixtures.real_configs import REAL_MODELS, mobile_plan, real_plan

PAGE = PROJECT / "docs" / "performance.md"
HOW_TO_UPDATE = "update it with: python build.py test -- tests/compiler/test_plan_decode.py --update-docs"
ON_THE_PAGE = ("gemma-4-e2b", "gemma-4-e4b", "gemma-4-26b-a4b")
# GB/s: a laptop's shared memory; a fast laptop or a small GPU; Apple's M4 Max.
BANDWIDTHS = (100, 273, 546)
# What a GPU loses at the boundary of two launches that depend on each other, microseconds: assumed, the middle of 5 to 7.
LAUNCH_MICROSECONDS = 6
MOVED = ("weight_bytes", "kv_bytes", "activation_bytes")


def total(rows: list[dict], *keys: str) -> int:
    return sum(row[key] for row in rows for key in keys)


@pytest.mark.parametrize("model", REAL_MODELS)
def test_work_adds_up_to_the_token(model):
    plan = real_plan(model)
    rows = plan["decode"]["work"]
    assert total(rows, "launches") == plan["launches_per_decoded_token"]
    assert total(rows, "weight_bytes") == plan["weight_bytes_per_decoded_token"]


@pytest.mark.parametrize("model", REAL_MODELS)
def test_a_token_reads_hardly_more_than_it_must(model):
    rows = real_plan(model)["decode"]["work"]
    # Weights: norm weights, scalars and rows of padding beside the matrices. The bound is the project's own.
    kv = total(rows, "kv_bytes")
    assert total(rows, "least_bytes") <= total(rows, "weight_bytes", "kv_bytes") <= 1.02 * total(rows, "least_bytes")
    # What passes between launches is little beside it.
    assert total(rows, "activation_bytes") <= 0.02 * total(rows, "least_bytes") and kv > 0


def test_attention_reads_the_window_and_a_block_more():
    (attention,) = [row for row in real_plan("gemma-4-e2b")["decode"]["work"] if row["work"] == "attention"]
    # 28 sliding layers with a window of 512, 7 global ones at 4096 tokens; one KV head of 256 and 512 values, float32.
    least = 2 * 4 * (28 * 512 * 256 + 7 * 4096 * 512)
    assert attention["least_bytes"] == least <= attention["kv_bytes"] <= least + 28 * 63 * 256 * 4


def work_table(plan: dict) -> str:
    rows = [[row["work"], str(row["launches"]), size(total([row], *MOVED)), size(row["least_bytes"]), size(row["activation_bytes"])]
            for row in plan["decode"]["work"]]
    work = plan["decode"]["work"]
    rows.append(["all", str(total(work, "launches")), size(total(work, *MOVED)), size(total(work, "least_bytes")), size(total(work, "activation_bytes"))])
    return table(["work", "launches", "bytes moved", "least possible", "of it between launches"], rows)


def milliseconds(plan: dict, bandwidth: float) -> tuple[float, float]:
    """What a token's bytes take at a bandwidth in GB/s, and what its launches cost."""
    return total(plan["decode"]["work"], *MOVED) / bandwidth / 1e6, plan["launches_per_decoded_token"] * LAUNCH_MICROSECONDS / 1e3


def roofline() -> str:
    plans = {"gemma-4-e2b, mobile": mobile_plan("gemma-4-e2b")} | {f"{model}, q4": real_plan(model) for model in ON_THE_PAGE}
    rows = []
    for title, plan in plans.items():
        for bandwidth in BANDWIDTHS:
            memory, launches = milliseconds(plan, bandwidth)
            rows.append([title, str(bandwidth), f"{memory:.2f}", f"{launches:.2f}", f"{1000 / (memory + launches):.0f}", f"{1000 / memory:.0f}"])
    return table(["model", "GB/s", "memory, ms", "launches, ms", "tokens/s", "without launches"], rows)


def figures() -> str:
    parts = [f"## Roofline\n\n{roofline()}"]
    for model in ON_THE_PAGE:
        plan = real_plan(model)
        parts.append(f"## {plan['model']}, a token at position {plan['decode']['tokens']}\n\n{work_table(plan)}")
    return "\n\n".join(parts)


def test_the_page_holds_the_figures_of_plan(update_docs):
    assert_figures(PAGE, figures(), update_docs, HOW_TO_UPDATE)
