"""What many threads write to SQLite at once goes together, and each of them keeps what it was promised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from taf.checkpointer import sqlite_many
from taf.checkpointer.base import Change, Commit, Grant, Record, Signal, ThreadKey
from taf.checkpointer.sqlite import SqliteCheckpointer
from taf.errors import StaleOwnerError, StoreUnavailableError, ThreadBusyError
from taf.testing.store.owner import LEASE, RUN, Owner, fill, load, make_interrupt, make_record
from tests.checkpointer.watched_sqlite import Connection, by_hand, locked, of_writer, queued

CROWD = 75
KEYS = [ThreadKey("", f"thread {number}") for number in range(CROWD)]
MOVES, RECORDS, NEW = "UPDATE taf_threads SET head", "INSERT INTO taf_journal", "INSERT INTO taf_threads"


@pytest.fixture(params=[True, False], ids=["together", "an older SQLite"])
async def store(
    path: Path, connections: list[Connection], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SqliteCheckpointer]:
    monkeypatch.setattr(sqlite_many, "IS_ABLE", request.param)
    async with SqliteCheckpointer(path) as store:
        await fill(store, 1, ThreadKey("", "first"))
        yield store


def beginning(key: ThreadKey, **facts: Any) -> Commit:
    """Return a commit that begins a run on a new thread."""
    given: dict[str, Any] = {"records": (make_record(1),), "status": "running", "run_id": RUN, "graph": "g", **facts}
    return Commit(key, 0, 0, **given)


async def begun(store: SqliteCheckpointer, firsts: Sequence[Commit]) -> list[Grant | BaseException]:
    """Begin runs, all at once."""
    beginnings = [store.begin(first, lease_seconds=LEASE) for first in firsts]
    return await asyncio.gather(*beginnings, return_exceptions=True)


async def owners_of(store: SqliteCheckpointer) -> list[Owner]:
    """Begin a run on each thread."""
    grants = await begun(store, [beginning(key) for key in KEYS])
    return [Owner(store, key, grant) for key, grant in zip(KEYS, grants, strict=True) if isinstance(grant, Grant)]


async def at_once(path: Path, *work: Any) -> list[Any]:
    """Have all of it done in one transaction, and return results and errors."""
    with locked(path):
        tasks = await queued(*work)
        await asyncio.sleep(0.05)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def heads(store: SqliteCheckpointer) -> list[list[int]]:
    """Read which records each thread has."""
    return [[record.sequence for record in await store.read(key)] for key in KEYS]


def made(connections: list[Connection], text: str) -> int:
    """Count the writer's statements so far that begin with a text."""
    return len([statement for statement in of_writer(connections).statements if statement.startswith(text)])


async def test_what_is_done_at_once_takes_few_statements(
    store: SqliteCheckpointer, path: Path, connections: list[Connection]
) -> None:
    with locked(path):  # in the thread, however quick the disk is
        await queued(store.signal(KEYS[0], Signal("stop", RUN)))
    of_writer(connections).statements.clear()
    owners = await owners_of(store)
    assert len({owner.epoch for owner in owners}) == CROWD
    assert made(connections, NEW) < CROWD / 4
    of_writer(connections).statements.clear()
    for _ in range(3):
        await asyncio.gather(*[owner.step() for owner in owners])
    if sqlite_many.IS_ABLE:
        assert made(connections, MOVES) < 3 * CROWD / 4
        assert made(connections, RECORDS) < 3 * CROWD / 4
    assert await heads(store) == [[1, 2, 3, 4]] * CROWD
    await asyncio.gather(*[owner.release() for owner in owners])
    assert not any([(await load(store, key)).is_owned for key in KEYS])


async def test_a_row_is_the_same_however_it_was_written(store: SqliteCheckpointer, path: Path) -> None:
    def records(last: int) -> list[Record]:
        return [make_record(last, items=b"items"), make_record(last + 1, at=1795998787.3595388)]

    owners = await owners_of(store)
    alone = await begun(store, [beginning(ThreadKey("", "alone"))])
    assert isinstance(alone[0], Grant)
    owners.append(Owner(store, ThreadKey("", "alone"), alone[0]))
    await at_once(path, *[owner.append(*records(2), graph="other") for owner in owners[:-1]])
    await owners[-1].append(*records(2), graph="other")
    await at_once(path, *[owner.append(*records(4), status="completed", is_release=True) for owner in owners[:-1]])
    await owners[-1].append(*records(4), status="completed", is_release=True)

    columns = "head, status, run_id, updated, graph, revision, owner, lease_until, boot_id, signals, typeof(updated)"
    with by_hand(path) as connection:
        rows = connection.execute(f"SELECT {columns} FROM taf_threads WHERE thread != 'first'").fetchall()
        written = connection.execute(
            "SELECT sequence, kind, run_id, at, step, body, items, typeof(at), typeof(body), typeof(items)"
            " FROM taf_journal WHERE thread != (SELECT id FROM taf_threads WHERE thread = 'first')"
        ).fetchall()
    assert len(rows) == CROWD + 1
    assert len(set(rows)) == 1
    assert len(written) == 5 * (CROWD + 1)
    assert len(set(written)) == 5


