"""A real pgbouncer in transaction mode before a server: the pooler that people have, and what it breaks.

Each transaction runs on whichever of few connections is free. So a session lock belongs to nobody, a prepared statement
is somewhere else, and LISTEN hears nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from tests.pg.binaries import Account, PostgresMissingError, environment, server_account
from tests.pg.folder import free_port, watched_folder

PATIENCE = 60.0  # seconds to start or to stop
FEW = 5
"""Connections to the server for each database: fewer than a store's clients, so that they are really shared."""


@dataclass(frozen=True)
class Pooler:
    """A pooler that runs in ``folder``."""

    folder: Path
    port: int
    user: str
    pid: int

    def dsn(self, direct: str) -> str:
        """Return what leads to the database of ``direct`` by way of the pooler."""
        return urlunsplit(urlsplit(direct)._replace(netloc=f"{self.user}@127.0.0.1:{self.port}"))


@contextmanager
def running_pooler(dsn: str) -> Generator[Pooler]:
    """Run a pooler before the server of ``dsn``, for all its databases.

    It lets every user in by name, without a password. Raise PostgresMissingError when there is no pgbouncer.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise PostgresMissingError("This test needs pgbouncer: run `make test-e2e`, which installs it.")
    account, server = server_account(), urlsplit(dsn)
    with watched_folder(account) as folder:
        port = free_port()
        settings = _configure(folder, account, server, port)
        process = _start(program, settings, folder, account)
        try:
            _wait_until_ready(process, folder)
            yield Pooler(folder, port, server.username or "postgres", process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _configure(folder: Path, account: Account, server: SplitResult, port: int) -> Path:
    user = unquote(server.username or "postgres")
    password = unquote(server.password or "")
    users = folder / "users.txt"
    users.write_text(f'"{user}" "{password}"\n')
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"""
[databases]
* = host={server.hostname} port={server.port or 5432}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {FEW}
max_client_conn = 500
pidfile = {folder / "pgbouncer.pid"}
logfile = {folder / "log"}
"""
    )
    for file in (users, settings):
        account.own(file)
    return settings


def _start(program: str, settings: Path, folder: Path, account: Account) -> subprocess.Popen[bytes]:
    with (folder / "output").open("ab") as output:
        return subprocess.Popen(
            [program, str(settings)],
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
            cwd=folder,  # by which the watcher knows it
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + PATIENCE
    log = folder / "log"
    while not (log.exists() and "process up" in log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            process.wait()
            raise RuntimeError(f"pgbouncer did not start.\n{(folder / 'output').read_text(errors='replace')}")
        time.sleep(0.005)
