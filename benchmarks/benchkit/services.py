"""A throw-away Redis. Only agentflow's Postgres checkpointer needs one; Postgres itself is that of the tests."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

from tests.pg.folder import free_port


@contextlib.contextmanager
def running_redis(folder: Path) -> Generator[str]:
    """Run a Redis with stock settings and no persistence, and give its URL: an empty one when none is installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield ""
        return
    folder.mkdir()
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise RuntimeError("redis did not start")
