"""Whatever the hub answers, the user is told which model, what is wrong and what to do."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from compiler.checkpoint import open_checkpoint
from compiler.errors import GemletError


class RefusingHub(ThreadingHTTPServer):
    """Answers every request with one status and error code."""

    status = 404
    code = ""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("X-Error-Code", self.server.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[RefusingHub]:
    with RefusingHub(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "RepoNotFound", r"no such model on the hub, or a private one \(status 404\)"),
        (401, "RepoNotFound", r"no such model on the hub, or a private one \(status 401\)"),
        (403, "GatedRepo", "the hub wants its terms accepted first"),
        (404, "RevisionNotFound", "the model has no such revision"),
    ],
)
def test_a_refusal_names_the_model_and_the_reason(hub, status, code, message):
    hub.status, hub.code = status, code
    with pytest.raises(GemletError, match=f"owner/tiny-gemma: {message}"):
        open_checkpoint("owner/tiny-gemma")


def test_a_hub_out_of_reach_without_a_cached_copy_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nothing listens
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(GemletError, match="owner/tiny-gemma: the hub cannot be reached and the local cache does"):
        open_checkpoint("owner/tiny-gemma")


def test_what_is_neither_a_path_nor_a_hub_id_asks_no_hub(hub):
    with pytest.raises(GemletError, match="tiny-gemma: no such file or folder"):
        open_checkpoint("tiny-gemma")
    with pytest.raises(GemletError, match="no such file or folder"):
        open_checkpoint("some/deeper/path")
