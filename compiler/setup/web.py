"""The web page and engine: their packages, and the build into web/dist."""

from __future__ import annotations

from pathlib import Path

from compiler.setup.node import Node
from compiler.setup.steps import digest, is_stamped, run_step, write_stamp

NPM_HINT = "check the network and npm's settings, then run the same command again"
MADE = {"node_modules", "dist"}


def ensure_web_packages(web: Path, node: Node) -> None:
    """Installs what web/package-lock.json names, unless it is there. Raises GemletError where npm fails."""
    stamp = web / "node_modules" / "gemlet.stamp"
    wanted = digest([web / "package.json", web / "package-lock.json"], node.version)
    if is_stamped(stamp, wanted):
        return
    _npm("Web packages", web, node, "ci", "--no-audit", "--no-fund", hint=NPM_HINT)
    write_stamp(stamp, wanted)


def ensure_web_build(web: Path, node: Node, cache: Path) -> Path:
    """Builds web/dist unless it is newer than its sources; returns it. Raises GemletError where the build fails."""
    ensure_web_packages(web, node)
    dist = web / "dist"
    stamp = cache / "web-build.stamp"
    files = _sources(web)
    wanted = digest(files, *(str(file.relative_to(web)) for file in files), node.version)
    if not (is_stamped(stamp, wanted) and (dist / "index.html").is_file()):
        _npm("Web page", web, node, "run", "build", hint="mend what the lines above name in web/, then run this again")
        write_stamp(stamp, wanted)
    return dist


def check_web(web: Path, node: Node) -> None:
    """Checks the types and runs the unit tests of web/. Raises GemletError where one fails."""
    _npm("Web types", web, node, "run", "typecheck", hint="mend the types that the lines above name")
    _npm("Web tests", web, node, "test", hint="mend what the lines above name")


def _npm(title: str, web: Path, node: Node, *words: str, hint: str) -> None:
    log = web.parent / ".cache" / f"{title.lower().replace(' ', '-')}.log"
    run_step(title, [*node.npm, *words], folder=web, environment=node.environment(), log=log, hint=hint)


def _sources(web: Path) -> list[Path]:
    """Every file that the build may read: all of web/ but what npm and the build make there."""
    tops = sorted(path for path in web.iterdir() if path.name not in MADE)
    return [file for top in tops for file in ([top] if top.is_file() else sorted(top.rglob("*"))) if file.is_file()]
