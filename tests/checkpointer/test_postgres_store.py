"""What only the Postgres store does: tables, sessions, takeovers, lost connections."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from taf.checkpointer import PgCheckpointer, postgres_loops, postgres_pulse
from taf.checkpointer.base import Change, Signal, ThreadKey
from taf.checkpointer.postgres_connections import Settings
from taf.checkpointer.postgres_schema import VERSION
from taf.errors import (
    CheckpointerError,
    ConfigError,
    StaleOwnerError,
    StoreCorruptError,
    StoreUnavailableError,
    ThreadBusyError,
)
from taf.testing.store.owner import HANG, KEY, RUN, Owner, make_record, until, until_acquired


@pytest.fixture
async def store(pg_dsn: str) -> AsyncIterator[PgCheckpointer]:
    async with PgCheckpointer(pg_dsn) as store:
        yield store


@pytest.fixture
async def other(pg_dsn: str) -> AsyncIterator[PgCheckpointer]:
    """What another process would have."""
    async with PgCheckpointer(pg_dsn) as store:
        yield store


@pytest.fixture
async def database(pg_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(pg_dsn)
    yield connection
    await connection.close()


async def sessions(database: asyncpg.Connection[asyncpg.Record]) -> list[int]:
    """The server processes of all other clients of this database."""
    found = await database.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return [row["pid"] for row in found]


def forked(work: Callable[[], object]) -> int:
    """Return 0 when the work is refused in a forked process."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
        except CheckpointerError:
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


# -- tables ----------------------------------------------------------------------------------------


async def test_stores_of_several_schemas_and_prefixes_share_a_database(pg_dsn: str) -> None:
    names: list[dict[str, Any]] = [{}, {"schema": "other"}, {"table_prefix": "a_"}, {"schema": "public"}]
    stores = [PgCheckpointer(pg_dsn, **options) for options in names]
    for number, one in enumerate(stores):
        await (await Owner.of(one)).append(*[make_record(n) for n in range(1, number + 2)])

    assert [len(await one.read(KEY)) for one in stores] == [1, 2, 3, 4]
    for one in stores:
        await one.aclose()


@pytest.mark.parametrize(
    "wrong",
    [
        {"dsn": "threads.db"},
        {"dsn": 5},
        {"schema": 'a"; DROP'},
        {"schema": ""},
        {"table_prefix": "A"},
        {"pool_size": 0},
        {"command_timeout": 0},
    ],
)
def test_what_cannot_be_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        PgCheckpointer(**{"dsn": "postgresql://localhost/db", **wrong})


