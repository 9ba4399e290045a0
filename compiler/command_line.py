"""Parses the command line, sees to it that the packages are there, and turns errors into messages and exit statuses.

Imports only the standard library: it runs before the virtual environment exists.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from compiler.errors import GemletError
from compiler.setup.environment import LEVELS, enter_environment
from compiler.setup.folders import ENVIRONMENT, REQUIREMENTS, SITE

QUANTIZATIONS = ("auto", "q4", "q8", "f16", "f32")
TARGETS = ("webgpu", "wasm")
ADAPTERS = ("auto", "hardware", "swiftshader")

# As a shell reports a program that Ctrl-C ended.
INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns its exit status: 0, 1 after an error (told on standard error), 130 after Ctrl-C.

    Raises SystemExit with status 2 where the command line itself is wrong.
    """
    options = parse(arguments)
    try:
        level = options.command if options.command in LEVELS else "run"
        enter_environment(ENVIRONMENT, REQUIREMENTS, level)
        # Only now: it imports packages that are in the environment alone.
        from compiler.commands import run

        return run(options)
    except (GemletError, OSError) as error:  # an OSError names its file: a full disk, a folder that is read-only
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return INTERRUPTED


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; `command` is None for the bare one. Raises SystemExit where it is wrong."""
    parser = _parser()
    # By hand: what argparse does with "--" differs between Python's versions.
    own, pytest = list(arguments), []
    if "--" in own:
        cut = own.index("--")
        own, pytest = own[:cut], own[cut + 1 :]
    options = parser.parse_args(own)
    if pytest and options.command != "test":
        parser.error("only `test` takes arguments after --")
    options.pytest = pytest
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="build.py",
        description="Compiles Gemma models for the browser. Without a command: sets up what is missing, compiles the "
        "default model, serves the page and prints its address.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    compile_ = commands.add_parser("compile", help="compile a model into a folder that any web server can host")
    _add_model(compile_, "a Hugging Face folder, a GGUF file, or the name of a model on the hub (owner/name)")
    compile_.add_argument("-o", "--out", type=Path, required=True, help="the folder of the site")
    compile_.add_argument("--name", help="the model's folder below OUT/models (default: from its title)")
    _add_plan_options(compile_)
    compile_.add_argument(
        "--targets", type=_targets, default=TARGETS, metavar="LIST", help="kinds of code to emit (default: webgpu,wasm)"
    )
    compile_.add_argument(
        "--no-weights", dest="weights", action="store_false", help="only kernels and manifest; a bare config.json will do"
    )
    compile_.add_argument("--dump", type=Path, metavar="DIR", help="write every intermediate form to this folder")

    plan = commands.add_parser("plan", help="tell what a model will need, without its weights")
    _add_model(plan, "as for compile, or a bare config.json")
    _add_plan_options(plan)
    plan.add_argument("--json", action="store_true", help="print JSON")
    plan.add_argument("--svg", type=Path, metavar="FILE", help="draw a picture of the layers to this file")

    serve = commands.add_parser("serve", help="serve a compiled site")
    serve.add_argument("out", nargs="?", type=Path, default=SITE, metavar="OUT", help="its folder (default: site)")
    serve.add_argument("--port", type=_port, help="default: 8000, or the next one that is free")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this computer only)")
    serve.add_argument(
        "--cors",
        type=_origin,
        metavar="ORIGIN",
        help="the origin whose pages may load engine and models from here, such as https://example.org; * for any (default: pages that this computer serves)",
    )

    commands.add_parser(
        "test", help="set up and run every test", epilog="Arguments after -- go to pytest: build.py test -- -k norm"
    )
    _add_bench(commands.add_parser("bench", help="measure gemlet beside other engines, into bench/results.md"))
    return parser


def _add_bench(parser: argparse.ArgumentParser) -> None:
    by_adapter = "default: by the adapter"
    parser.add_argument(
        "--engines", type=_words, metavar="LIST", help='beginnings of their titles, as "gemlet,wllama" (default: all)'
    )
    parser.add_argument(
        "--adapter", choices=ADAPTERS, default="auto", help="what WebGPU runs on (default: the GPU, else SwiftShader)"
    )
    parser.add_argument("--prompts", type=_lengths, metavar="LIST", help=f"tokens of each prompt ({by_adapter})")
    parser.add_argument("--tokens", type=_two_or_more, metavar="N", help=f"tokens to decode, at least 2 ({by_adapter})")
    parser.add_argument("--rounds", type=_positive, metavar="N", help=f"how often to measure each engine ({by_adapter})")
    parser.add_argument(
        "--threads", type=_positives, default=(1, 2), metavar="LIST", help="threads of the engines on the CPU (default: 1,2)"
    )


def _add_model(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("model", metavar="MODEL", help=what)


def _add_plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quant", choices=QUANTIZATIONS, default="auto", help="how to store weights (default: auto, as their source)"
    )
    parser.add_argument(
        "--context", type=_positive, metavar="N", help="most tokens of a conversation (default: by the model)"
    )


def _targets(text: str) -> tuple[str, ...]:
    targets = tuple(dict.fromkeys(text.split(",")))
    for target in targets:
        if target not in TARGETS:
            raise argparse.ArgumentTypeError(f"{target!r} is not a target: use {','.join(TARGETS)}")
    return targets


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _lengths(text: str) -> tuple[int, ...]:
    return tuple(_two_or_more(word) for word in text.split(","))


def _positives(text: str) -> tuple[int, ...]:
    return tuple(_positive(word) for word in text.split(","))


def _two_or_more(text: str) -> int:
    return _integer(text, 2, None)


def _positive(text: str) -> int:
    return _integer(text, 1, None)


def _origin(text: str) -> str:
    if text != "*" and not re.fullmatch(r"https?://[^/?#@\s\\]+", text.lower()):
        raise argparse.ArgumentTypeError(f"{text!r} is no origin; expected one like https://example.org, or *")
    return text.lower()


def _port(text: str) -> int:
    return _integer(text, 0, 65535)


def _integer(text: str, least: int, most: int | None) -> int:
    limits = f"at least {least}" if most is None else f"from {least} to {most}"
    if not text.isascii() or not text.isdigit() or int(text) < least or (most is not None and int(text) > most):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {limits}")
    return int(text)
