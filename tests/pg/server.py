"""A Postgres server of one's own: made, started, stopped and thrown away by the tests that need it.

``with running_postgres() as server: ... server.dsn(database)``. It listens on a loopback port and on a socket, trusts
everybody, lives in a temporary folder, and a watcher ends it when its owner is killed.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.pg.admin import Admin
from tests.pg.binaries import Account, Binaries, PostgresMissingError, environment, server_account, usable
from tests.pg.folder import free_port, watched_folder

Mode = Literal["smart", "fast", "immediate"]
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

PATIENCE = 60.0  # seconds to start or to stop, on a busy machine too

# synchronous_commit stays on: without it an immediate stop loses what was acknowledged. With fsync off it does not.
_FAST = ("fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0")
_ALWAYS = ("max_connections=200", "shared_buffers=64MB", "log_min_messages=warning", "timezone=UTC")


class PostgresServer:
    """One cluster in ``folder``; ``start`` may be called again after ``stop``, on the same port and data."""

    def __init__(
        self,
        folder: Path,
        account: Account,
        binaries: Binaries,
        *,
        fsync: bool = False,
        settings: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.log = folder / "log"
        self.fsync, self.settings = fsync, settings
        self.port = free_port()
        self.bin_dir = binaries.folder
        self.admin = Admin(self.dsn)
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process id; raise RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError("The Postgres server is not running: call start().")
        return self._process.pid

    def dsn(self, database: str = "postgres") -> str:
        """Return the address of ``database`` by TCP."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def socket_dir(self) -> Path:
        """The folder of the server's socket."""
        return self.folder

    def create(self) -> None:
        """Make the cluster's files."""
        options = ("-N", "--locale=C", "-E", "UTF8", "-A", "trust", "-U", "postgres")
        done = self._account.run(self.bin_dir / "initdb", "-D", self.data_dir, *options, cwd=self.folder)
        if done.returncode:
            raise PostgresMissingError(f"initdb failed:\n{done.stdout}")

    def start(self) -> None:
        """Start the server and return when it takes connections."""
        if self._process is not None:
            raise RuntimeError("The Postgres server is running already.")
        kept = (*_ALWAYS, *(() if self.fsync else _FAST), *self.settings)
        settings = (*kept, "listen_addresses=127.0.0.1", f"port={self.port}")
        options = [part for setting in settings for part in ("-c", setting)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.bin_dir / "postgres"), "-D", str(self.data_dir), "-k", str(self.socket_dir), *options],
                user=self._account.uid,
                group=self._account.gid,
                extra_groups=self._account.groups,
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests
            )
        self._wait_until_ready(self._process)

    def stop(self, mode: Mode = "fast") -> None:
        """Stop the server: ``fast`` ends its connections in order, ``immediate`` is a crash."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(_SIGNALS[mode])
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"The Postgres server did not stop ({mode}).\n{self._last_words()}") from None

    def restart(self, mode: Mode = "fast") -> None:
        """Stop and start, and return when it takes connections again."""
        self.stop(mode)
        self.start()

    def terminate_backends(self, database: str | None = None) -> int:
        """Cut every client's connection (to ``database`` alone, when given) and return how many there were."""
        return self.admin.terminate_backends(database)

    def close(self) -> None:
        """End everything; its files are the folder's owner's to remove."""
        self.admin.close()
        self.stop("immediate")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + PATIENCE
        while not self._is_ready(process.pid):
            if process.poll() is not None or time.monotonic() > until:
                self._process = None
                process.kill()
                process.wait()
                raise RuntimeError(f"The Postgres server did not start.\n{self._last_words()}")
            time.sleep(0.005)

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().split("\n")
        except OSError:
            return False
        # The first line too: a server that crashed leaves its file behind, and its last line says "ready".
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])


@contextmanager
def running_postgres(*, fsync: bool = False, settings: Sequence[str] = ()) -> Generator[PostgresServer]:
    """Run a new server for the length of a ``with`` block; ``fsync=True`` for what must hold after a power cut.

    ``settings``: more of the server's, as ``name=value``. Another value than here is usual wins.
    Raise PostgresMissingError when there is nothing to start.
    """
    account = server_account()
    # Watched before the first program runs: a killed owner leaves nothing at any moment.
    with watched_folder(account) as folder:
        programs = usable(account, folder / "programs")
        server = PostgresServer(folder, account, programs, fsync=fsync, settings=settings)
        try:
            server.create()
            _first_start(server)
            yield server
        finally:
            server.close()


def _first_start(server: PostgresServer) -> None:
    # A free port can be taken before the server has it. Once started it is kept over restarts.
    for attempt in range(5):
        try:
            return server.start()
        except RuntimeError as error:
            if attempt == 4 or "could not bind" not in str(error):
                raise
            server.port = free_port()
            server.log.unlink()
    return None
