"""Compressed copies: made beside the files, sent to those who can read them, and never one of another content."""

import gzip
import os
from pathlib import Path

import brotli
import pytest

from compiler.compress import compress_site
from compiler.serve import serving
from tests.compiler.test_serve import ask

CODE = b"export const answer = 42;\n" * 500
DECODE = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "models" / "m" / "weights").mkdir(parents=True)
    (folder / "models" / "m" / "weights" / "0123456789abcdef.bin").write_bytes(bytes(5000))
    (folder / "models" / "m" / "model.json").write_bytes(b"[" + b"1," * 4000 + b"1]")
    (folder / "gemlet.js").write_bytes(CODE)
    (folder / "small.js").write_bytes(b"export {};")
    compress_site(folder)
    return folder


@pytest.fixture
def address(site):
    with serving(site) as url:
        yield url


def test_only_what_shrinks_gets_copies(site):
    copies = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.suffix in (".br", ".gz")}
    assert copies == {"gemlet.js.br", "gemlet.js.gz", "models/m/model.json.br", "models/m/model.json.gz"}


def test_a_second_time_only_changed_files_are_compressed(site):
    before = {path: path.stat().st_ino for path in site.rglob("*.br")}
    (site / "gemlet.js").write_bytes(CODE * 2)
    compress_site(site)
    assert {path.name for path, inode in before.items() if path.stat().st_ino != inode} == {"gemlet.js.br"}
    assert brotli.decompress((site / "gemlet.js.br").read_bytes()) == CODE * 2


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br, zstd", "br"), ("gzip", "gzip"), ("br;q=0, gzip;q=0.5", "gzip"), ("br;q=0.0", None), ("", None),
     ("identity", None), ("brotli", None), ("GZIP", "gzip")],
)  # fmt: skip
def test_the_best_copy_that_is_accepted_is_sent(address, accepted, encoding):
    status, headers, body = ask(address, "/gemlet.js", Accept_Encoding=accepted)
    assert (status, headers["Content-Encoding"]) == (200, encoding)
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert headers["Vary"] == "Accept-Encoding"
    assert int(headers["Content-Length"]) == len(body)
    assert (len(body) < len(CODE)) == (encoding is not None)
    assert DECODE[encoding](body) == CODE


def test_each_encoding_has_a_tag_of_its_own(address):
    tags = {encoding: ask(address, "/gemlet.js", Accept_Encoding=encoding)[1]["ETag"] for encoding in ("br", "gzip", "identity")}
    assert len(set(tags.values())) == 3
    for encoding, tag in tags.items():
        assert ask(address, "/gemlet.js", Accept_Encoding=encoding, If_None_Match=tag)[0] == 304


def test_a_range_is_one_of_the_file_itself(address):
    status, headers, body = ask(address, "/gemlet.js", Accept_Encoding="br", Range="bytes=7-25")
    assert (status, headers["Content-Encoding"], body) == (206, None, CODE[7:26])


def test_weights_are_sent_as_they_are(address):
    _, headers, body = ask(address, "/models/m/weights/0123456789abcdef.bin", Accept_Encoding="br, gzip")
    assert (headers["Content-Encoding"], headers["Vary"], body) == (None, None, bytes(5000))


def test_a_copy_of_an_older_content_is_not_sent(address, site):
    (site / "gemlet.js").write_bytes(b"export {};")
    assert ask(address, "/gemlet.js", Accept_Encoding="br, gzip")[2] == b"export {};"


def test_a_copy_that_is_a_link_is_not_followed(address, site):
    secret = site.parent / "secret.txt"
    secret.write_bytes(b"outside the folder")
    time = (site / "gemlet.js").stat().st_mtime_ns
    os.utime(secret, ns=(time, time))
    for suffix in (".br", ".gz"):
        (site / f"gemlet.js{suffix}").unlink()
        (site / f"gemlet.js{suffix}").symlink_to(secret)
    assert ask(address, "/gemlet.js", Accept_Encoding="br, gzip")[2] == CODE
    assert ask(address, "/gemlet.js.br")[0] == 404
