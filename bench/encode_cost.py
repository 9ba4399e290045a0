"""What a decoded token of a real model costs the engine's own thread: encoding its launches, finishing and submitting them.

    python bench/encode_cost.py [--model gemma-4-e2b] [--tokens 400]

The Program is the real one, launch by launch and bind group by bind group, but its kernels do nothing and its buffers are small: so it
runs anywhere, and no GPU work is in the figures. The built engine (web/dist) runs it in headless Chromium, and two things are taken:

- in its worker, the time by the clock from creating a command encoder to the return of `submit`: encoding, finishing and submitting. A busy computer
  takes the processor away in between, so look at the lower percentiles as well;
- on Linux, the processor time of the worker's threads for a token, with all else that they do for it: reading it back, its text, the message to the page.

What the browser's GPU process does with the commands is in neither.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.processes import BrowserProcesses  # noqa: E402
from compiler.checkpoint import Checkpoint, open_checkpoint  # noqa: E402
from compiler.checkpoint.tokenizer import SpecialTokenIds  # noqa: E402
from compiler.emit.manifest import manifest  # noqa: E402
from compiler.emit.webgpu import Shader  # noqa: E402
from compiler.kernels.kernel import Kernel  # noqa: E402
from compiler.package import write_json  # noqa: E402
from compiler.pipeline import lower_model  # noqa: E402
from compiler.serve import serving  # noqa: E402
from compiler.setup.chromium import find_chromium  # noqa: E402
from tests.conftest import CHROMIUM_FLAGS  # noqa: E402
from tests.fixtures.gemma4_checkpoints import VOCABULARY, small_tokenizer  # noqa: E402
from tests.fixtures.real_configs import config_path  # noqa: E402
from tests.fixtures.sites import EnginePage, add_page  # noqa: E402

SMALL = 4096
# In the engine's worker: milliseconds of each submit that carries launches, from its encoder on.
HOOK = """
() => {
  globalThis.times = [];
  let started = 0;
  const wrap = (type, method, around) => {
    const original = type.prototype[method];
    type.prototype[method] = function (...values) { return around(() => original.apply(this, values)); };
  };
  wrap(GPUDevice, "createCommandEncoder", (call) => { started = performance.now(); return call(); });
  wrap(GPUQueue, "submit", (call) => { const result = call(); times.push(performance.now() - started); return result; });
}
"""


def idle_shader(kernel: Kernel) -> Shader:
    """A shader that binds what the kernel's binds, in the order of names as TVM does, and does nothing."""
    written = {parameter.name for parameter in kernel.parameters if parameter.written}
    bindings = sorted(kernel.parameter_names)
    lines = [f"@group(0) @binding({i}) var<storage, {'read_write' if name in written else 'read'}> {name}_ptr : array<u32>;"
             for i, name in enumerate(bindings)]
    entry = f"{kernel.shader}_kernel"
    body = " ".join(f"_ = {name}_ptr[0];" for name in bindings)
    return Shader("\n".join([*lines, f"@compute @workgroup_size(1, 1, 1) fn {entry}() {{ {body} }}"]), entry, (1, 1, 1), bindings, written)


def write_idle_model(folder: Path, checkpoint: Checkpoint) -> int:
    """An artifact with the checkpoint's steps and idle kernels; returns the launches of a decoded token."""
    lowered = lower_model(checkpoint, "q4", None)
    kernels = [each for kernel in lowered.program.kernels for each in (kernel, *kernel.variants)]
    shaders = {kernel.name: idle_shader(kernel) for kernel in kernels}
    document = manifest("idle", checkpoint, "q4", ("webgpu",), lowered, shaders, SpecialTokenIds(bos=2, stop=(1,), pad=0, add_bos=True), [], {})
    for buffer in document["buffers"]:
        buffer["bytes"] = 4 * VOCABULARY if buffer["kind"] == "logits" else buffer["bytes"] if buffer["kind"] == "state" else min(SMALL, buffer["bytes"])
        for key in ("slots", "slot_bytes", "slot_tile"):
            buffer.pop(key, None)
    (folder / "webgpu").mkdir(parents=True)
    for kernel in kernels:
        (folder / "webgpu" / f"{kernel.shader}.wgsl").write_text(shaders[kernel.name].wgsl, encoding="utf-8")
    small_tokenizer().save(str(folder / "tokenizer.json"))
    write_json(folder / "model.json", document | {"tables": [], "weights": [], "shards": [], "chat_template": None})
    return len(document["steps"]["decode"])


def measure(site: Path, tokens: int) -> tuple[list[float], float | None]:
    """Milliseconds from encoder to submit of each decoded token, ascending, and the workers' processor time a token. A third of the tokens
    are decoded first, so that the code is compiled by then."""
    with serving(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        engine = EnginePage(browser, address)
        engine.load("idle", tuning="off")
        (worker,) = engine.page.workers
        processes = BrowserProcesses(browser, engine.page)
        engine.tokens([2, 3, 4], tokens // 3)
        before = processes.worker_seconds()
        engine.tokens([2, 3, 4], tokens)
        spent = None if before is None else 1e3 * (processes.worker_seconds() - before) / tokens
        worker.evaluate(HOOK)
        engine.tokens([2, 3, 4], tokens + 1)
        times = worker.evaluate("() => times")
        browser.close()
    return sorted(times[2:]), spent  # the first is the prompt's, the second draws its token


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what encoding a decoded token costs the engine's thread.")
    parser.add_argument("--model", default="gemma-4-e2b", help="a configuration in tests/fixtures/configs")
    parser.add_argument("--tokens", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        site = Path(temporary)
        launches = write_idle_model(site / "models" / "idle", open_checkpoint(config_path(options.model)))
        add_page(site)
        times, spent = measure(site, options.tokens)
    percentiles = {percent: round(times[len(times) * percent // 100], 3) for percent in (10, 25, 50, 75, 90)}
    print(json.dumps({"model": options.model, "launches_a_token": launches, "tokens": len(times), "encoder_to_submit_ms_by_percentile": percentiles,
                      "worker_processor_ms_a_token": None if spent is None else round(spent, 3)}))


if __name__ == "__main__":
    main()
