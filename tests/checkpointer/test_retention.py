"""A thread whose old records were pruned reads, and goes on, as if they were there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taf.checkpointer import ledger as ledger_room
from taf.checkpointer import retention
from taf.checkpointer.base import Cut, Record, Snapshot, ThreadKey
from taf.checkpointer.journal import Journal
from taf.checkpointer.memory import InMemoryCheckpointer
from taf.checkpointer.past import IN_BETWEEN, Moment, past, whole
from taf.checkpointer.retention import Keep, shorten
from taf.errors import StoreCorruptError, UnknownThreadError
from taf.state.facts import Fact
from taf.state.run import Run, replay
from tests.checkpointer.test_journal import NOTES, commit, journal_of, owned, read_by_a_stranger, start, stepped
from tests.rounds import rounds
from tests.state.journals import SCHEMA, journals, outline

slow = settings(max_examples=rounds(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


async def moments(journal: Journal) -> list[Moment]:
    return [moment async for moment in past(journal, "t")]


def seen(run: Run) -> Any:
    """Everything of a run but where its lists are stored."""
    return outline(whole(run))


async def outlines(journal: Journal) -> list[Any]:
    return [seen(moment.run) for moment in await moments(journal)]


async def written(journal: Journal, facts: Sequence[Fact]) -> None:
    """Commit facts one by one."""
    ledger = await owned(journal)
    for fact in facts:
        await commit(ledger, fact)
    await ledger.save(release=True)


def as_at_rest(store: InMemoryCheckpointer) -> None:
    """A journal that ends anywhere is that of a thread at rest, for those who ask."""
    store._threads[ThreadKey("", "t")].status = "stopped"


# -- the same as before ----------------------------------------------------------------------------


@slow
@given(journals(), st.integers(1, 6), st.integers(0, 8), st.sampled_from([0, 60, 300]))
def test_pruned_anywhere_a_thread_reads_and_goes_on_as_it_was(
    facts: list[Fact], keep: int, place: int, floor: int
) -> None:
    async def check() -> None:
        store = InMemoryCheckpointer()
        journal, before, after = journal_of(store), facts[:place] or facts[:1], facts[max(place, 1) :]
        await written(journal, before)
        as_at_rest(store)
        told = await outlines(journal_of(store))
        kinds = [record.kind for record in map(Record._make, store._threads[ThreadKey("", "t")].records)]

        done = await shorten(journal, "t", Keep(keep, None))

        assert done is not None
        shown = sum(kind not in IN_BETWEEN for kind in kinds[done.records :])
        assert shown == min(keep, sum(kind not in IN_BETWEEN for kind in kinds))
        assert await outlines(journal_of(store)) == told[done.records :]
        assert seen(await read_by_a_stranger(store)) == told[-1]

        await written(journal, after)
        expected = [seen(replay(SCHEMA, Run("t"), facts[: n + 1])) for n in range(done.records, len(facts))]
        assert await outlines(journal) == expected
        assert seen(await read_by_a_stranger(store)) == expected[-1]
        for reader in (journal, journal_of(store)):
            found = await reader.read("t")
            assert found is not None
            assert seen(found[0]) == expected[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_room, "SNAPSHOT_FLOOR", floor)
        patch.setattr(retention, "SNAPSHOT_FLOOR", floor)
        asyncio.run(check())


async def test_who_had_the_thread_in_memory_takes_no_snapshot_of_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_room, "SNAPSHOT_FLOOR", 0)
    store = InMemoryCheckpointer()
    journal, elsewhere = journal_of(store, NOTES), journal_of(store, NOTES)
    await written(journal, [start(), *[stepped(("append", "items", [str(n)])) for n in range(5)]])
    as_at_rest(store)
    await shorten(elsewhere, "t", Keep(2, None))

    await written(journal, [stepped(("append", "items", [str(n)]), ("set", "count", n)) for n in range(5, 30)])

    run = await read_by_a_stranger(store, NOTES)
    assert list(run.values["items"]) == [str(n) for n in range(30)]


async def test_a_long_tail_behind_the_base_has_a_snapshot_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SNAPSHOT_FLOOR", 1000)
    store = InMemoryCheckpointer()
    journal = journal_of(store, NOTES)
    await written(journal, [start(), *[stepped(("set", "count", n)) for n in range(200)]])
    as_at_rest(store)

    await shorten(journal, "t", Keep(150, None))

    stored = await store.load(ThreadKey("", "t"))
    assert stored is not None
    assert stored.snapshot is not None
    assert (stored.floor, stored.snapshot.sequence, list(stored.tail)) == (52, 201, [])


# -- how much is kept ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (Keep(3, None), [8, 9, 10]),
        (Keep(1, None), [10]),
        (Keep(99, None), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (Keep(None, 8.0), [8, 9, 10]),
        (Keep(None, 99.0), [10]),
        (Keep(None, 0.0), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (Keep(2, 7.5), [8, 9, 10]),
        (Keep(5, 9.0), [6, 7, 8, 9, 10]),
    ],
)
async def test_the_last_ones_and_the_young_ones_are_kept(keep: Keep, left: list[int]) -> None:
    store, now = InMemoryCheckpointer(), iter(range(1, 11))
    journal = Journal(store, NOTES, tenant="", clock=lambda: float(next(now)))
    await written(journal, [start(), *[stepped(("set", "count", n)) for n in range(9)]])
    as_at_rest(store)

    await shorten(journal, "t", keep)

    assert [moment.record.sequence for moment in await moments(journal)] == left


async def test_a_thread_is_pruned_again_and_again() -> None:
    store = InMemoryCheckpointer()
    journal = journal_of(store, NOTES)
    for _ in range(5):
        await written(journal, [start(), *[stepped(("append", "items", ["x"])) for _ in range(9)]])
        as_at_rest(store)
        assert await shorten(journal, "t", Keep(4, None)) is not None
        assert await shorten(journal, "t", Keep(4, None)) is not None
        assert len(await moments(journal)) == 4

    assert len((await moments(journal_of(store, NOTES)))[-1].run.values["items"]) == 9


# -- others at work --------------------------------------------------------------------------------


async def test_a_thread_that_runs_or_has_to_be_recovered_is_left_alone() -> None:
    store = InMemoryCheckpointer()
    journal = journal_of(store, NOTES)
    ledger = await owned(journal)
    await commit(ledger, start(), stepped(), stepped())
    assert await shorten(journal, "t", Keep(1, None)) is None

    ledger.abandon()
    assert await shorten(journal, "t", Keep(1, None)) is None
    assert len(await moments(journal)) == 3


async def test_of_two_who_prune_at_once_none_undoes_the_other() -> None:
    store = InMemoryCheckpointer()
    await written(journal_of(store, NOTES), [start(), *[stepped(("append", "items", ["x"])) for _ in range(20)]])
    as_at_rest(store)

    await asyncio.gather(*[shorten(journal_of(store, NOTES), "t", Keep(keep, None)) for keep in (9, 3, 6, 3, 12)])

    left = await moments(journal_of(store, NOTES))
    assert len(left) == 3
    assert len(left[-1].run.values["items"]) == 20


class Slowly(InMemoryCheckpointer):
    """Prunes between one page of a reader and its next."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = 2

    async def read(self, key: ThreadKey, after: int = 0, limit: int = 1000) -> Any:
        if after and self.pages == 2:
            self.pages = 1000
            await shorten(journal_of(self, NOTES), "t", Keep(3, None))
        return await super().read(key, after, min(limit, self.pages))


