"""A thread is claimed and the first record of a run written in one go, where the thread is as it was supposed to be."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from taf.checkpointer import PgCheckpointer
from taf.checkpointer.base import Change, Commit, Grant, Known, Posted, Signal, ThreadKey
from taf.errors import ThreadBusyError
from taf.testing.store.owner import KEY, LEASE, Owner, fill, load, make_interrupt, make_record
from tests.places import Beginning as Store


@pytest.fixture
def store(beginning: Store) -> Store:
    return beginning


def first(key: ThreadKey = KEY, after: int = 0) -> Commit:
    return Commit(key, 0, after, (make_record(after + 1, run_id="new"),), "running", "new", graph="g")


def going_on(known: Known) -> Commit:
    """How a run goes on behind an answer."""
    records = (make_record(known.head + 1, kind="answered"), make_record(known.head + 2, run_id="new", items=b"i"))
    closed = (make_interrupt("1", "rejected"), make_interrupt("1", "answered", body=b"yes"))
    return Commit(KEY, 0, known.head, records, "running", "new", closed, graph="g")


async def begin(store: Store, key: ThreadKey = KEY, known: Known | None = None) -> Grant:
    return await store.begin(first(key, 0 if known is None else known.head), lease_seconds=LEASE, known=known)


async def sequences(store: Store, key: ThreadKey = KEY) -> list[int]:
    return [record.sequence for record in await store.read(key)]


async def known_of(store: Store) -> Known:
    stored = await load(store)
    return Known(stored.born, stored.head, stored.floor)


async def test_a_new_thread_begins_and_goes_on(store: Store) -> None:
    grant = await begin(store)
    assert grant.has_begun
    stored = await load(store)
    assert (stored.head, stored.status, stored.run_id, stored.is_owned) == (1, "running", "new", True)
    assert (stored.born, stored.tail[0]) == (grant.stored.born, make_record(1, run_id="new"))
    assert [row.graph for row in await store.threads()] == ["g"]
    owner = Owner(store, KEY, grant)
    await owner.step(run_id="new")
    await owner.release()
    assert await sequences(store) == [1, 2]


async def test_a_thread_that_is_known_begins_behind_its_records(store: Store) -> None:
    await fill(store, 3)
    grant = await begin(store, known=await known_of(store))
    assert grant.has_begun
    assert grant.stored.head == 4
    assert await sequences(store) == [1, 2, 3, 4]


async def test_an_answer_and_what_follows_it_are_written_with_the_claim(store: Store) -> None:
    owner = await Owner.of(store)
    await owner.step(interrupts=[make_interrupt("1"), make_interrupt("2")])
    await owner.release(status="interrupted_before")
    known = await known_of(store)
    grant = await store.begin(going_on(known), lease_seconds=LEASE, known=known)
    assert (grant.has_begun, grant.stored.head, grant.stored.run_id) == (True, 3, "new")
    assert list(await store.read(KEY, 1)) == [*going_on(known).records]
    found = await store.interrupts(KEY)
    assert [(row.id, row.status, row.body) for row in found] == [
        ("2", "open", b"question 2"),
        ("1", "answered", b"yes"),
    ]
    await Owner(store, KEY, grant).step(run_id="new")
    assert await sequences(store) == [1, 2, 3, 4]


async def test_nothing_of_it_is_written_where_somebody_was_quicker(store: Store) -> None:
    await fill(store, 1)
    known = await known_of(store)
    await (await Owner.of(store)).step(is_release=True)
    grant = await store.begin(going_on(known), lease_seconds=LEASE, known=known)
    assert (grant.has_begun, [record.sequence for record in grant.stored.tail]) == (False, [2])
    assert (await sequences(store), await store.interrupts(KEY)) == ([1, 2], [])


async def test_one_that_went_on_meanwhile_is_granted_with_what_is_new(store: Store) -> None:
    await fill(store, 2)
    known = await known_of(store)
    await (await Owner.of(store)).step(is_release=True)
    grant = await begin(store, known=known)
    assert not grant.has_begun
    assert [record.sequence for record in grant.stored.tail] == [3]
    assert await sequences(store) == [1, 2, 3]
    await Owner(store, KEY, grant).step()


async def test_one_that_is_not_new_after_all_is_granted_as_it_is(store: Store) -> None:
    await fill(store, 2)
    grant = await begin(store)
    assert not grant.has_begun
    assert [record.sequence for record in grant.stored.tail] == [1, 2]
    assert await sequences(store) == [1, 2]


async def test_one_that_was_removed_and_made_anew_does_not_begin(store: Store) -> None:
    await fill(store, 2)
    known = await known_of(store)
    assert await store.delete(KEY)
    gone = await begin(store, known=known)
    assert (gone.has_begun, gone.stored.head) == (False, 0)
    await Owner(store, KEY, gone).release()
    await fill(store, 2)
    grant = await begin(store, known=known)
    assert (grant.has_begun, grant.stored.is_known, await sequences(store)) == (False, False, [1, 2])


@pytest.mark.parametrize("records", [0, 2])
async def test_one_where_messages_wait_does_not_begin(store: Store, records: int) -> None:
    await fill(store, records)
    owner = await Owner.of(store)
    assert await store.post(KEY, Posted("enqueue", "waits", 1.0, b"body")) is not None
    await owner.release()
    grant = await begin(store, known=await known_of(store) if records else None)
    assert (grant.has_begun, [one.run_id for one in grant.mail.messages]) == (False, ["waits"])
    assert len(await sequences(store)) == records


async def test_one_that_somebody_owns_is_busy_and_stays_as_it_is(store: Store) -> None:
    owner = await Owner.of(store)
    await owner.step()
    with pytest.raises(ThreadBusyError):
        await begin(store)
    await owner.step()
    assert await sequences(store) == [1, 2]


async def test_whoever_watches_is_told(store: Store) -> None:
    told: list[Change] = []
    store.watch(KEY, told.append)
    await begin(store)
    assert told == [Change(1, "running", "new", ())]


async def test_a_claim_that_was_cut_does_not_pass_for_another_runs_beginning(store: Store) -> None:
    grant = await begin(store)
    await Owner(store, KEY, grant).release(run_id="new")
    again = await begin(store)  # the same record by somebody who supposes that nothing is there
    assert not again.has_begun
    assert await sequences(store) == [1]


def test_whoever_changes_append_alone_is_not_passed_by() -> None:
    class Counting(PgCheckpointer):
        async def append(self, commit: Commit) -> Sequence[Signal]:
            return await super().append(commit)

    class Both(Counting):
        async def begin(self, first: Commit, *, lease_seconds: float, known: Known | None = None) -> Grant:
            return await super().begin(first, lease_seconds=lease_seconds, known=known)

    assert (PgCheckpointer.can_begin, Counting.can_begin, Both.can_begin) == (True, False, True)