async def test_ten_stores_set_up_an_empty_database_at_once(
    pg_dsn: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    stores = [PgCheckpointer(pg_dsn) for _ in range(10)]

    await asyncio.gather(*(one.setup() for one in stores))

    assert await database.fetchval("SELECT count(*) FROM taf.migrations") == VERSION
    for one in stores:
        await one.aclose()


async def test_tables_of_a_newer_version_are_refused(
    store: PgCheckpointer, other: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await store.setup()
    await database.execute("INSERT INTO taf.migrations (number) VALUES (99)")

    with pytest.raises(StoreUnavailableError, match="newer taf"):
        await other.setup()


async def test_a_user_who_may_not_make_tables_is_told_so(
    pg_dsn: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await database.execute("CREATE ROLE guest LOGIN")
    try:
        async with PgCheckpointer(pg_dsn.replace("//postgres@", "//guest@")) as store:
            with pytest.raises(StoreUnavailableError, match="permission denied"):
                await store.setup()
    finally:
        await database.execute("DROP ROLE guest")


# -- sessions --------------------------------------------------------------------------------------


async def test_a_killed_owner_is_followed_at_once_and_cannot_write(
    store: PgCheckpointer,
    other: PgCheckpointer,
    database: asyncpg.Connection[asyncpg.Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = await Owner.of(store, lease_seconds=3600)
    await owner.step()
    with pytest.raises(ThreadBusyError):
        await Owner.of(other)

    async def never(settings: Settings, dsn: str) -> Any:
        raise ConnectionError("its process is dead")

    monkeypatch.setattr(Settings, "connect", never)
    for pid in await sessions(database):  # as when its process dies: the server lets go of its life-lock
        await database.execute("SELECT pg_terminate_backend($1)", pid)
    heir = await until_acquired(other)

    assert heir.head == 1
    with pytest.raises(StaleOwnerError):
        await owner.step()


async def test_an_owner_whose_connections_were_cut_goes_on_if_nobody_followed(
    store: PgCheckpointer, other: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    owner = await Owner.of(store)
    for _ in range(5):
        for pid in await sessions(database):
            await database.execute("SELECT pg_terminate_backend($1)", pid)
        await owner.step()

    assert [record.sequence for record in await store.read(KEY)] == [1, 2, 3, 4, 5]
    async with asyncio.timeout(20):  # it holds a life-lock again
        while await database.fetchval(
            "SELECT NOT EXISTS (SELECT FROM taf.threads"
            " JOIN pg_locks ON (classid::bigint << 32) | objid::bigint = life_lock)"
        ):
            await asyncio.sleep(0.01)
    with pytest.raises(ThreadBusyError):
        await Owner.of(other)


async def test_a_lease_is_renewed_and_an_owner_without_a_session_keeps_its_thread(pg_dsn: str) -> None:
    pooled: dict[str, Any] = {"statement_cache_size": 0}
    async with PgCheckpointer(pg_dsn, **pooled) as store, PgCheckpointer(pg_dsn, **pooled) as other:
        owner = await Owner.of(store, lease_seconds=0.3)
        await asyncio.sleep(0.9)

        with pytest.raises(ThreadBusyError):
            await Owner.of(other)
        await owner.step()
        told: list[Change] = []
        store.watch(KEY, told.append, signals_only=True)
        assert await other.signal(KEY, Signal("stop", RUN))
        await until(lambda: told)
        assert [signal.kind for signal in told[0].signals] == ["stop"]


async def test_a_pooler_without_a_direct_address_is_told_of(pg_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "taf.checkpointer"):
        async with PgCheckpointer(pg_dsn, statement_cache_size=0) as store:
            await store.setup()
            await until(lambda: caplog.records)

    assert "direct_dsn" in caplog.text


async def test_a_stop_is_heard_though_its_notification_was_lost(
    store: PgCheckpointer, other: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    owner = await Owner.of(store)
    await owner.step()
    told: list[Change] = []
    store.watch(KEY, told.append, signals_only=True)
    await store.threads()
    pulse = store._machinery.pulse
    pulse._on_notify = lambda *_: None
    for pid in await sessions(database):
        await database.execute("SELECT pg_terminate_backend($1)", pid)  # so that it listens anew, in vain
    async with asyncio.timeout(20):
        while not await other.signal(KEY, Signal("stop", RUN)):  # not before its owner is known to live again
            await asyncio.sleep(0.01)

    await until(lambda: told)


async def test_a_watcher_is_not_overslept_by_a_heartbeat_that_had_nobody_to_look_for(
    store: PgCheckpointer, other: PgCheckpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_pulse, "IDLE_SECONDS", 3600.0)
    store._machinery.pulse._on_notify = lambda *_: None
    for number in range(40):  # each is watched some moment after the one before was not watched any more
        key = ThreadKey("", f"thread {number}")
        owner = await Owner.of(store, key, lease_seconds=3600)
        await owner.step()
        told: list[Change] = []
        unwatch = store.watch(key, told.append, signals_only=True)
        await asyncio.sleep(random.uniform(0, 0.03))
        assert await other.signal(key, Signal("stop", RUN))
        await until(lambda told=told: told)
        unwatch()


# -- losing the server -----------------------------------------------------------------------------


async def test_a_server_that_is_not_there_is_an_error_of_our_own() -> None:
    async with PgCheckpointer("postgresql://postgres@127.0.0.1:9/none", command_timeout=0.3) as store:
        with pytest.raises(StoreUnavailableError, match="list threads"):
            await store.threads()
        store.abandon(KEY, 1)


async def test_an_unknown_database_is_an_error_of_our_own(pg_dsn: str) -> None:
    async with PgCheckpointer(pg_dsn + "_none", command_timeout=0.3) as store:
        with pytest.raises(StoreUnavailableError, match="does not exist"):
            await store.setup()


# -- the process -----------------------------------------------------------------------------------


async def test_a_forked_process_is_refused(store: PgCheckpointer) -> None:
    await store.setup()
    assert forked(lambda: store.watch(KEY, print)) == 0
    await store.threads()


async def test_closing_frees_what_is_owned(pg_dsn: str, other: PgCheckpointer) -> None:
    store = PgCheckpointer(pg_dsn)
    await (await Owner.of(store, lease_seconds=3600)).step()

    await store.aclose()

    assert (await until_acquired(other)).head == 1


async def test_a_forgotten_store_lets_go_of_its_connections_and_its_thread(
    pg_dsn: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    store = PgCheckpointer(pg_dsn)
    await store.setup()
    assert await sessions(database)

    del store
    gc.collect()

    async with asyncio.timeout(20):
        while await sessions(database):
            await asyncio.sleep(0.01)
    await until(lambda: "taf-postgres" not in {thread.name for thread in threading.enumerate()})


async def test_a_grant_for_a_loop_that_is_gone_is_given_back(pg_dsn: str, store: PgCheckpointer) -> None:
    code = (
        "import asyncio, sys\n"
        "from taf.checkpointer import PgCheckpointer\n"
        "from taf.checkpointer.base import ThreadKey\n"
        "store = PgCheckpointer(sys.argv[1])\n"
        "async def begin():\n"
        "    await store.setup()\n"
        "    asyncio.get_running_loop().create_task(store.acquire(ThreadKey('', 'thread'), lease_seconds=3600))\n"
        "    await asyncio.sleep(0)\n"
        "loop = asyncio.new_event_loop()\n"
        "loop.run_until_complete(begin())\n"
        "loop.stop(); loop.close()\n"
        "import time; time.sleep(0.5)\n"
        "print('free', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, pg_dsn, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"free\n"

    await until_acquired(store)
    await process.communicate(b"")


async def test_names_of_any_text_are_listed_in_the_order_of_their_code_points(store: PgCheckpointer) -> None:
    names = ["\x00", "a", "\x1fb", "\ud800", "\U0001f600", "\uffff", "é"]
    for name in names:
        await (await Owner.of(store, ThreadKey("t\x00", name))).step(is_release=True)

    assert [row.thread_id for row in await store.threads("t\x00")] == sorted(names)


async def test_a_claim_of_a_row_that_cannot_be_read_leaves_nothing_claimed(
    store: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await (await Owner.of(store)).step(is_release=True)
    await database.execute("UPDATE taf.threads SET status = $1", b"\xff")
    with pytest.raises(StoreCorruptError):
        await Owner.of(store)
    await database.execute("UPDATE taf.threads SET status = $1", b"completed")
    assert (await Owner.of(store)).head == 1


async def test_a_signal_that_cannot_be_read_does_not_make_a_commit_look_like_a_failure(
    store: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    owner = await Owner.of(store)
    await owner.step()
    assert await store.signal(KEY, Signal("stop", RUN))
    bad = [
        bytes(8) + body for body in (b"7", b"[1]", b'["stop", "run-1", 7, 1]', b'[["stop"], 5, "", 1]', b"\xff", b"")
    ]
    await database.execute("UPDATE taf.threads SET signals = $1::bytea[] || signals || $1::bytea[]", bad)

    assert [signal.kind for signal in await owner.step()] == ["stop"]
    assert len(await store.read(KEY)) == 2


async def test_what_is_refused_costs_no_connection(
    store: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_loops, "WARM", 1000)  # none is opened meanwhile
    owner = await Owner.of(store)
    await owner.step()
    before = await sessions(database)
    for _ in range(5):
        with pytest.raises(ThreadBusyError):
            await store.acquire(KEY, lease_seconds=15)
        with pytest.raises(StaleOwnerError):
            await store.append(owner.commit([make_record(9)], expected=8))
    assert sorted(await sessions(database)) == sorted(before)
    await owner.step()


async def test_a_connection_goes_back_to_the_pool_when_nobody_needs_it(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taf.checkpointer.postgres_connections.SPARE_SECONDS", 0.01)
    async with PgCheckpointer(pg_dsn, pool_size=2) as store:
        owner = await Owner.of(store)
        connections = store._machinery.service._connections
        assert connections is not None
        for _ in range(3):
            await asyncio.gather(owner.step(), *[store.load(KEY) for _ in range(6)])
            await until(lambda: not connections._spare and connections._pool.get_idle_size())


async def test_what_the_driver_leaves_behind_is_not_told(
    store: PgCheckpointer, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(error: Exception) -> None:
        asyncio.get_running_loop().create_future().set_exception(error)
        gc.collect()
        left.set()

    await store.threads()
    for error in (ConnectionError("unexpected connection_lost() call"), ValueError("a fault")):
        left = threading.Event()
        store._machinery.service.call(lambda error=error: leave(error))
        await asyncio.to_thread(left.wait, HANG)
    (told,) = [record for record in caplog.records if record.name == "asyncio"]
    assert "never retrieved" in told.getMessage()
    assert "a fault" in told.getMessage()
