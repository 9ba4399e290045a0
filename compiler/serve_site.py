"""The answer to each request for a file of a site: who may ask, which file it is, and the headers that it is sent with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from compiler.serve_file import SiteFile
from compiler.serve_hosts import is_local_origin, is_own_name, split_target

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
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGE = "index.html"
# As docs/embed.md has it.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self'; img-src 'self'; manifest-src 'self'"
)

EXPOSED = {"Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag"}
# Also where it is loaded without CORS, which no header can limit to one origin.
ANYWHERE = {"Cross-Origin-Resource-Policy": "cross-origin"}
# What a browser asks before it sends a request with such headers.
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Range, If-Range, If-None-Match",
    "Access-Control-Max-Age": "600",
}
METHODS = ["GET", "HEAD"]


@dataclass(frozen=True)
class Site:
    """root: a resolved folder. host: what the server was told to listen on. cors: the origin whose pages may read engine and
    models, beside those of this computer; "*": any."""

    root: Path
    host: str
    cors: str | None = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The file that is asked for; both it and a refusal (an HTTPException) have the headers of every answer."""
        try:
            response = self._response(request)
            response.headers.update(self._common_headers(request, response))
            return response
        except web.HTTPException as refusal:
            refusal.headers.update(self._common_headers(request, refusal))
            raise

    def _common_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> dict[str, str]:
        # The page itself is for nobody else.
        if response.content_type == "text/html":
            return EVERYWHERE
        # Two pages of this computer may share a browser's cache, whose requests say where they come from.
        from_browser = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
        vary = {"Vary": ", ".join(filter(None, [response.headers.get("Vary"), "Origin"]))} if from_browser else {}
        reader = self._reader(request)
        allowed = EXPOSED | {"Access-Control-Allow-Origin": reader} if reader else {}
        return EVERYWHERE | vary | allowed | (ANYWHERE if self.cors == "*" else {})

    def _reader(self, request: web.BaseRequest) -> str | None:
        """The origin that may read the answer, in a header's words. Pages that this computer serves itself are its user's own."""
        origin = request.headers.get("Origin", "")
        if self.cors == "*":
            return "*"
        return origin if origin == self.cors or is_local_origin(origin) else None

    def _response(self, request: web.BaseRequest) -> web.StreamResponse:
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            raise web.HTTPBadRequest(text=f"expected one Host header, found {len(hosts)}\n")
        authority, path = split_target(request.raw_path, hosts[0])
        if not is_own_name(authority, self.host, request.get_extra_info("sockname")):
            raise web.HTTPBadRequest(text="this is no name of this server; open the address that it printed\n")
        if request.method == "OPTIONS" and self._reader(request) and "Access-Control-Request-Method" in request.headers:
            return web.Response(status=204, headers=PREFLIGHT)
        if request.method not in METHODS:
            raise web.HTTPMethodNotAllowed(request.method, METHODS)
        file = find(self.root, path)
        if file is None:
            raise web.HTTPNotFound(text="not found\n")
        return SiteFile(request, file, headers(file.relative_to(self.root).as_posix()))


def find(root: Path, path: str) -> Path | None:
    """The file below `root` that a request's path, as it came over the wire, names; None where there is none to give.

    Only plain names are followed: the site's own names need no encoding, so a path with any is refused before it
    can mean something else to the file system. Links are followed while they stay in the folder, and lead to nothing hidden.
    """
    path = path.partition("?")[0]
    if not re.fullmatch(r"(/[A-Za-z0-9_+@=,~-][A-Za-z0-9._+@=,~-]*)+|/", path):
        return None
    try:
        file = (root / (path[1:] or PAGE)).resolve(strict=True)
    except (OSError, RuntimeError):  # missing, too long, or a ring of links (RuntimeError before Python 3.13)
        return None
    if not file.is_relative_to(root) or any(part.startswith(".") for part in file.relative_to(root).parts):
        return None
    return file if file.is_file() else None


def headers(name: str) -> dict[str, str]:
    """Those of the file `name` of a site."""
    return {
        "Content-Type": TYPES.get(Path(name).suffix, TYPES[".bin"]),
        "Cache-Control": KEEP if HASH_NAMED.search(name) else ASK_AGAIN,
        **({"Content-Security-Policy": PAGE_POLICY} if name == PAGE else {}),
    }
