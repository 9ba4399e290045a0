"""Who may read what: names of the server, other origins, the policy of the page, and how long and for how many it waits."""

import http.client
import re
import socket
import time
import urllib.parse
from pathlib import Path

import pytest

from compiler import serve as server
from compiler.serve import serving
from compiler.serve_hosts import is_own_name, split_target
from compiler.serve_site import PAGE_POLICY
from tests.compiler.test_serve import ask

EMBED = Path(__file__).parents[2] / "docs" / "embed.md"
FILES = {"index.html": b"<!doctype html>", "gemlet.js": b"export {};", "models/m/model.json": b"{}", "other.html": b"<p>"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("access")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / ".hidden").write_bytes(b"secret")
    (folder / "shown.txt").symlink_to(folder / ".hidden")
    return folder


@pytest.fixture(scope="module")
def address(site: Path):
    with serving(site) as url:
        yield url


def port_of(address: str) -> int:
    return urllib.parse.urlsplit(address).port


def ask_bytes(address: str, request: bytes, timeout: float = 10) -> bytes:
    """The whole answer to bytes of a request."""
    with socket.create_connection(("127.0.0.1", port_of(address)), timeout=timeout) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def with_host(address: str, *hosts: str, target: str = "/models/m/model.json", version: str = "1.1") -> int:
    lines = "".join(f"Host: {host.replace('PORT', str(port_of(address)))}\r\n" for host in hosts)
    target = target.replace("PORT", str(port_of(address)))
    answer = ask_bytes(address, f"GET {target} HTTP/{version}\r\n{lines}Connection: close\r\n\r\n".encode("latin-1"))
    return int(answer.split(b" ")[1])


@pytest.mark.parametrize("host", ["localhost:PORT", "LOCALHOST:PORT", "localhost.:PORT", "127.0.0.1:PORT", "127.0.0.2:PORT", "[::1]:PORT"])
def test_the_names_of_this_computer_are_answered(address, host):
    assert with_host(address, host) == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:PORT", "localhost.evil.example:PORT", "127.0.0.1.nip.io:PORT", "localhost", "127.0.0.1",
                                  "localhost:1", "127.0.0.1:PORT0", "localhost:PORT:PORT", "10.0.0.1:PORT", "192.168.1.5:PORT", "[::2]:PORT", "::1", "[::1:PORT",
                                  "user@localhost:PORT", "localhost:PORT@evil.example", "localhost:PORT, evil.example", "0x7f.1:PORT", "2130706433:PORT", "127.1:PORT",
                                  "0.0.0.0:PORT", "localhost..:PORT", ".localhost:PORT", "a.localhost:PORT", "", ":PORT", "localhost:", "localhost:-1",
                                  "loc\u00e4lhost:PORT", "localhost/:PORT", "localhost%00:PORT", "[::ffff:10.0.0.1]:PORT"])  # fmt: skip
def test_any_other_host_is_refused(address, host):
    assert with_host(address, host) == 400


def test_no_host_or_two_are_refused(address):
    assert with_host(address) == 400 and with_host(address, version="1.0") == 400
    assert with_host(address, "localhost:PORT", "localhost:PORT") == 400
    assert with_host(address, "localhost:PORT", "evil.example") == 400


def test_an_absolute_target_counts_in_place_of_the_header(address):
    assert with_host(address, "evil.example", target="http://localhost:PORT/gemlet.js") == 200
    assert with_host(address, "localhost:PORT", target="http://evil.example/gemlet.js") == 400
    assert with_host(address, "localhost:PORT", target="http://evil.example:PORT/gemlet.js") == 400
    assert with_host(address, "localhost:PORT", target="http://localhost:PORT/../secret.txt") in (400, 404)
    assert with_host(address, "localhost:PORT", target="https://localhost:PORT/gemlet.js") in (400, 404)
    assert with_host(address, "localhost:PORT", target="*") in (400, 404)


def test_the_host_that_was_given_and_the_address_of_the_connection_are_names_too():
    assert is_own_name("box.lan:8000", "Box.lan", ("192.168.1.5", 8000)) and is_own_name("192.168.1.5:8000", "0.0.0.0", ("192.168.1.5", 8000))
    assert is_own_name("[fe80::1]:80", "::", ("fe80::1%eth0", 80, 0, 0)) and is_own_name("10.0.0.7", "::", ("::ffff:10.0.0.7", 80, 0, 0))
    assert not is_own_name("192.168.1.6:8000", "0.0.0.0", ("192.168.1.5", 8000)) and not is_own_name("box.lan:8000", "0.0.0.0", ("192.168.1.5", 8000))
    assert split_target("HTTP://a:1", "b") == ("a:1", "/") and split_target("/x", "b") == ("b", "/x")


