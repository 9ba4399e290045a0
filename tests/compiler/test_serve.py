"""The web server: headers, types, ranges, caching, and that nothing outside its folder is ever given."""

import asyncio
import http.client
import os
import random
import socket
import urllib.parse
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from compiler.errors import GemletError
from compiler.serve import FIRST_PORT, start_server, serving

SECRET = b"outside the folder"
WEIGHTS = bytes(range(256)) * 40
SHARD = "models/m/weights/0123456789abcdef.bin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("server")
    (top / "secret.txt").write_bytes(SECRET)
    (top / "site-other").mkdir()
    (top / "site-other" / "secret.txt").write_bytes(SECRET)
    folder = top / "site"
    files = {
        "index.html": b"<!doctype html><title>page</title>",
        "gemlet.js": b"export {};",
        "assets/worker-B1x2.js": b"// worker",
        "models/m/model.json": b"{}",
        SHARD: WEIGHTS,
        "models/m/weights/readme.bin": b"not named by a hash",
        ".hidden": SECRET,
        "kinds/a.mjs": b"", "kinds/a.wasm": b"", "kinds/a.wgsl": b"", "kinds/a.jinja": b"", "kinds/a.svg": b"",
        "kinds/a.webmanifest": b"", "kinds/a.css": b"", "kinds/a.other": b"",
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "inside.js").symlink_to(folder / "gemlet.js")
    (folder / "outside.txt").symlink_to(top / "secret.txt")
    (folder / "outside").symlink_to(top / "site-other")
    (folder / "up").symlink_to("..")
    (folder / "ring").symlink_to("ring")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture(scope="module")
def address(site: Path):
    with serving(site) as url:
        yield url


