"""Asks a child process what could hang or end this one: a library's parser, and patterns that a checkpoint brings along."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from compiler.errors import GemletError

SCRIPT = Path(__file__).with_name("guarded_child.py")
LONGEST_WAIT = 120  # seconds; the child's own limit is of processor time, and comes first where the system has such limits


class Guarded:
    """One child, started at the first question and anew after one that ended it."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def ask(self, where: str, question: dict[str, Any], content: bytes = b"") -> Any:
        """The child's answer. Raises GemletError, which begins with `where`, for its refusal, and where it ended or was
        too slow."""
        with self.lock:
            if self.child is None:
                self.child = subprocess.Popen(
                    [sys.executable, str(SCRIPT)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            child = self.child
            timer = threading.Timer(LONGEST_WAIT, child.kill)
            timer.start()
            try:
                child.stdin.write(json.dumps(question | {"bytes": len(content)}).encode() + b"\n" + content)
                child.stdin.flush()
                line = child.stdout.readline()
            except BrokenPipeError:
                line = b""
            finally:
                timer.cancel()
            if not line.endswith(b"\n"):
                self.close()
                raise GemletError(
                    f"{where}: it takes too much time or memory, or ends the process that reads it "
                    f"(status {child.returncode}). Download the file again."
                )
        answer = json.loads(line)
        if "error" in answer:
            raise GemletError(f"{where}: {answer['error']}. Download the file again.")
        return answer["value"]

    def close(self) -> None:
        """Ends the child, if there is one."""
        child, self.child = self.child, None
        if child is not None:
            child.kill()
            child.wait()
            child.stdout.close()
            try:
                child.stdin.close()
            except BrokenPipeError:  # it had not read all
                pass


guarded = Guarded()
