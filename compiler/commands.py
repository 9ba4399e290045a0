"""What each command of build.py does, once the packages are there.

TVM takes a second to import, so that the modules which need it are imported by the commands that do.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from compiler.compress import compress_site
from compiler.default_site import ensure_default_site
from compiler.errors import GemletError
from compiler.progress import BarProgress
from compiler.serve import LOOPBACK, serve
from compiler.setup.chromium import ensure_chromium
from compiler.setup.firefox import ensure_firefox
from compiler.setup.folders import CACHE, ENVIRONMENT, PROJECT, REQUIREMENTS, SITE, WEB
from compiler.setup.llvmpipe import ensure_llvmpipe
from compiler.setup.node import ensure_node
from compiler.setup.web import check_web, ensure_web_build
from compiler.site import check_folder, copy_page, describe

# Of the files of tests each core takes one after the other. In their order: those of models in a browser, which take longest, come first.
SIDE_BY_SIDE = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder")


def run(options: argparse.Namespace) -> int:
    """Runs the command that `compiler.command_line.parse` read; returns the exit status.

    Raises GemletError where it fails for a reason that the user can act on.
    """
    commands = {
        None: run_default,
        "compile": run_compile,
        "plan": run_plan,
        "serve": run_serve,
        "test": run_test,
        "bench": run_bench,
    }
    return commands[options.command](options)


def run_default(options: argparse.Namespace) -> int:
    """Compiles the default model where that is not done yet, and serves it until Ctrl-C."""
    page = ensure_web_build(WEB, ensure_node(ENVIRONMENT, REQUIREMENTS), CACHE)
    ensure_default_site(page, BarProgress())
    serve(SITE, LOOPBACK, None)
    return 0


def run_compile(options: argparse.Namespace) -> int:
    """Compiles a model into a site."""
    from compiler.checkpoint import open_checkpoint

    check_folder(options.out)
    checkpoint = open_checkpoint(options.model)
    # After the checkpoint is found sound: a mistyped name should not have to wait for it.
    from compiler.package import compile_model

    page = ensure_web_build(WEB, ensure_node(ENVIRONMENT, REQUIREMENTS), CACHE) if options.weights else None
    folder = compile_model(
        checkpoint,
        options.out,
        options.name,
        options.quant,
        options.context,
        options.targets,
        options.dump,
        BarProgress(),
        options.weights,
    )
    if page is None:
        print(f"kernels and manifest, without weights, in {folder}")
        return 0
    copy_page(page, options.out)
    compress_site(options.out)
    print(describe(folder))
    print(f"look at it with: python build.py serve {options.out}")
    return 0


def run_plan(options: argparse.Namespace) -> int:
    """Prints what a model will need."""
    from compiler.checkpoint import open_checkpoint
    from compiler.plan import plan_model
    from compiler.plan_picture import draw_layers
    from compiler.plan_text import format_plan

    checkpoint = open_checkpoint(options.model)
    for note in checkpoint.notes:
        BarProgress().note(note)
    plan = plan_model(checkpoint, options.quant, options.context)
    if options.svg is not None:
        options.svg.write_text(draw_layers(plan), encoding="utf-8")
    print(json.dumps(plan, indent=2, sort_keys=True) if options.json else format_plan(plan))
    return 0


def run_serve(options: argparse.Namespace) -> int:
    """Serves a site until Ctrl-C."""
    if not (options.out / "index.html").is_file():
        raise GemletError(f"{options.out}: there is no page here\n  what to do: python build.py compile MODEL -o OUT")
    serve(options.out, options.host, options.port, options.cors)
    return 0


def run_test(options: argparse.Namespace) -> int:
    """Runs the checks and tests of web/, then pytest, whose exit status is the command's."""
    node = ensure_node(ENVIRONMENT, REQUIREMENTS)
    ensure_web_build(WEB, node, CACHE)
    ensure_chromium(CACHE)
    ensure_firefox(CACHE)
    ensure_llvmpipe(CACHE)
    check_web(WEB, node)
    words = options.pytest or SIDE_BY_SIDE
    return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=PROJECT).returncode


def run_bench(options: argparse.Namespace) -> int:
    """Measures the engines and says where the results are."""
    from bench.command import write_results

    results = write_results(
        options.engines, options.adapter, options.prompts, options.tokens, options.rounds, options.threads
    )
    print(f"results: {results}")
    return 0
