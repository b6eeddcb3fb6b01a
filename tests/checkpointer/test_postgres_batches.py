"""Commits and claims of many threads that wait together go together, and each of them keeps what it was promised."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import asyncpg
import pytest

from taf.checkpointer import PgCheckpointer
from taf.checkpointer.base import Signal, ThreadKey
from taf.errors import StaleOwnerError, StoreCorruptError, ThreadBusyError
from taf.testing.store.owner import RUN, Owner, load, make_interrupt, make_record, until_acquired
from tests.pg.proxy import Action, Proxy

T = TypeVar("T")
KEYS = [ThreadKey("", f"thread {number}") for number in range(40)]
COMMIT, TOGETHER, CLAIMS = "WITH fence", "FROM unnest", "SELECT g.tenant"
READ = "UNION ALL"


@pytest.fixture
def store(proxied: PgCheckpointer) -> PgCheckpointer:
    return proxied


async def owners_of(store: PgCheckpointer, keys: Sequence[ThreadKey] = KEYS) -> list[Owner]:
    """Acquire threads, all at once."""
    return await asyncio.gather(*[Owner.of(store, key) for key in keys])


def made(proxy: Proxy, text: str) -> int:
    """Count the statements so far that hold a text."""
    return sum(count for statement, count in proxy.statements.items() if text in statement)


async def heads(store: PgCheckpointer) -> list[list[int]]:
    """Read which records each thread has."""
    return [[record.sequence for record in await store.read(key)] for key in KEYS]


async def test_what_is_done_at_once_takes_few_statements(pg_proxy: Proxy, store: PgCheckpointer) -> None:
    owners = await owners_of(store)
    assert len({owner.epoch for owner in owners}) == len(KEYS)
    assert made(pg_proxy, "INSERT INTO") < len(KEYS) / 2
    for _ in range(3):
        await asyncio.gather(*[owner.step() for owner in owners])
    assert made(pg_proxy, COMMIT) < 3 * len(KEYS) / 2
    assert await heads(store) == [[1, 2, 3]] * len(KEYS)
    await asyncio.gather(*[owner.release() for owner in owners])
    assert not any([(await load(store, key)).is_owned for key in KEYS])


async def test_a_commit_tells_its_own_thread_its_signals_and_no_other(store: PgCheckpointer) -> None:
    owners = await owners_of(store)
    await asyncio.gather(*[owner.step() for owner in owners])
    assert await store.signal(KEYS[7], Signal("stop", RUN, b"enough"))
    told = await asyncio.gather(*[owner.step() for owner in owners])
    assert [[signal.body for signal in signals] for signals in told if signals] == [[b"enough"]]
    assert told[7]


async def test_one_that_lost_its_thread_does_not_hold_up_the_others(pg_dsn: str, store: PgCheckpointer) -> None:
    owners = await owners_of(store)
    lost = owners[3]
    store.abandon(lost.key, lost.epoch)
    async with PgCheckpointer(pg_dsn) as elsewhere:
        await until_acquired(elsewhere, lost.key)  # it is released in passing
        results = await asyncio.gather(*[owner.step() for owner in owners], return_exceptions=True)
    assert [type(result) for result in results if isinstance(result, BaseException)] == [StaleOwnerError]
    assert isinstance(results[3], StaleOwnerError)
    assert await heads(store) == [[] if key == lost.key else [1] for key in KEYS]


async def test_a_wrong_head_is_refused_alone(store: PgCheckpointer) -> None:
    owners = await owners_of(store)
    owners[0].head = 5
    results = await asyncio.gather(*[owner.step() for owner in owners], return_exceptions=True)
    assert [isinstance(result, StaleOwnerError) for result in results] == [True] + [False] * (len(KEYS) - 1)


async def test_commits_of_every_form_mix(store: PgCheckpointer) -> None:
    owners = await owners_of(store)
    work = [
        owner.append(make_record(1), make_record(2))
        if number % 3 == 0
        else owner.step(interrupts=[make_interrupt(f"i{number}")])
        if number % 3 == 1
        else owner.append()
        for number, owner in enumerate(owners)
    ]
    await asyncio.gather(*work)
    assert await heads(store) == [[[1, 2], [1], []][number % 3] for number in range(len(KEYS))]
    assert len(await store.interrupts()) == len([number for number in range(len(KEYS)) if number % 3 == 1])


@pytest.mark.parametrize("differs", [False, True], ids=["all say the same", "each says its own"])
async def test_what_a_crowd_says_stays_each_ones_own(pg_proxy: Proxy, store: PgCheckpointer, differs: bool) -> None:
    def own(number: int, words: Sequence[T]) -> T:
        return words[number % len(words)] if differs else words[0]

    owners = await asyncio.gather(
        *[Owner.of(store, key, lease_seconds=own(n, [15.0, 20.0, 25.0])) for n, key in enumerate(KEYS)]
    )
    records = [
        make_record(1, kind=own(n, ["step", "pause"]), run_id=own(n, [RUN, "another"]), items=own(n, [None, b"", b"i"]))
        for n in range(len(KEYS))
    ]
    says = [
        {
            "status": own(n, ["running", "completed", "error"]),
            "graph": own(n, ["one", "two", ""]),
            "is_release": own(n, [False, True]),
        }
        for n in range(len(KEYS))
    ]
    await asyncio.gather(*[owner.append(records[n], **says[n]) for n, owner in enumerate(owners)])

    assert made(pg_proxy, TOGETHER) > 1
    listed = {row.thread_id: row for row in await store.threads(limit=100)}
    for n, key in enumerate(KEYS):
        assert list(await store.read(key)) == [records[n]]
        row = listed[key.thread]
        assert (row.status, row.graph, row.is_owned) == (says[n]["status"], says[n]["graph"], not says[n]["is_release"])


@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_commits_that_are_cut_together_are_each_made_once(
    pg_proxy: Proxy, store: PgCheckpointer, action: Action
) -> None:
    owners = await owners_of(store)
    for _ in range(3):
        fault = pg_proxy.fault(action, TOGETHER)
        await asyncio.gather(*[owner.step() for owner in owners])
        assert fault.hits == 1
    assert await heads(store) == [[1, 2, 3]] * len(KEYS)


@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_claims_that_are_cut_together_are_made_again(
    pg_proxy: Proxy, store: PgCheckpointer, action: Action
) -> None:
    fault = pg_proxy.fault(action, CLAIMS)
    owners = await owners_of(store)
    assert fault.hits == 1
    await asyncio.gather(*[owner.step() for owner in owners])
    assert await heads(store) == [[1]] * len(KEYS)


async def test_claims_of_one_thread_at_once_have_one_winner(store: PgCheckpointer) -> None:
    await asyncio.gather(*[owner.step(is_release=True) for owner in await owners_of(store)])
    claims = [Owner.of(store, key) for key in KEYS for _ in range(3)]
    results = await asyncio.gather(*claims, return_exceptions=True)
    won = [result for result in results if isinstance(result, Owner)]
    assert {owner.key for owner in won} == {*KEYS}
    assert len(won) == len(KEYS)
    assert all(isinstance(result, Owner | ThreadBusyError) for result in results)
    assert all(owner.stored.head == 1 for owner in won)


# -- questions and answers -------------------------------------------------------------------------


async def statuses(store: PgCheckpointer) -> list[list[str]]:
    """Read which interrupts each thread has, newest first."""
    found = [await store.interrupts(key) for key in KEYS]
    return [[f"{row.id} {row.status}" for row in rows] for rows in found]


async def test_questions_and_answers_go_together(pg_proxy: Proxy, store: PgCheckpointer) -> None:
    owners = await owners_of(store)
    before = made(pg_proxy, COMMIT)
    asked = [[make_interrupt(f"{number} a"), make_interrupt(f"{number} b")] for number in range(len(KEYS))]
    await asyncio.gather(*[owner.step(interrupts=rows) for owner, rows in zip(owners, asked, strict=True)])
    assert await statuses(store) == [[f"{number} b open", f"{number} a open"] for number in range(len(KEYS))]

    await asyncio.gather(
        *[
            owner.step(
                interrupts=[
                    make_interrupt(f"{number} a", "answered", changed=6.0, node="b", body=b"yes"),
                    make_interrupt(f"{number} b", "rejected"),
                    make_interrupt(f"{number} b"),  # of two changes of one the last counts
                ]
            )
            for number, owner in enumerate(owners)
        ]
    )
    assert made(pg_proxy, COMMIT) - before < len(KEYS) / 2
    assert await statuses(store) == [[f"{number} b open", f"{number} a answered"] for number in range(len(KEYS))]
    row = (await store.interrupts(KEYS[5]))[1]
    assert row == make_interrupt("5 a", "answered", changed=6.0, node="b", body=b"yes")


@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_questions_that_are_cut_together_are_each_asked_once(
    pg_proxy: Proxy, store: PgCheckpointer, action: Action
) -> None:
    owners = await owners_of(store)
    fault = pg_proxy.fault(action, TOGETHER)
    await asyncio.gather(
        *[owner.step(interrupts=[make_interrupt(f"i{number}")]) for number, owner in enumerate(owners)]
    )
    assert fault.hits == 1
    assert await heads(store) == [[1]] * len(KEYS)
    assert await statuses(store) == [[f"i{number} open"] for number in range(len(KEYS))]


async def test_one_that_lost_its_thread_asks_nothing(store: PgCheckpointer) -> None:
    owners = await owners_of(store)
    owners[3].head = 7  # as far as another has written meanwhile
    results = await asyncio.gather(
        *[owner.step(interrupts=[make_interrupt(f"i{number}")]) for number, owner in enumerate(owners)],
        return_exceptions=True,
    )
    assert [number for number, one in enumerate(results) if isinstance(one, StaleOwnerError)] == [3]
    assert await statuses(store) == [[] if number == 3 else [f"i{number} open"] for number in range(len(KEYS))]


async def test_two_threads_that_give_a_question_one_name_hold_up_nobody(store: PgCheckpointer) -> None:
    owners = await owners_of(store)
    names = ["the same" if number in (4, 5) else f"i{number}" for number in range(len(KEYS))]
    await asyncio.gather(
        *[owner.step(interrupts=[make_interrupt(name)]) for owner, name in zip(owners, names, strict=True)]
    )
    assert await heads(store) == [[1]] * len(KEYS)
    assert len(await store.interrupts()) == len(KEYS) - 1


# -- what many hold --------------------------------------------------------------------------------


async def test_what_many_hold_is_read_by_few_statements(pg_proxy: Proxy, store: PgCheckpointer) -> None:
    await asyncio.gather(*[owner.step(is_release=True) for owner in await owners_of(store)])
    before = made(pg_proxy, READ)
    owners = await owners_of(store)
    assert [[record.sequence for record in owner.stored.tail] for owner in owners] == [[1]] * len(KEYS)
    assert made(pg_proxy, READ) - before < len(KEYS) / 2


async def test_one_that_cannot_be_read_does_not_keep_the_others_from_theirs(pg_dsn: str, store: PgCheckpointer) -> None:
    await asyncio.gather(*[owner.step(is_release=True) for owner in await owners_of(store)])
    database = await asyncpg.connect(pg_dsn)
    await database.execute(
        "UPDATE taf.journal SET kind = $1 WHERE thread = (SELECT id FROM taf.threads WHERE thread = 'thread 3')",
        b"\xff",
    )
    results = await asyncio.gather(*[Owner.of(store, key) for key in KEYS], return_exceptions=True)
    assert [number for number, one in enumerate(results) if isinstance(one, StoreCorruptError)] == [3]
    assert sum(isinstance(one, Owner) for one in results) == len(KEYS) - 1
    await database.execute("UPDATE taf.journal SET kind = 'step'")
    await database.close()
    assert (await Owner.of(store, KEYS[3])).head == 1  # nobody was left holding it
