"""An event loop that asks again and again has a connection of its own, and loses nothing by it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import asyncpg
import pytest

from taf.checkpointer import PgCheckpointer, postgres_loops
from taf.checkpointer.base import Signal, ThreadKey
from taf.checkpointer.postgres_connections import MOST_LOOPS, Connection
from taf.errors import CheckpointerClosedError, StaleOwnerError, ThreadBusyError
from taf.testing.store.owner import HANG, KEY, RUN, Owner, load, loops, make_interrupt, make_record, until
from tests.checkpointer.test_postgres_store import sessions
from tests.pg.proxy import Action, Proxy

COMMIT = "WITH fence"


async def server_process(store: PgCheckpointer) -> int:
    """Return the process of the server that a piece of work of this loop meets."""

    async def work(connection: Connection, _: int) -> int:
        return int(await connection.fetchval("SELECT pg_backend_pid()"))

    return await store._run("look", work)


async def own_process(store: PgCheckpointer) -> int:
    """Ask until this loop has a connection of its own, and return the process of the server behind it."""
    own = store._machinery.service._loops
    async with asyncio.timeout(HANG):
        while True:
            await store.threads()
            one = own._of.get(asyncio.get_running_loop())
            if one is not None and one._connection is not None:
                return one._connection.get_server_pid()


async def until_gone(database: asyncpg.Connection[asyncpg.Record], pid: int) -> None:
    async with asyncio.timeout(HANG):
        while pid in await sessions(database):
            await asyncio.sleep(0.01)


def in_a_thread(work: Coroutine[Any, Any, Any]) -> None:
    """Run something in a loop of its own, to its end."""
    thread = threading.Thread(target=asyncio.run, args=(work,))
    thread.start()
    thread.join()


@pytest.fixture
async def store(pg_proxy: Proxy) -> AsyncIterator[PgCheckpointer]:
    """A store that reaches its server by way of the proxy."""
    async with PgCheckpointer(pg_proxy.dsn, command_timeout=3.0) as store:
        await store.setup()
        yield store


@pytest.fixture
async def database(pg_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(pg_dsn)
    yield connection
    await connection.close()


# -- who has one -----------------------------------------------------------------------------------


async def test_what_comes_one_after_another_goes_through_the_loops_own(store: PgCheckpointer) -> None:
    first = await server_process(store)
    own = await own_process(store)
    assert own != first
    assert {await server_process(store) for _ in range(5)} == {own}
    together = await asyncio.gather(*[server_process(store) for _ in range(3)])
    assert together[0] == own
    assert own not in together[1:]


async def test_every_kind_of_work_is_done_there(store: PgCheckpointer, monkeypatch: pytest.MonkeyPatch) -> None:
    own = await own_process(store)
    monkeypatch.setattr(store._machinery.service, "call", lambda what: pytest.fail("it went to the other thread"))
    owner = await Owner.of(store)
    await owner.step()
    with pytest.raises(ThreadBusyError):
        await Owner.of(store)
    with pytest.raises(StaleOwnerError):
        await store.append(owner.commit([make_record(9)], expected=8))
    assert await store.signal(KEY, Signal("stop", RUN, b"enough"))
    assert [signal.body for signal in await owner.step(interrupts=[make_interrupt("i")])] == [b"enough"]
    await owner.release(status="interrupted")
    stored = await store.load(KEY)
    assert stored is not None
    assert (stored.head, stored.is_owned) == (2, False)
    assert [row.id for row in await store.interrupts(KEY)] == ["i"]
    assert await store.delete(KEY)
    assert await server_process(store) == own
    monkeypatch.undo()


@pytest.mark.parametrize("options", [{"pool_size": 1}, {"statement_cache_size": 0}])
async def test_a_store_of_one_connection_or_behind_a_pooler_has_none(pg_dsn: str, options: dict[str, int]) -> None:
    async with PgCheckpointer(pg_dsn, **options) as store:
        for _ in range(3 * postgres_loops.WARM):
            await store.threads()
        assert not store._machinery.service._loops._of


async def test_few_loops_have_one_and_all_stay_within_the_size_of_the_pool(
    pg_dsn: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with PgCheckpointer(pg_dsn) as store:
        with loops(MOST_LOOPS + 2) as running:

            async def work() -> int:
                for _ in range(3 * postgres_loops.WARM):
                    await asyncio.gather(*[store.threads() for _ in range(5)])
                return await server_process(store)

            await running.run(*[work] * (MOST_LOOPS + 2))
            own = store._machinery.service._loops._of
            assert len(own) == MOST_LOOPS
            await until(lambda: all(one._connection is not None for one in own.values()))
            assert len(await sessions(database)) <= 10 + 1  # the heartbeat has one
        await server_process(store)
        assert list(own) == [asyncio.get_running_loop()]  # the loops that ended have made room


# -- its end ---------------------------------------------------------------------------------------


async def test_one_that_is_not_used_is_closed(
    store: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_loops, "UNUSED_SECONDS", 0.05)
    own = await own_process(store)
    await until_gone(database, own)
    assert await own_process(store) != own


async def test_it_ends_with_its_loop(
    pg_dsn: str, store: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    seen: list[int] = []

    async def work() -> None:
        seen.append(await own_process(store))

    await asyncio.to_thread(in_a_thread, work())
    await until_gone(database, seen[0])


async def test_it_ends_with_its_store(pg_dsn: str, database: asyncpg.Connection[asyncpg.Record]) -> None:
    store = PgCheckpointer(pg_dsn)
    own = await own_process(store)
    store.close()
    await until_gone(database, own)
    with pytest.raises(CheckpointerClosedError):
        await store.threads()


async def test_one_that_the_server_ended_is_followed_by_another(
    store: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    owner = await Owner.of(store)
    own = await own_process(store)
    for _ in range(3):
        await database.execute("SELECT pg_terminate_backend($1)", own)
        await owner.step()
        await owner.step()
        before, own = own, await own_process(store)
        assert own != before
    assert owner.head == 6
    assert [record.sequence for record in await store.read(KEY)] == [1, 2, 3, 4, 5, 6]


# -- what is under way when something happens --------------------------------------------------------


@pytest.mark.parametrize("action", ["cut request", "cut answer", "swallow answer"])
async def test_a_commit_that_is_cut_there_is_made_once(pg_proxy: Proxy, store: PgCheckpointer, action: Action) -> None:
    owner = await Owner.of(store)
    for _ in range(3):
        await own_process(store)
        fault = pg_proxy.fault(action, COMMIT)
        await owner.step()
        assert fault.hits == 1
    assert [record.sequence for record in await store.read(KEY)] == [1, 2, 3]


@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_a_claim_that_is_cut_there_is_made(pg_proxy: Proxy, store: PgCheckpointer, action: Action) -> None:
    await own_process(store)
    fault = pg_proxy.fault(action, "INSERT INTO")
    owner = await Owner.of(store)
    assert fault.hits == 1
    await owner.step()


async def test_whoever_is_cancelled_meanwhile_learns_of_it_when_the_commit_is_made(store: PgCheckpointer) -> None:
    owner = await Owner.of(store)
    own = await own_process(store)
    for number in range(1, 6):
        step = asyncio.create_task(owner.step())
        await asyncio.sleep(0)  # it is under way
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        assert (await load(store)).head == owner.head == number
    assert await server_process(store) == own


async def test_a_loop_that_ends_meanwhile_waits_for_its_commit(store: PgCheckpointer) -> None:
    made: list[int] = []

    async def work() -> None:
        owner = await Owner.of(store, ThreadKey("", "elsewhere"))
        await own_process(store)

        async def step() -> None:
            try:
                await owner.step()
            finally:
                made.append(owner.head)

        steps = asyncio.create_task(step())
        await asyncio.sleep(0)
        assert not steps.done()

    await asyncio.to_thread(in_a_thread, work())
    assert made == [1]
    assert [record.sequence for record in await store.read(ThreadKey("", "elsewhere"))] == [1]


@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_a_store_that_is_closed_meanwhile_makes_its_commit(
    pg_dsn: str, database: asyncpg.Connection[asyncpg.Record], is_elsewhere: bool
) -> None:
    store = PgCheckpointer(pg_dsn)
    owner = await Owner.of(store)
    await own_process(store)
    step = asyncio.create_task(owner.step())
    await asyncio.sleep(0)
    assert not step.done()
    await (asyncio.to_thread(store.close) if is_elsewhere else asyncio.sleep(0))
    store.close()
    await step
    assert await database.fetchval("SELECT count(*) FROM taf.journal") == 1


async def crowd(store: PgCheckpointer, size: int = 20) -> list[Owner]:
    """Own many threads, in a loop that has a connection of its own."""
    await own_process(store)
    return [await Owner.of(store, ThreadKey("", f"thread {number}")) for number in range(size)]


async def heads(store: PgCheckpointer, owners: Sequence[Owner]) -> list[int]:
    """Read how far each thread has got."""
    return [(await load(store, owner.key)).head for owner in owners]


async def test_what_comes_while_it_is_in_use_goes_together(
    pg_proxy: Proxy, store: PgCheckpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = await crowd(store)
    monkeypatch.setattr(postgres_loops, "MOST", 8)
    monkeypatch.setattr(store._machinery.service, "call", lambda what: pytest.fail("it went to the other thread"))
    await asyncio.gather(*[owner.step() for owner in owners])
    commits = sum(count for statement, count in pg_proxy.statements.items() if COMMIT in statement)
    assert commits == 4  # 1 alone, and 8, 8 and 3
    assert await heads(store, owners) == [1] * len(owners)
    monkeypatch.undo()


async def test_plans_that_were_made_while_the_tables_were_small_do_not_read_all_of_them(
    store: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    async def read() -> int:
        seen = "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'taf'"
        return int(await database.fetchval(seen))

    async def steps(rounds: int) -> None:
        for _ in range(rounds):
            await asyncio.gather(*[owner.step() for owner in owners])
            await owners[0].step()

    owners = await crowd(store, 4)
    await steps(12)  # the server keeps a plan from the sixth time on
    await database.execute(
        "INSERT INTO taf.threads (tenant, thread, born, epoch)"
        " SELECT '', convert_to('another ' || n, 'UTF8'), 'x', 1 FROM generate_series(1, 20000) AS n"
    )
    await asyncio.sleep(1.1)  # a session shows once a second what it has read
    await steps(1)
    before = await read()
    await steps(5)
    await asyncio.sleep(1.1)
    await steps(1)
    assert await read() - before < 20_000


async def test_nobody_waits_for_long_behind_a_statement_that_waits_for_others(
    store: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    first, *owners = await crowd(store)
    async with database.transaction():  # whoever writes to the first thread waits for this
        await database.execute("SELECT FROM taf.threads WHERE thread = 'thread 0' FOR UPDATE")
        held = asyncio.create_task(first.step())
        await asyncio.sleep(0)
        await asyncio.gather(*[owner.step() for owner in owners])
        await asyncio.gather(*[owner.step() for owner in owners])  # nor do these begin to wait
        assert not held.done()
    await held
    assert await heads(store, [first, *owners]) == [1] + [2] * len(owners)


async def test_what_cannot_be_done_together_is_done_alone_for_as_long_as_the_others_wait(
    store: PgCheckpointer,
) -> None:
    owners = await crowd(store)
    store.abandon(owners[3].key, owners[3].epoch)
    results = await asyncio.gather(*[owner.step() for owner in owners], return_exceptions=True)
    assert [type(one) for one in results if isinstance(one, BaseException)] == [StaleOwnerError]
    assert [owner.head for owner in owners] == [1, 1, 1, 0] + [1] * (len(owners) - 4)


@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_what_waits_behind_one_that_is_cut_is_made(
    pg_proxy: Proxy, store: PgCheckpointer, action: Action
) -> None:
    owners = await crowd(store)
    fault = pg_proxy.fault(action, COMMIT)
    await asyncio.gather(*[owner.step() for owner in owners])
    assert fault.hits == 1
    assert await heads(store, owners) == [1] * len(owners)


@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_a_store_that_is_closed_meanwhile_makes_what_waits(
    pg_dsn: str, database: asyncpg.Connection[asyncpg.Record], is_elsewhere: bool
) -> None:
    store = PgCheckpointer(pg_dsn)
    owners = await crowd(store)
    steps = [asyncio.create_task(owner.step()) for owner in owners]
    await asyncio.sleep(0)
    await (asyncio.to_thread(store.close) if is_elsewhere else asyncio.sleep(0))
    store.close()
    await asyncio.gather(*steps)
    assert await database.fetchval("SELECT count(*) FROM taf.journal") == len(owners)


async def test_a_loop_that_ends_meanwhile_waits_for_what_waits(store: PgCheckpointer) -> None:
    mine: list[Owner] = []

    async def work() -> None:
        mine.extend(await crowd(store))
        steps = [asyncio.create_task(owner.step()) for owner in mine]
        await asyncio.sleep(0)
        assert not any([step.done() for step in steps])

    await asyncio.to_thread(in_a_thread, work())
    assert await heads(store, mine) == [1] * len(mine)


async def test_a_commit_that_is_made_while_it_is_looked_for_is_made_once(
    store: PgCheckpointer, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    owner = await Owner.of(store)
    await owner.step()
    pid = await own_process(store)
    one = store._machinery.service._loops._of[asyncio.get_running_loop()]
    async with database.transaction():  # whoever writes to the thread waits for this
        await database.execute("SELECT FROM taf.threads FOR UPDATE")
        step = asyncio.create_task(owner.step())
        await _until_waiting(database, {pid})
        assert one._connection is not None
        one._connection.terminate()  # the server goes on
        await _until_waiting(database, {pid}, and_others=1)
    await step
    assert [record.sequence for record in await store.read(KEY)] == [1, 2]


async def _until_waiting(database: asyncpg.Connection[asyncpg.Record], wanted: set[int], and_others: int = 0) -> None:
    async with asyncio.timeout(HANG):
        while True:
            found = await database.fetch("SELECT pid FROM pg_locks WHERE NOT granted")
            waiting = {row["pid"] for row in found}
            if wanted <= waiting and len(waiting - wanted) >= and_others:
                return
            await asyncio.sleep(0.005)
