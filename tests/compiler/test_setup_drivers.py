"""What the tests drive is found, or installed: Chromium, Firefox, and Mesa's llvmpipe."""
import os
from pathlib import Path

import pytest

from compiler.errors import GemletError
from compiler.setup import chromium, llvmpipe
from compiler.setup.chromium import ensure_chromium, find_chromium
from compiler.setup.firefox import ensure_firefox, find_firefox
from compiler.setup.llvmpipe import ensure_llvmpipe
from tests.fixtures.programs import path, program  # noqa: F401  (path: a fixture)

# Chromium


@pytest.fixture
def no_browser(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer without any browser; gives its folder of programs."""
    monkeypatch.delenv(chromium.VARIABLE, raising=False)
    monkeypatch.setattr(chromium, "PROGRAM_QUESTION", "print('/no/such/browser')")
    return path


def test_the_browser_of_the_variable_comes_first(no_browser, monkeypatch):
    program(no_browser / "chromium")
    mine = program(no_browser / "mine")
    monkeypatch.setenv(chromium.VARIABLE, str(mine))
    assert find_chromium() == str(mine)


def test_a_variable_that_names_no_browser_is_an_error(no_browser, monkeypatch):
    program(no_browser / "chromium")
    monkeypatch.setenv(chromium.VARIABLE, "/no/such/browser")
    with pytest.raises(GemletError, match="GEMLET_CHROMIUM is '/no/such/browser'"):
        find_chromium()
    with pytest.raises(GemletError, match="GEMLET_CHROMIUM is '/no/such/browser'"):
        ensure_chromium(no_browser)


def test_a_browser_that_does_not_start_is_passed_over(no_browser):
    program(no_browser / "chromium", "exit 127")
    chrome = program(no_browser / "google-chrome")
    assert find_chromium() == str(chrome)


def test_playwright_s_own_browser_is_found(no_browser, monkeypatch):
    own = program(no_browser / "own")
    monkeypatch.setattr(chromium, "PROGRAM_QUESTION", f"print({str(own)!r})")
    assert find_chromium() == str(own)


def test_no_browser_at_all_is_an_error(no_browser):
    with pytest.raises(GemletError, match="no Chromium starts here.*\n.*set GEMLET_CHROMIUM"):
        find_chromium()


def test_where_playwright_cannot_download_debian_s_browser_is_installed(no_browser, monkeypatch, tmp_path):
    program(no_browser / "apt-get", f'if [ "$1" = install ]; then echo "#!/bin/sh" > {no_browser}/chromium; chmod 755 {no_browser}/chromium; fi')
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert ensure_chromium(tmp_path, playwright=["sh", "-c", "exit 1"]) == str(no_browser / "chromium")


def test_without_rights_to_install_the_failure_of_playwright_is_told(no_browser, monkeypatch, tmp_path):
    program(no_browser / "apt-get", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(GemletError, match="Chromium, from Playwright: the command ended with exit status 1"):
        ensure_chromium(tmp_path, playwright=["sh", "-c", "exit 1"])


# Firefox


def test_debian_s_firefox_is_installed_once(path, monkeypatch, tmp_path, capsys):
    program(path / "apt-get", f'if [ "$1" = install ]; then echo "#!/bin/sh" > {path}/firefox-esr; chmod 755 {path}/firefox-esr; fi')
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for _ in range(2):
        ensure_firefox(tmp_path)
    assert find_firefox() == str(path / "firefox-esr")
    assert capsys.readouterr().out.count("done in") == 2  # the list of packages, and the browser


def test_without_firefox_its_tests_are_skipped(path, monkeypatch, tmp_path, capsys):
    program(path / "firefox", "exit 1")  # as a system's script that only tells how to install it
    ensure_firefox(tmp_path)
    program(path / "apt-get", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    ensure_firefox(tmp_path)
    assert "so its tests are skipped" in capsys.readouterr().out and find_firefox() is None


# llvmpipe


@pytest.fixture
def adapters(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that holds what wgpu finds, a line an adapter, with OpenGL alone at first."""
    file = tmp_path / "adapters"
    file.write_text("llvmpipe (LLVM 15.0.6, 256 bits) (CPU) via OpenGL\n")
    monkeypatch.setattr(llvmpipe, "ADAPTERS_QUESTION", f"print(open({str(file)!r}).read())")
    return file


def test_llvmpipe_is_installed_from_debian_once(adapters, path, monkeypatch, tmp_path, capsys):
    program(path / "apt-get", f'[ "$1" = update ] || echo "llvmpipe (LLVM 19.1.7, 256 bits) (CPU) via Vulkan" >> {adapters}')
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for _ in range(2):
        ensure_llvmpipe(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "installing Debian's package mesa-vulkan-drivers, with what it needs, by apt-get (set GEMLET_NO_APT=1 to prevent it)"
    assert sum("done in" in line for line in lines) == 2  # the list of packages, and the driver


def test_nothing_is_installed_from_debian_where_that_is_forbidden(adapters, path, no_browser, monkeypatch, tmp_path, capsys):
    program(path / "apt-get", f"touch {tmp_path}/called")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("GEMLET_NO_APT", "1")
    with pytest.raises(GemletError, match="need llvmpipe"):
        ensure_llvmpipe(tmp_path)
    ensure_firefox(tmp_path)
    with pytest.raises(GemletError, match="from Playwright"):
        ensure_chromium(tmp_path, playwright=["sh", "-c", "exit 1"])
    assert not (tmp_path / "called").exists() and "apt-get" not in capsys.readouterr().out


@pytest.mark.parametrize("user", [0, 1000])
def test_without_llvmpipe_and_apt_get_it_is_told_what_to_install(adapters, monkeypatch, tmp_path, user):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(GemletError, match="need llvmpipe.*\n.*mesa-vulkan-drivers"):
        ensure_llvmpipe(tmp_path)


def test_without_rights_to_install_llvmpipe_nothing_is_tried(adapters, path, monkeypatch, tmp_path, capsys):
    program(path / "apt-get", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(GemletError, match="need llvmpipe"):
        ensure_llvmpipe(tmp_path)
    assert capsys.readouterr().out == ""


def test_a_driver_that_is_installed_but_not_found_is_an_error(adapters, path, monkeypatch, tmp_path):
    program(path / "apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(GemletError, match="WebGPU does not find it"):
        ensure_llvmpipe(tmp_path)