def run(coroutine: Coroutine):
    """`asyncio.run` in a thread of its own: once a browser test has run, Playwright keeps a loop running in the main thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def ask(address: str, path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc, timeout=10)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=names)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def ask_raw(address: str, target: bytes) -> bytes:
    """The whole answer to a request line that an HTTP library would refuse or mend before it is sent."""
    place = urllib.parse.urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: " + place.netloc.encode() + b"\r\nConnection: close\r\n\r\n")
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_the_bare_address_gives_the_page(address, site):
    status, headers, body = ask(address, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert body == (site / "index.html").read_bytes()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gemlet.js", "text/javascript; charset=utf-8"),
        ("kinds/a.mjs", "text/javascript; charset=utf-8"),
        ("kinds/a.wasm", "application/wasm"),
        ("kinds/a.wgsl", "text/wgsl; charset=utf-8"),
        ("kinds/a.jinja", "text/plain; charset=utf-8"),
        ("kinds/a.svg", "image/svg+xml"),
        ("kinds/a.webmanifest", "application/manifest+json"),
        ("kinds/a.css", "text/css; charset=utf-8"),
        ("models/m/model.json", "application/json"),
        (SHARD, "application/octet-stream"),
        ("kinds/a.other", "application/octet-stream"),
    ],
)
def test_every_kind_of_file_has_its_type(address, name, kind):
    assert ask(address, "/" + name)[1]["Content-Type"] == kind


@pytest.mark.parametrize("path", ["/", "/gemlet.js", "/" + SHARD, "/missing"])
def test_every_answer_isolates_the_page(address, path):
    headers = ask(address, path)[1]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/" + SHARD, "/assets/worker-B1x2.js"])
def test_files_named_by_a_hash_are_kept_for_good(address, path):
    assert "immutable" in ask(address, path)[1]["Cache-Control"]


@pytest.mark.parametrize("path", ["/", "/gemlet.js", "/models/m/model.json", "/models/m/weights/readme.bin"])
def test_other_files_are_asked_for_again(address, path):
    assert ask(address, path)[1]["Cache-Control"] == "no-cache"


def test_an_unchanged_file_is_not_sent_again(address, site):
    tag = ask(address, "/gemlet.js")[1]["ETag"]
    status, _, body = ask(address, "/gemlet.js", If_None_Match=tag)
    assert (status, body) == (304, b"")
    os.utime(site / "gemlet.js", ns=(1, 1))
    status, headers, body = ask(address, "/gemlet.js", If_None_Match=tag)
    assert (status, body) == (200, b"export {};")
    assert headers["ETag"] != tag


def test_head_gives_the_headers_alone(address):
    status, headers, body = ask(address, "/" + SHARD, method="HEAD")
    assert (status, body) == (200, b"")
    assert headers["Content-Length"] == str(len(WEIGHTS))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(address, method):
    assert ask(address, "/gemlet.js", method=method)[0] == 405


def test_a_query_does_not_matter(address):
    assert ask(address, "/gemlet.js?v=../../secret.txt")[0] == 200


def test_a_link_that_stays_inside_is_followed(address):
    assert ask(address, "/inside.js")[2] == b"export {};"


@pytest.mark.parametrize("path", ["/models", "/models/", "/models/m/", "/assets", "//", "/gemlet.js/", "/pipe"])
def test_only_files_are_given(address, path):
    assert ask(address, path)[0] == 404


ESCAPES = [
    b"/../secret.txt", b"/models/../../secret.txt", b"/%2e%2e/secret.txt", b"/..%2fsecret.txt", b"/%2e%2e%2fsecret.txt",
    b"/..%5csecret.txt", b"/..\\secret.txt", b"/%252e%252e/secret.txt", b"/%c0%ae%c0%ae/secret.txt", b"/..;/secret.txt",
    b"/./../secret.txt", b"/../site-other/secret.txt", b"//../secret.txt", b"/up/secret.txt", b"/outside.txt",
    b"/outside/secret.txt", b"/ring", b"/.hidden", b"/%2ehidden", b"/gemlet.js%00", b"/gemlet.js%00.png",
    b"/\xff\xfe", b"/%ff%fe", b"/%", b"/" + b"a" * 5000, b"/" + b"a/" * 2000 + b"a", b"http://x/../secret.txt", b"../secret.txt",
    b"/models/%2e%2e/%2e%2e/secret.txt", b"/\xef\xbc\x8e\xef\xbc\x8e/secret.txt",
]  # fmt: skip


@pytest.mark.parametrize("target", ESCAPES, ids=lambda target: repr(target[:30]))
def test_no_spelling_of_a_path_leaves_the_folder(address, target):
    answer = ask_raw(address, target)
    assert answer.split(b" ")[1] in (b"400", b"403", b"404")
    assert SECRET not in answer


SPELLINGS = [
    lambda byte: b"%%%02x" % byte, lambda byte: b"%%%02X" % byte, lambda byte: b"%%25%02x" % byte, lambda byte: b"%%2525%02x" % byte,
    lambda byte: b"%%c0%%%02x" % (byte | 0x80), lambda byte: b"%%u%04x" % byte, lambda byte: b"%%u%04x" % (byte + 0xFEE0),
    lambda byte: chr(byte + 0xFEE0).encode(), lambda byte: b"\\" if byte == ord("/") else bytes([byte]),
    lambda byte: bytes([byte]) + b"%00", lambda byte: b"%e2%88%95" if byte == ord("/") else bytes([byte]),
]  # fmt: skip


def test_escapes_in_random_spellings_never_leave_the_folder(address):
    choose = random.Random(2)
    escapes = [b"../secret.txt", b"models/../../secret.txt", b"up/secret.txt", b"outside/secret.txt", b"../site-other/secret.txt", b".hidden"]
    for _ in range(400):
        spelt = [choose.choice(SPELLINGS)(byte) if choose.random() < 0.4 else bytes([byte]) for byte in choose.choice(escapes)]
        target = b"/" + b"".join(spelt)
        answer = ask_raw(address, target)
        assert answer.split(b" ")[1] in (b"400", b"404"), target
        assert SECRET not in answer, target


def test_random_paths_never_leave_the_folder(address):
    pieces = [b"..", b".", b"/", b"//", b"%2e", b"%2f", b"%5c", b"\\", b"secret.txt", b"site-other", b"models", b"up",
              b"%00", b"%", b"~", b"..%2f", b"outside", b"?", b"#", b";"]  # fmt: skip
    choose = random.Random(1)
    for _ in range(300):
        target = b"/" + b"".join(choose.choices(pieces, k=choose.randint(1, 8)))
        assert SECRET not in ask_raw(address, target), target


def test_the_first_free_port_is_taken(site):
    async def two_servers() -> list[str]:
        started = [await start_server(site, "127.0.0.1", None) for _ in range(2)]
        for runner, _ in started:
            await runner.cleanup()
        return [address for _, address in started]

    ports = [urllib.parse.urlsplit(address).port for address in run(two_servers())]
    assert FIRST_PORT <= ports[0] < ports[1]


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(site, address):
    port = urllib.parse.urlsplit(address).port
    with pytest.raises(GemletError, match=f"cannot listen on 127.0.0.1, port {port}"):
        run(start_server(site, "127.0.0.1", port))


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(GemletError, match="missing: expected a folder"):
        run(start_server(tmp_path / "missing", "127.0.0.1", 0))


def test_a_stopped_server_answers_no_more(site):
    with serving(site) as url:
        assert ask(url, "/")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(url, "/")
