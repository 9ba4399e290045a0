"""A small web server for a compiled site: the headers that WebGPU and threads want, ranges, caching, and no way out."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from aiohttp import web

from compiler.errors import GemletError
from compiler.serve_file import SiteFile

LOOPBACK = "127.0.0.1"
FIRST_PORT = 8000
PORTS_TRIED = 20
LONGEST_SHUTDOWN = 1.0  # seconds for the transfers under way when the server is stopped

# By suffix, and not from the operating system's list, which differs and lacks some. All else goes out as bytes.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".map": "application/json",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".wgsl": "text/wgsl; charset=utf-8",
    ".jinja": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".bin": "application/octet-stream",
}

# Their names hold a hash of their content, so a browser need never ask again.
HASH_NAMED = re.compile(r"(^|/)weights/[0-9a-f]{16}\.bin$|^assets/")
KEEP = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"

# Isolation gives the page shared memory, which threads need.
EVERYWHERE = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "X-Content-Type-Options": "nosniff",
}

# The engine and the models may be loaded by pages of other origins; the page itself may not.
EMBEDDABLE = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
OWN_PAGE_ONLY = {"Cross-Origin-Resource-Policy": "same-origin"}


async def start_server(folder: Path, host: str, port: int | None) -> tuple[web.AppRunner, str]:
    """Starts to serve `folder`; returns the runner (stop it with `await runner.cleanup()`) and the page's address.

    Port None takes the first free one from 8000 on; port 0 any free one.
    Raises GemletError where `folder` is no folder or no port can be had.
    """
    if not folder.is_dir():
        raise GemletError(f"{folder}: expected a folder to serve, found none")
    runner = web.AppRunner(_application(folder.resolve()), access_log=None, shutdown_timeout=LONGEST_SHUTDOWN)
    await runner.setup()
    ports = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else [port]
    for number in ports:
        try:
            await web.TCPSite(runner, host, number).start()
        except OSError as error:
            problem = error
            continue
        bound = runner.addresses[0][1]
        return runner, f"http://{f'[{host}]' if ':' in host else host}:{bound}/"
    await runner.cleanup()
    raise GemletError(
        f"cannot listen on {host}, port {ports[0]}{f' to {ports[-1]}' if len(ports) > 1 else ''}: {problem}\n"
        "  what to do: give another --port or --host"
    )


def serve(folder: Path, host: str, port: int | None) -> None:
    """Serves `folder`, prints the address, and ends with KeyboardInterrupt on Ctrl-C. Else as start_server."""
    asyncio.run(_serve(folder, host, port))


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves `folder` from a thread, on any free port of this computer; gives the address. For tests."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        runner, address = asyncio.run_coroutine_threadsafe(start_server(folder, LOOPBACK, 0), loop).result()
        try:
            yield address
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(folder: Path, host: str, port: int | None) -> None:
    runner, address = await start_server(folder, host, port)
    try:
        print(f"\nOpen {address} in a browser. Ctrl-C stops the server.", flush=True)
        if not _is_loopback(host):
            print("From other computers WebGPU needs https: put a server that speaks it in front.", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _application(root: Path) -> web.Application:
    @web.middleware
    async def add_headers(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            # Else a page of another origin could not tell a missing file from a broken connection.
            refusal.headers.update(EVERYWHERE | EMBEDDABLE)
            raise
        response.headers.update(EVERYWHERE)
        return response

    async def answer(request: web.Request) -> web.StreamResponse:
        file = _find(root, request.raw_path)
        if file is None:
            raise web.HTTPNotFound(text="not found\n")
        return SiteFile(file, _headers(file.relative_to(root).as_posix()))

    application = web.Application(middlewares=[add_headers])
    application.router.add_get("/{path:.*}", answer)
    return application


def _find(root: Path, raw_path: str) -> Path | None:
    """The file below `root` that a request's path, as it came over the wire, names; None where there is none to give.

    Only plain names are followed: the site's own names need no encoding, so a path with any is refused before it
    can mean something else to the file system. Links are followed while they stay in the folder.
    """
    path = raw_path.partition("?")[0]
    if not re.fullmatch(r"(/[A-Za-z0-9_+@=,~-][A-Za-z0-9._+@=,~-]*)+|/", path):
        return None
    try:
        file = (root / (path[1:] or "index.html")).resolve(strict=True)
    except (OSError, RuntimeError):  # missing, too long, or a ring of links (RuntimeError before Python 3.13)
        return None
    return file if file.is_relative_to(root) and file.is_file() else None


def _headers(name: str) -> dict[str, str]:
    suffix = Path(name).suffix
    return {
        "Content-Type": TYPES.get(suffix, TYPES[".bin"]),
        "Cache-Control": KEEP if HASH_NAMED.search(name) else ASK_AGAIN,
        **(OWN_PAGE_ONLY if suffix == ".html" else EMBEDDABLE),
    }
