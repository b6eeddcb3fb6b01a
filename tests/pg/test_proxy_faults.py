"""A network that loses requests and answers: every commit is resolved, once, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from taf.checkpointer import postgres, postgres_loops
from taf.checkpointer.base import Signal, Taken
from taf.checkpointer.postgres import PgCheckpointer
from taf.checkpointer.postgres_connections import Connection
from taf.checkpointer.postgres_mail import REMEMBERED, Left, Posting
from taf.errors import StoreUnavailableError
from taf.testing.store.mail import message, names
from taf.testing.store.owner import KEY, RUN, Owner, fill, load, make_record
from tests.pg.counting import IS_TORTURE, check, counting
from tests.pg.proxy import Action, Proxy

CUTS = 200 if IS_TORTURE else 20
HANG = 20.0
"""Bounds what would otherwise hang; nothing is measured by it."""

BRIEF = 0.5
"""Seconds that a store may try, where it is to give up."""

COMMIT = "WITH fence"
LOSSES: tuple[Action, ...] = ("cut request", "cut answer", "swallow answer")


@pytest.fixture(params=[postgres_loops.WARM, 1])
async def store(
    pg_proxy: Proxy, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PgCheckpointer]:
    """A store that reaches its server by way of the proxy, and lends its connections to loops sooner or later."""
    monkeypatch.setattr(postgres_loops, "WARM", request.param)
    async with PgCheckpointer(pg_proxy.dsn, command_timeout=3 * BRIEF) as store:
        await store.setup()
        yield store


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_every_commit_that_is_cut_is_made_once(
    pg_proxy: Proxy, store: PgCheckpointer, action: Action, resets: bool
) -> None:
    pg_proxy.resets = resets
    owner = await Owner.of(store)
    for _ in range(CUTS):
        pg_proxy.fault(action, COMMIT)
        await owner.step()
    assert pg_proxy.cuts == CUTS
    records = await store.read(KEY)
    assert [record.sequence for record in records] == list(range(1, CUTS + 1))
    print(f"{CUTS} commits, each {action.replace(' ', ' its ')} once: {len(records)} made, 0 lost, 0 doubled")


async def test_a_commit_is_made_once_when_looking_it_up_is_cut_too(pg_proxy: Proxy, store: PgCheckpointer) -> None:
    owner = await Owner.of(store)
    commit = pg_proxy.fault("cut answer", COMMIT)
    looking = pg_proxy.fault("cut answer", "SELECT t.mark", times=3)
    await owner.step()
    assert (commit.hits, looking.hits) == (1, 3)
    assert [record.sequence for record in await store.read(KEY)] == [1]


async def test_a_release_whose_answer_is_lost_is_made(pg_proxy: Proxy, store: PgCheckpointer) -> None:
    owner = await Owner.of(store)
    fault = pg_proxy.fault("cut answer", COMMIT)
    await owner.append(make_record(1), is_release=True, status="completed")
    assert fault.hits == 1
    assert not (await load(store)).is_owned


async def test_a_release_is_made_though_the_heartbeat_sees_it_before_its_answer(
    pg_proxy: Proxy, store: PgCheckpointer
) -> None:
    owner = await Owner.of(store, lease_seconds=0.03)
    pg_proxy.fault("cut answer", COMMIT)
    looking = pg_proxy.fault("cut request", "SELECT t.mark", times=3)
    await owner.append(make_record(1), is_release=True, status="completed")
    assert looking.hits == 3
    assert [record.sequence for record in await store.read(KEY)] == [1]


async def test_a_signal_whose_answer_is_lost_is_left_once(pg_proxy: Proxy, store: PgCheckpointer) -> None:
    owner = await Owner.of(store)
    await owner.step()
    fault = pg_proxy.fault("cut answer", "pg_notify")
    assert await store.signal(KEY, Signal("steer", RUN, b"one"))
    assert fault.hits == 1
    assert [signal.body for signal in await owner.step()] == [b"one"]


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "withdrawn"])
async def test_a_message_whose_answer_is_lost_is_not_left_again_when_it_is_gone(
    pg_proxy: Proxy, store: PgCheckpointer, pg_dsn: str, monkeypatch: pytest.MonkeyPatch, is_taken: bool
) -> None:
    """A message that steers is taken by another run: no record of its own tells that it was there."""
    is_gone = threading.Event()

    class Later(Posting):
        async def __call__(self, connection: Connection, attempt: int) -> Left | None:
            if attempt:
                assert await asyncio.to_thread(is_gone.wait, HANG)
            return await super().__call__(connection, attempt)

    monkeypatch.setattr(postgres, "Posting", Later)
    async with PgCheckpointer(pg_dsn) as direct:
        owner = await Owner.of(direct)
        await owner.step()
        fault = pg_proxy.fault("cut answer", "pg_notify")
        posting = asyncio.create_task(store.post(KEY, message("a", "steer"), Signal("steer", "", b"a")))
        while not (waiting := (await direct.mail(KEY)).messages):
            await asyncio.sleep(0.01)
        if is_taken:
            await owner.step(taken=Taken([waiting[0].id], None))
        else:
            assert await direct.amend(KEY, waiting[0].id, None)
        is_gone.set()

        assert await posting == 0  # it was there, and is not any more
        assert fault.hits == 1
        assert await names(direct) == []
        for number in range(2 * REMEMBERED):  # and no others are taken for it
            assert await store.post(KEY, message(f"m{number}", "steer"), Signal("steer", "", b"")) != 0
        assert len(await names(direct)) == 2 * REMEMBERED


async def test_a_removal_whose_answer_is_lost_says_that_it_removed(pg_proxy: Proxy, store: PgCheckpointer) -> None:
    await fill(store, 2)
    fault = pg_proxy.fault("cut answer", "DELETE FROM")
    assert await store.delete(KEY)
    assert fault.hits == 1


@pytest.mark.parametrize("action", LOSSES)
async def test_a_run_is_whole_wherever_one_statement_is_lost(
    pg_proxy: Proxy, store: PgCheckpointer, pg_dsn: str, action: Action
) -> None:
    """The first statement of a run is lost, in the next run the second one, and so on to the last."""
    async with counting(store) as app:
        place = 0
        while True:
            fault = pg_proxy.fault(action, skip=place)
            async with asyncio.timeout(HANG):
                await app.ainvoke({}, {"thread_id": f"run {place}"})
            is_over = fault.times == 1  # no statement was the one to be lost
            pg_proxy.heal()
            if is_over:
                break
            place += 1
    assert place >= 4  # an acquire, three steps
    for number in range(place + 1):
        await check(pg_dsn, f"run {number}", 1)


@asynccontextmanager
async def impatient(dsn: str) -> AsyncIterator[PgCheckpointer]:
    """A store that soon gives up. Its tables are there before: to make them takes as long as the machine needs."""
    async with PgCheckpointer(dsn) as patient:
        await patient.setup()
    async with asyncio.timeout(HANG), PgCheckpointer(dsn, command_timeout=BRIEF) as store:
        yield store


@pytest.mark.parametrize("is_known", [False, True])
async def test_a_server_that_never_answers_is_unavailable(pg_proxy: Proxy, is_known: bool) -> None:
    async with impatient(pg_proxy.dsn) as store:
        if is_known:
            await fill(store, 1)
        pg_proxy.is_black_hole = True
        with pytest.raises(StoreUnavailableError):
            await store.load(KEY)
        with pytest.raises(StoreUnavailableError):
            await store.acquire(KEY, lease_seconds=15.0)


async def test_a_commit_into_silence_is_unavailable_and_can_be_made_later(pg_proxy: Proxy) -> None:
    async with impatient(pg_proxy.dsn) as store:
        owner = await Owner.of(store)
        await owner.step()
        pg_proxy.is_black_hole = True
        with pytest.raises(StoreUnavailableError):
            await owner.step()
        pg_proxy.heal()
        await owner.step()
        assert [record.sequence for record in await store.read(KEY)] == [1, 2]


async def test_a_store_closes_while_the_server_never_answers(pg_proxy: Proxy) -> None:
    async with impatient(pg_proxy.dsn) as store:
        await Owner.of(store)
        pg_proxy.is_black_hole = True


async def test_runs_at_a_distance_are_whole(pg_proxy: Proxy, pg_dsn: str) -> None:
    async with PgCheckpointer(pg_proxy.dsn) as store, counting(store) as app:
        await store.setup()
        pg_proxy.latency = 0.2 if IS_TORTURE else 0.02
        await app.ainvoke({}, {"thread_id": "far"})
    await check(pg_dsn, "far", 1)