async def test_new_threads_are_told_from_those_that_are_there(store: SqliteCheckpointer, path: Path) -> None:
    await fill(store, 2, KEYS[3])
    owner = await Owner.of(store, KEYS[5])
    found = await at_once(path, *[store.begin(beginning(key), lease_seconds=LEASE) for key in [*KEYS, KEYS[9]]])
    assert isinstance(found[5], ThreadBusyError)
    assert isinstance(found[CROWD], ThreadBusyError)
    begun = [isinstance(grant, Grant) and grant.has_begun for grant in found]
    assert begun == [number not in (3, 5, CROWD) for number in range(CROWD + 1)]
    epochs = [grant.epoch for grant in found if isinstance(grant, Grant)]
    assert len({*epochs, owner.epoch}) == CROWD
    assert len(await store.read(KEYS[3])) == 2
    later = await Owner.of(store, ThreadKey("", "later"))
    assert later.epoch > max(epochs)
    await asyncio.gather(
        *[Owner(store, key, grant).step() for key, grant in zip(KEYS, found, strict=False) if isinstance(grant, Grant)]
    )


async def test_one_that_is_refused_holds_up_nobody(store: SqliteCheckpointer, path: Path) -> None:
    owners = await owners_of(store)
    owners[4].head = 7
    with by_hand(path) as connection:
        connection.execute("UPDATE taf_threads SET owner = 'another' WHERE thread = ?", (KEYS[6].thread,))
    found = await at_once(path, *[owner.step() for owner in owners])
    assert [number for number, one in enumerate(found) if isinstance(one, StaleOwnerError)] == [4, 6]
    assert await heads(store) == [[1] if number in (4, 6) else [1, 2] for number in range(CROWD)]


async def test_signals_are_found_by_their_own_thread_alone(store: SqliteCheckpointer, path: Path) -> None:
    owners = await owners_of(store)
    assert await store.signal(KEYS[7], Signal("stop", RUN, b"enough"))
    found = await at_once(path, *[owner.step() for owner in owners])
    assert [number for number, signals in enumerate(found) if signals] == [7]
    assert await heads(store) == [[1, 2]] * CROWD


async def test_one_that_fails_takes_none_with_it(store: SqliteCheckpointer, path: Path) -> None:
    owners = await owners_of(store)
    wrong = [owners[2].append(make_record(2), make_record(2)), owners[3].step(run_id="\ud800")]
    others = [owner.step() for owner in owners[4:]]
    bad = store.begin(beginning(ThreadKey("", "\ud800")), lease_seconds=LEASE)
    new = [store.begin(beginning(ThreadKey("", f"new {number}")), lease_seconds=LEASE) for number in range(20)]
    found = await at_once(path, *wrong, bad, *others, *new)
    assert [isinstance(one, StoreUnavailableError) for one in found] == [True] * 3 + [False] * (len(found) - 3)
    assert await heads(store) == [[1]] * 4 + [[1, 2]] * (CROWD - 4)
    await asyncio.gather(*[owner.step() for owner in owners[2:4]])
    again = await store.begin(beginning(ThreadKey("", "one more")), lease_seconds=LEASE)
    assert again.epoch > max(one.epoch for one in found if isinstance(one, Grant))


async def test_when_the_commit_fails_nobody_has_anything(
    store: SqliteCheckpointer, path: Path, connections: list[Connection]
) -> None:
    owners = await owners_of(store)
    writer = of_writer(connections)
    new = [ThreadKey("", f"new {number}") for number in range(20)]
    with locked(path):
        tasks = await queued(
            *[owner.step() for owner in owners[:50]],
            *[store.begin(beginning(key), lease_seconds=LEASE) for key in new],
        )
        writer.failing = "COMMIT"
        await asyncio.sleep(0.05)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in found} == {StoreUnavailableError}
    writer.failing = ""
    assert await heads(store) == [[1]] * CROWD
    for owner in owners:
        owner.head = 1
    await asyncio.gather(*[owner.step() for owner in owners])
    grants = await begun(store, [beginning(key) for key in new])
    assert all(isinstance(grant, Grant) and grant.has_begun for grant in grants)


async def test_commits_of_every_form_mix(store: SqliteCheckpointer, path: Path) -> None:
    owners = await owners_of(store)
    work = [
        owner.append(make_record(2), make_record(3))
        if number % 3 == 0
        else owner.step(interrupts=[make_interrupt(f"i{number}")])
        if number % 3 == 1
        else owner.append()
        for number, owner in enumerate(owners)
    ]
    await at_once(path, *work)
    assert await heads(store) == [[[1, 2, 3], [1, 2], [1]][number % 3] for number in range(CROWD)]
    assert len(await store.interrupts()) == CROWD / 3


async def test_who_watches_is_told_of_each(store: SqliteCheckpointer, path: Path) -> None:
    told: dict[int, list[int]] = {2: [], 11: []}

    def listener(number: int) -> Any:
        def tell(change: Change) -> None:
            told[number].append(change.head)

        return tell

    for number in told:
        store.watch(KEYS[number], listener(number))
    owners = await owners_of(store)
    await at_once(path, *[owner.step() for owner in owners])
    await at_once(path, *[owner.step(is_release=True) for owner in owners])
    assert told == {2: [1, 2, 3], 11: [1, 2, 3]}
