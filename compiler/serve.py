"""A small web server for a compiled site: where it listens, and how long and for how many it waits."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import threading
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

from compiler.errors import GemletError
from compiler.serve_site import TYPES, Site

__all__ = ["LOOPBACK", "TYPES", "serve", "serving", "start_server"]

LOOPBACK = "127.0.0.1"
FIRST_PORT = 8000
PORTS_TRIED = 20
LONGEST_SHUTDOWN = 1.0  # seconds for the transfers under way when the server is stopped
LONGEST_WAIT = 10.0  # seconds until the headers of a request, the first or the next, have to be there
LONGEST_BODY = 2.0  # seconds for the body that a request has after all, when it is answered
MOST_CONNECTIONS = 128
MOST_HEADERS = 64


class BoundedServer(web.Server):
    """A server that hangs up on whom it has no room for: each connection takes memory and a file descriptor."""

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()


async def start_server(
    folder: Path, host: str, port: int | None, cors: str | None = None
) -> tuple[web.ServerRunner, str]:
    """Starts to serve `folder`; returns the runner (stop it with `await runner.cleanup()`) and the page's address.

    Port None takes the first free one from 8000 on; port 0 any free one. cors: the origin whose pages may read the engine
    and the models, beside those of this computer; "*": any.
    Raises GemletError where `folder` is no folder or no port can be had.
    """
    if not folder.is_dir():
        raise GemletError(f"{folder}: expected a folder to serve, found none")
    site = Site(folder.resolve(), host, cors)
    server = BoundedServer(
        site.answer, access_log=None, keepalive_timeout=LONGEST_WAIT, lingering_time=LONGEST_BODY, max_headers=MOST_HEADERS
    )
    runner = web.ServerRunner(server, shutdown_timeout=LONGEST_SHUTDOWN)
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


def serve(folder: Path, host: str, port: int | None, cors: str | None = None) -> None:
    """Serves `folder`, prints the address, and ends with KeyboardInterrupt on Ctrl-C. Else as start_server."""
    asyncio.run(_serve(folder, host, port, cors))


@contextlib.contextmanager
def serving(folder: Path, cors: str | None = None) -> Iterator[str]:
    """Serves `folder` from a thread, on any free port of this computer; gives the address. For tests. cors: of start_server."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        runner, address = asyncio.run_coroutine_threadsafe(start_server(folder, LOOPBACK, 0, cors), loop).result()
        try:
            yield address
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(folder: Path, host: str, port: int | None, cors: str | None) -> None:
    runner, address = await start_server(folder, host, port, cors)
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
