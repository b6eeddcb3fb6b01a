"""A folder for programs that are started and thrown away: watched, so that nothing outlives a killed test run."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.pg.binaries import Account, PostgresMissingError

LONGEST_SOCKET = 107  # bytes in the name of a socket


@contextmanager
def watched_folder(account: Account) -> Generator[Path]:
    """Make a folder for ``account``; at the end, or when this process is killed, it goes with what still runs in it."""
    folder = _temporary_folder(account)
    command = [sys.executable, "-I", str(Path(__file__).with_name("watcher.py")), str(folder)]
    try:
        # Its pipe's other end is inherited by no other program.
        with subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", start_new_session=True) as watcher:
            try:
                yield folder
            finally:
                watcher.communicate(b".")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a loopback port that nobody listens on, outside the range that outgoing connections are given.

    Inside that range a client that retries while the server is down can be given the server's own port.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _temporary_folder(account: Account) -> Path:
    """Make a folder that ``account`` owns and reaches, with a name short enough for a socket in it."""
    for base in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
        if len(os.fsencode(f"{base}/taf-pg-12345678/.s.PGSQL.12345")) > LONGEST_SOCKET or not Path(base).is_dir():
            continue
        folder = Path(tempfile.mkdtemp(prefix="taf-pg-", dir=base)).resolve()
        account.own(folder)
        if account.run("/bin/sh", "-c", 'test -w "$0"', folder).returncode == 0:
            return folder
        folder.rmdir()
    raise PostgresMissingError("No temporary folder is short enough for a socket and open to the server's user.")
