"""A real S3 server for tests: `rclone serve s3` over a local folder, whose subfolders are the buckets."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KEY, SECRET = "testkey", "testsecret"


class Server:
    """A server on a port of its own, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if rclone is None:
            pytest.skip("rclone is not installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        address = f"127.0.0.1:{self.port}"
        self.command = [rclone, "serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--addr", address, str(folder)]
        self.uri = f"s3://{KEY}:{SECRET}@{{}}?scheme=http&endpoint_override={address}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.05)

    def stop(self) -> None:
        """Let it answer no more, its connections open; return when the last of its threads has stopped."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the folder; give what stands between a bucket's path and its query: call `.format(path)` on it."""
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    server = Server(folder)
    try:
        yield server.uri
    finally:
        server.kill()
