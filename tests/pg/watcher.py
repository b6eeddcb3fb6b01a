"""Stop a test server when the process that started it is gone, however it went.

Run as ``python -I watcher.py FOLDER``, with the read end of a pipe as standard input: the pipe ends when its writer
does, also by ``kill -9``; a byte in it says the same. Nothing but the standard library, and nothing of taf.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path


def wait_for_parent() -> None:
    """Return when the pipe ends or says so, or when the parent is gone: a forked child of it may hold the pipe open."""
    parent = os.getppid()
    while os.getppid() == parent and not select.select([0], [], [], 1.0)[0]:
        pass


def serves(pid: int, place: Path) -> bool:
    """Say whether ``pid`` is the server of a folder: it works in it."""
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd") == str(place)
    # Without /proc, or when the process is gone.
    return not Path("/proc/self").exists() and _alive(pid)


def _alive(pid: int) -> bool:
    with suppress(OSError):
        os.kill(pid, 0)
        return True
    return False


def end(pid_file: Path, place: Path) -> None:
    """Stop the server that wrote ``pid_file`` and works in ``place`` (it is thrown away); wait until it is gone."""
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    for number in (signal.SIGQUIT, signal.SIGKILL):
        if serves(pid, place):
            with suppress(OSError):
                os.kill(pid, number)
        until = time.monotonic() + 10
        while serves(pid, place) and time.monotonic() < until:
            time.sleep(0.02)


def main(folder: Path) -> None:
    """Wait, then clear away."""
    wait_for_parent()
    end(folder / "pgbouncer.pid", folder)
    end(folder / "data" / "postmaster.pid", folder / "data")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