async def test_who_reads_the_past_while_it_is_pruned_goes_on_at_the_new_base() -> None:
    store = Slowly()
    await written(journal_of(store, NOTES), [start(), *[stepped(("append", "items", ["x"])) for _ in range(9)]])
    as_at_rest(store)

    found = await moments(journal_of(store, NOTES))

    assert [moment.record.sequence for moment in found] == [1, 2, 8, 9, 10]
    assert [len(moment.run.values["items"]) for moment in found] == [0, 1, 7, 8, 9]


# -- what is wrong is said -------------------------------------------------------------------------


async def test_a_thread_that_is_not_there_cannot_be_pruned() -> None:
    with pytest.raises(UnknownThreadError):
        await shorten(journal_of(InMemoryCheckpointer()), "t", Keep(1, None))


async def test_a_base_that_is_broken_is_said_to_be() -> None:
    store = InMemoryCheckpointer()
    journal = journal_of(store, NOTES)
    await written(journal, [start(), stepped(), stepped()])
    stored = await store.load(ThreadKey("", "t"))
    assert stored is not None
    await store.prune(Cut(ThreadKey("", "t"), stored.born, 3, Snapshot(2, None, (b"\xff",))))

    with pytest.raises(StoreCorruptError):
        await moments(journal)
    with pytest.raises(StoreCorruptError):
        await read_by_a_stranger(store, NOTES)


async def test_a_record_that_is_missing_is_missed() -> None:
    store = InMemoryCheckpointer()
    journal = journal_of(store, NOTES)
    await written(journal, [start(), stepped(), stepped(), stepped()])
    del store._threads[ThreadKey("", "t")].records[2]

    with pytest.raises(StoreCorruptError, match="missing"):
        await moments(journal)
