"""Ranges and conditions of requests, as RFC 9110 says."""

import email.utils
import math
import os
from pathlib import Path

import pytest

from compiler.serve import serving
from tests.compiler.test_serve import ask

CONTENT = bytes(range(256)) * 40
FILE = "/models/m/weights/0123456789abcdef.bin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranges")
    (folder / FILE[1:]).parent.mkdir(parents=True)
    (folder / FILE[1:]).write_bytes(CONTENT)
    (folder / "empty.bin").touch()
    return folder


@pytest.fixture(scope="module")
def address(site: Path):
    with serving(site) as url:
        yield url


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=100-299", 100, 299), ("bytes=10000-", 10000, 10239), ("bytes=-5", 10235, 10239),
     ("bytes=10200-99999", 10200, 10239), ("bytes=-99999", 0, 10239), ("BYTES=007-0008", 7, 8), ("bytes=10239-10239", 10239, 10239),
     ("bytes=5-" + "9" * 6000, 5, 10239), ("bytes=-" + "9" * 6000, 0, 10239), ("bytes=" + "0" * 6000 + "4-6", 4, 6)],
)  # fmt: skip
def test_a_range_gives_just_those_bytes(address, wanted, first, last):
    status, headers, body = ask(address, FILE, Range=wanted)
    assert status == 206
    assert headers["Content-Range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert body == CONTENT[first : last + 1] and headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("wanted", [f"bytes={len(CONTENT)}-", "bytes=-0", "bytes=-000", "bytes=99999-100000", f"bytes={'9' * 6000}-"])
def test_a_range_that_the_file_does_not_have_is_refused(address, wanted):
    status, headers, body = ask(address, FILE, Range=wanted)
    assert (status, headers["Content-Range"], body) == (416, f"bytes */{len(CONTENT)}", b"")


@pytest.mark.parametrize("wanted", ["bytes=0-", "bytes=-0", "bytes=0-5"])
def test_an_empty_file_has_no_range(address, wanted):
    status, headers, _ = ask(address, "/empty.bin", Range=wanted)
    assert (status, headers["Content-Range"]) == (416, "bytes */0")


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "lines=1-2", "bytes=5-4", "bytes=-", "bytes=", "bytes", "", "bytes=a-b", "bytes=1", "bytes = 1-2",
                                    "bytes=1-2-3", "bytes=+1-2", "bytes=0x1-2", "bytes=-1-2", "bytes=١-٢".encode().decode("latin-1"), "bytes=1-2;x", "none=0-1"])  # fmt: skip
def test_what_is_no_range_or_several_gives_the_whole_file(address, wanted):
    status, headers, body = ask(address, FILE, Range=wanted)
    assert (status, body, headers["Content-Range"]) == (200, CONTENT, None)


def test_a_range_means_nothing_to_head(address):
    status, headers, body = ask(address, FILE, method="HEAD", Range="bytes=1-2")
    assert (status, headers["Content-Length"], body) == (200, str(len(CONTENT)), b"")


def test_a_download_goes_on_with_the_same_file(address):
    headers = ask(address, FILE)[1]
    for same in (headers["ETag"], headers["Last-Modified"]):
        assert ask(address, FILE, Range="bytes=100-", If_Range=same)[::2] == (206, CONTENT[100:])


def test_a_download_of_another_file_begins_anew(address, site):
    tag = ask(address, FILE)[1]["ETag"]
    time = math.ceil((site / FILE[1:]).stat().st_mtime)
    dates = [email.utils.formatdate(each, usegmt=True) for each in (time - 1, time + 1, time + 10**6)]
    for other in ('"0-1"', f"W/{tag}", tag.strip('"'), f"{tag}, {tag}", "*", "garbage", "", "Mon, 99 Foo 2020", "0", *dates):
        status, _, body = ask(address, FILE, Range="bytes=100-", If_Range=other)
        assert (status, body) == (200, CONTENT), other


def test_a_condition_counts_before_a_range(address):
    headers = ask(address, FILE)[1]
    assert ask(address, FILE, Range="bytes=1-2", If_None_Match=headers["ETag"])[0] == 304
    assert ask(address, FILE, Range="bytes=1-2", If_None_Match='"x"')[::2] == (206, CONTENT[1:3])
    assert ask(address, FILE, Range="bytes=1-2", If_Match='"x"')[0] == 412
    assert ask(address, FILE, If_Modified_Since=headers["Last-Modified"])[0] == 304
    # A tag counts more than a date, and what is no date counts for nothing.
    assert ask(address, FILE, If_Modified_Since=headers["Last-Modified"], If_None_Match='"x"')[0] == 200
    assert ask(address, FILE, If_Modified_Since="yesterday")[0] == 200
    assert ask(address, FILE, If_Unmodified_Since=email.utils.formatdate(1, usegmt=True))[0] == 412
    for tags in ("*", f'"x", {headers["ETag"]}', f'W/{headers["ETag"]}'):
        assert ask(address, FILE, If_None_Match=tags)[0] == 304, tags


def test_an_unchanged_answer_says_what_it_would_have_said(address):
    headers = ask(address, FILE)[1]
    status, unchanged, body = ask(address, FILE, If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")
    assert {name: unchanged[name] for name in ("ETag", "Cache-Control")} == {name: headers[name] for name in ("ETag", "Cache-Control")}


def test_a_file_that_changes_between_has_another_tag(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    with serving(tmp_path) as url:
        tag = ask(url, "/a.bin")[1]["ETag"]
        (tmp_path / "a.bin").write_bytes(b"xyz")
        os.utime(tmp_path / "a.bin", ns=(5, 5))
        assert ask(url, "/a.bin", Range="bytes=1-", If_Range=tag)[::2] == (200, b"xyz")
