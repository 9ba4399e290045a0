"""The site that the benchmark measures from: every engine and its model, in one folder that git ignores."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.engines import GGUF, ONNX, Engine
from bench.hugging_face import write_folder
from compiler.checkpoint import open_checkpoint
from compiler.checkpoint.default_model import default_model_path
from compiler.default_site import ensure_default_site
from compiler.progress import Progress
from compiler.setup.folders import CACHE, ENVIRONMENT, PROJECT, REQUIREMENTS, SITE, WEB
from compiler.setup.node import Node, ensure_node
from compiler.setup.steps import digest, is_stamped, run_step, write_stamp
from compiler.setup.web import NPM_HINT, ensure_web_build

BENCH = PROJECT / "bench"
BENCH_SITE = CACHE / "bench"
BLANK = "pages/blank.html"  # the page that loads them, one at a time
PROVIDERS = {"WebGPU": "webgpu", "wasm": "cpu"}  # what the ONNX model of a backend is built for


def prepare_site(engines: Sequence[Engine], progress: Progress) -> Path:
    """The folder, with everything in it that these engines need and that is missing or older than its inputs.

    Raises GemletError where something cannot be had or built.
    """
    node = ensure_node(ENVIRONMENT, REQUIREMENTS)
    ensure_default_site(ensure_web_build(WEB, node, CACHE), progress)
    model = default_model_path(CACHE, progress)
    BENCH_SITE.mkdir(exist_ok=True)
    _install_engines(node)
    models = {engine.options.get("model") for engine in engines}
    _build_onnx(model, [backend for backend, name in ONNX.items() if name in models])
    for name, source in {"pages": BENCH / "pages", "gemlet": SITE}.items():
        shutil.rmtree(BENCH_SITE / name, ignore_errors=True)
        shutil.copytree(source, BENCH_SITE / name)
    shutil.copy(model, BENCH_SITE / Path(GGUF).name)
    return BENCH_SITE


def _install_engines(node: Node) -> None:
    """Installs what package-lock.json names."""
    files = [BENCH / "package.json", BENCH / "package-lock.json"]
    stamp, wanted = BENCH_SITE / "node_modules" / "gemlet.stamp", digest(files, node.version)
    if is_stamped(stamp, wanted):
        return
    for file in files:
        shutil.copy(file, BENCH_SITE)
    # Without scripts: they would fetch programs for Node, which no browser needs.
    command = [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    log = CACHE / "bench-engines.log"
    run_step("Engines to compare with", command, folder=BENCH_SITE, environment=node.environment(), log=log, hint=NPM_HINT)
    write_stamp(stamp, wanted)


def _build_onnx(model: Path, backends: Sequence[str]) -> None:
    """Builds ONNX models from the weights of the GGUF file `model`, each in a process of its own since it takes gigabytes."""
    inputs = [BENCH / "hugging_face.py", BENCH / "onnx_model.py", REQUIREMENTS / "bench.txt"]
    wanted = digest(inputs, str(model.stat().st_size))
    stamps = {backend: BENCH_SITE / ONNX[backend] / "gemlet.stamp" for backend in backends}
    missing = [backend for backend, stamp in stamps.items() if not is_stamped(stamp, wanted)]
    if not missing:
        return
    with tempfile.TemporaryDirectory(dir=BENCH_SITE) as folder:
        write_folder(open_checkpoint(model), Path(folder))
        for backend in missing:
            run_step(
                f"ONNX model for {backend}",
                [sys.executable, "-m", "bench.onnx_model", folder, BENCH_SITE / ONNX[backend], PROVIDERS[backend]],
                folder=PROJECT,
                log=CACHE / f"bench-{ONNX[backend]}.log",
                hint="read the log; `python build.py bench --engines gemlet,wllama` does without this model",
            )
            write_stamp(stamps[backend], wanted)