@pytest.mark.parametrize("path", ["/", "/gemlet.js", "/models/m/model.json", "/missing", "/other.html"])
def test_no_website_reads_anything_unless_asked(address, path):
    strangers = ["https://evil.example", "null", "", "http://localhost.evil.example", "http://127.0.0.1.nip.io:80", "http://10.0.0.1", "http://evil.localhost",
                 "http://evil@localhost", "file://", "http://localhost:1/", "localhost", "http://localhost, http://evil.example", "http://[::2]:1"]  # fmt: skip
    for headers in [ask(address, path)[1], *(ask(address, path, Origin=origin)[1] for origin in strangers), ask(address, path, method="POST", Origin="null")[1]]:
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert ask(address, path, method="OPTIONS", Origin="https://evil.example", Access_Control_Request_Method="GET")[0] == 405


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:1234", "https://[::1]:8443", "http://localhost"])
def test_pages_that_this_computer_serves_itself_read_all_but_pages(address, origin):
    for path in ("/gemlet.js", "/models/m/model.json", "/missing"):
        headers = ask(address, path, Origin=origin)[1]
        assert (headers["Access-Control-Allow-Origin"], headers["Cross-Origin-Resource-Policy"]) == (origin, "same-origin")
        assert "Origin" in headers["Vary"] and "Content-Range" in headers["Access-Control-Expose-Headers"]
    assert "Origin" in ask(address, "/gemlet.js", Sec_Fetch_Site="same-origin")[1]["Vary"]
    for path in ("/", "/other.html"):
        assert ask(address, path, Origin=origin)[1]["Access-Control-Allow-Origin"] is None
    assert ask(address, "/gemlet.js", method="OPTIONS", Origin=origin, Access_Control_Request_Method="GET")[0] == 204


@pytest.mark.parametrize(("cors", "policy"), [("*", "cross-origin"), ("https://example.org", "same-origin")])
def test_the_origin_that_is_let_in_reads_all_but_pages(site, cors, policy):
    with serving(site, cors=cors) as address:
        for path in ("/gemlet.js", "/models/m/model.json", "/missing"):
            headers = ask(address, path, Origin="https://example.org")[1]
            assert (headers["Access-Control-Allow-Origin"], headers["Cross-Origin-Resource-Policy"]) == (cors, policy)
        for path in ("/", "/other.html"):
            headers = ask(address, path, Origin="https://example.org")[1]
            assert (headers["Access-Control-Allow-Origin"], headers["Cross-Origin-Resource-Policy"]) == (None, "same-origin")
        status, headers, _ = ask(address, "/gemlet.js", method="OPTIONS", Origin="https://example.org", Access_Control_Request_Method="GET")
        assert (status, headers["Access-Control-Allow-Origin"]) == (204, cors) and "Range" in headers["Access-Control-Allow-Headers"]


def test_the_page_has_the_policy_that_the_docs_state(address):
    assert re.findall(r"^    Content-Security-Policy: (.*)$", EMBED.read_text(), re.MULTILINE)[0] == PAGE_POLICY
    for path in ("/", "/index.html"):
        assert ask(address, path)[1]["Content-Security-Policy"] == PAGE_POLICY


@pytest.mark.parametrize("path", ["/", "/gemlet.js", "/models/m/model.json", "/missing"])
def test_every_answer_is_taken_for_what_it_says_and_tells_no_other_site_of_this_one(address, path):
    headers = ask(address, path)[1]
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused_with_those_that_there_are(address, method):
    status, headers, _ = ask(address, "/gemlet.js", method=method)
    assert (status, headers["Allow"]) == (405, "GET,HEAD")


def test_a_link_to_something_hidden_is_not_followed(address):
    assert ask(address, "/shown.txt")[0] == 404


@pytest.fixture
def hasty(site, monkeypatch):
    """A server that waits for half a second, for four connections at most."""
    for name, value in {"LONGEST_WAIT": 0.5, "LONGEST_BODY": 0.5, "MOST_CONNECTIONS": 4}.items():
        monkeypatch.setattr(server, name, value)
    with serving(site) as url:
        yield url


@pytest.mark.parametrize("start", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"GET / HTTP/1.1\r\n"])
def test_half_a_request_is_hung_up_on(hasty, start):
    assert ask_bytes(hasty, start) == b""


def test_headers_that_come_byte_by_byte_are_hung_up_on(hasty):
    with socket.create_connection(("127.0.0.1", port_of(hasty)), timeout=10) as connection, pytest.raises(OSError):
        for byte in b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10**4:
            connection.sendall(bytes([byte]))
            time.sleep(0.01)


@pytest.mark.parametrize("body", [b"Content-Length: 1000\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhal"])
def test_half_a_body_is_answered_and_hung_up_on(hasty, body):
    host = f"Host: localhost:{port_of(hasty)}\r\n".encode()
    answer = ask_bytes(hasty, b"GET /gemlet.js HTTP/1.1\r\n" + host + body)
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"export {};")


def test_a_connection_that_stays_open_is_hung_up_on_after_its_answer(hasty):
    host = f"Host: localhost:{port_of(hasty)}\r\n".encode()
    assert ask_bytes(hasty, b"GET /gemlet.js HTTP/1.1\r\n" + host + b"\r\nGET /ge").endswith(b"export {};")


def test_no_more_connections_are_taken_than_there_is_room_for_and_the_next_are_once_there_is(hasty):
    waiting = [socket.create_connection(("127.0.0.1", port_of(hasty)), timeout=10) for _ in range(12)]
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(hasty, "/gemlet.js")
    assert [each.recv(1) for each in waiting[:4]] == [b""] * 4  # when they have waited too long
    for each in waiting:
        each.close()
    assert ask(hasty, "/gemlet.js")[0] == 200


@pytest.mark.parametrize("header", [b"X: " + b"a" * 9000, b"\r\n".join(b"X%d: y" % i for i in range(200))])
def test_headers_that_are_too_large_are_refused(address, header):
    host = f"Host: localhost:{port_of(address)}\r\n".encode()
    assert ask_bytes(address, b"GET / HTTP/1.1\r\n" + host + header + b"\r\n\r\n").split(b" ")[1] in (b"400", b"431")
