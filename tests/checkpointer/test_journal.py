"""A thread is read as it was written: from its records, from a snapshot, from memory, and by a changed model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taf.checkpointer import journal as journal_room
from taf.checkpointer import ledger as ledger_room
from taf.checkpointer.base import Commit, Record, Signal, Stored, ThreadKey
from taf.checkpointer.journal import Journal
from taf.checkpointer.ledger import Ledger
from taf.checkpointer.memory import InMemoryCheckpointer
from taf.errors import (
    InvalidTransitionError,
    NotStorableError,
    StaleOwnerError,
    StoreCorruptError,
    StoreUnavailableError,
    ThreadBusyError,
)
from taf.state import AgentState, append, merge
from taf.state.facts import Completed, Fact, Started, Stepped, Task, Updated
from taf.state.run import Run, replay
from taf.state.schema import StateSchema
from tests.checkpointer.audited_decoding import Holding
from tests.checkpointer.rows import stored_of
from tests.rounds import rounds
from tests.state.journals import SCHEMA, journals, outline

slow = settings(max_examples=rounds(80), deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Notes(AgentState):
    items: Annotated[list[str], append] = []
    kept: list[str] = []
    scores: Annotated[dict[str, str], merge] = {}
    count: int = 0


NOTES = StateSchema(Notes)


def journal_of(store: InMemoryCheckpointer, schema: StateSchema = SCHEMA) -> Journal:
    return Journal(store, schema, tenant="", clock=lambda: 1.0)


async def owned(journal: Journal, thread_id: str = "t") -> Ledger:
    ledger = await journal.acquire(thread_id, lease_seconds=15)
    assert ledger is not None
    return ledger


async def commit(ledger: Ledger, *facts: Fact, release: bool = False) -> None:
    for fact in facts:
        ledger.stage(fact)
    await ledger.save(release=release)


def start(schema: StateSchema = NOTES, run_id: str = "r") -> Started:
    return Started(run_id, tuple(schema.default_ops()), (Task("a", "a"),))


def stepped(*ops: Any) -> Stepped:
    return Stepped((("a", "a", ops),), (Task("a", "a"),))


def thread_in(store: InMemoryCheckpointer) -> Any:
    return store._threads[ThreadKey("", "t")]


def change(store: InMemoryCheckpointer, place: int, **facts: Any) -> None:
    records = thread_in(store).records
    records[place] = tuple(Record._make(records[place])._replace(**facts))


def stored_bytes(store: InMemoryCheckpointer) -> int:
    thread = thread_in(store)
    written = sum(len(record.body) + len(record.items or b"") for record in map(Record._make, thread.records))
    return written + (sum(map(len, thread.snapshot.parts)) if thread.snapshot else 0)


async def read_by_a_stranger(store: InMemoryCheckpointer, schema: StateSchema = SCHEMA) -> Run:
    found = await journal_of(store, schema).read("t")
    assert found is not None
    return found[0]


# -- every way of reading gives the same -----------------------------------------------------------


@slow
@given(journals(), st.data())
def test_a_snapshot_taken_anywhere_and_the_tail_after_it_equal_the_whole_replay(
    facts: list[Fact], data: st.DataObject
) -> None:
    store = Holding()
    store.stored = stored_of(facts, cut=data.draw(st.none() | st.integers(1, len(facts))))

    assert outline(asyncio.run(read_by_a_stranger(store))) == outline(replay(SCHEMA, Run("t"), facts))


@slow
@given(journals(), st.lists(st.integers(0, 3), min_size=14, max_size=14), st.sampled_from([0, 60, 300]))
def test_at_every_point_a_thread_reads_as_it_was_written(facts: list[Fact], how: list[int], floor: int) -> None:
    async def check() -> None:
        store = InMemoryCheckpointer()
        journal, ledger = journal_of(store), None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger_room, "SNAPSHOT_FLOOR", floor)
            for place, fact in enumerate(facts):
                ledger = ledger or await owned(journal)
                assert outline(ledger.run) == outline(replay(SCHEMA, Run("t"), facts[:place]))
                await commit(ledger, fact, release=how[place] > 0)
                expected = outline(ledger.run)
                assert outline(await read_by_a_stranger(store)) == expected
                known = await journal.read("t")
                assert known is not None
                assert outline(known[0]) == expected
                if how[place] > 1:
                    thread_in(store).snapshot = None
                    assert outline(await read_by_a_stranger(store)) == expected
                ledger = None if how[place] > 0 else ledger

    asyncio.run(check())


LISTS: list[tuple[str, Sequence[Any]]] = [
    ("appended, then set in one step", [("append", "items", ["x"]), ("set", "items", ["y"])]),
    ("set, then appended in one step", [("set", "items", ["x"]), ("append", "items", ["y"])]),
    ("set twice in one step", [("set", "items", ["x"]), ("set", "items", ["y"])]),
    ("cut, then set in one step", [("cut", "items", 0), ("set", "items", ["y"])]),
    ("replaced, then set in one step", [("put", "items", (0, "x")), ("set", "items", ["y"])]),
    ("set, then cut in one step", [("set", "items", ["x", "y"]), ("cut", "items", 1)]),
    ("cut to nothing", [("cut", "items", 0)]),
    ("replaced", [("put", "items", (0, "changed"))]),
]


@pytest.mark.parametrize("ops", [ops for _, ops in LISTS], ids=[name for name, _ in LISTS])
async def test_a_list_that_did_more_than_grow_reads_as_it_was_written(
    ops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_room, "SNAPSHOT_FLOOR", 0)
    store = InMemoryCheckpointer()
    ledger = await owned(journal_of(store, NOTES))
    await commit(ledger, start(), stepped(("append", "items", ["first"])))
    ledger._snapshot_bytes = 0
    await commit(ledger, stepped(*ops))
    assert thread_in(store).snapshot.sequence == 3
    await commit(ledger, stepped(("append", "items", ["last"])))

    assert outline(await read_by_a_stranger(store, NOTES)) == outline(ledger.run)


# -- a warm thread ---------------------------------------------------------------------------------


class Watching(InMemoryCheckpointer):
    """Remembers what it was asked to read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Stored] = []

    async def load(self, key: Any, known: Any = None) -> Stored | None:
        found = await super().load(key, known)
        self.read += [] if found is None else [found]
        return found


async def test_a_thread_that_is_known_is_read_from_where_it_is_known() -> None:
    store = Watching()
    here, elsewhere = journal_of(store, NOTES), journal_of(store, NOTES)
    await commit(await owned(here), start(), release=True)
    for number in range(3):
        ledger = await owned(elsewhere)
        await commit(ledger, stepped(("append", "items", [str(number)])), release=True)
        found = await here.read("t")
        assert found is not None
        assert outline(found[0]) == outline(ledger.run)

    assert [(stored.is_known, len(stored.tail)) for stored in store.read] == [(True, 1)] * 3


async def test_a_thread_that_was_deleted_and_made_again_is_not_taken_for_the_old_one() -> None:
    store = InMemoryCheckpointer()
    here, elsewhere = journal_of(store, NOTES), journal_of(store, NOTES)
    await commit(await owned(here), start(), stepped(("set", "count", 1)), release=True)
    await store.delete(ThreadKey("", "t"))
    assert await here.read("t") is None
    await commit(await owned(elsewhere), start(), stepped(("set", "count", 2)), release=True)

    found = await here.read("t")
    assert found is not None
    assert (found[0].values["count"], (await owned(here)).run.values["count"]) == (2, 2)


async def test_only_so_many_threads_are_kept_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_room, "WARM_THREADS", 2)
    store = Watching()
    journal = journal_of(store, NOTES)
    for name in "abc":
        await commit(await owned(journal, name), start(), release=True)
    for name in "abc":
        await journal.read(name)

    assert [stored.is_known for stored in store.read] == [False, False, False]


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["items", "scores"])
async def test_what_is_stored_grows_with_what_the_steps_change(field: str) -> None:
    store = InMemoryCheckpointer()
    ledger = await owned(journal_of(store, NOTES))
    await commit(ledger, start())
    for number in range(400):
        item = f"{number:04}" + "x" * 1020
        await commit(
            ledger, stepped(("append", field, [item]) if field == "items" else ("merge", field, {str(number): item}))
        )

    limit = 1.5 if field == "items" else 2.5  # a snapshot holds small keyed values a second time
    assert stored_bytes(store) < limit * 400 * 1024
    assert outline(await read_by_a_stranger(store, NOTES)) == outline(ledger.run)


async def test_a_list_that_is_rewritten_each_step_is_snapshot_geometrically() -> None:
    store, snapshots = InMemoryCheckpointer(), 0
    ledger = await owned(journal_of(store, NOTES))
    await commit(ledger, start(), stepped(("set", "kept", ["x" * 1000] * 100), ("cut", "kept", 99)))
    for number in range(300):
        before = thread_in(store).snapshot
        await commit(ledger, stepped(("put", "kept", (number % 99, "y" * 1000)), ("set", "count", number)))
        snapshots += thread_in(store).snapshot is not before

    assert snapshots <= 6
    assert outline(await read_by_a_stranger(store, NOTES)) == outline(ledger.run)


async def test_what_grew_beyond_one_row_is_still_snapshot_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = InMemoryCheckpointer()
    ledger = await owned(journal_of(store, NOTES))
    await commit(ledger, start(), stepped(("append", "kept", ["a"]), ("cut", "kept", 1)))
    for number in range(5):
        big = chr(97 + number) * 3_000_000
        await commit(ledger, stepped(("append", "kept", [big, "small"]), ("merge", "scores", {big[:2]: big})))
    monkeypatch.setattr(ledger_room, "SNAPSHOT_FLOOR", 0)
    ledger._snapshot_bytes = 0
    await commit(ledger, stepped(("set", "count", 1)))

    assert thread_in(store).snapshot.sequence == ledger.run.sequence
    assert outline(await read_by_a_stranger(store, NOTES)) == outline(ledger.run)


async def test_a_snapshot_that_no_row_can_hold_is_left_out_and_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_room, "SNAPSHOT_FLOOR", 0)
    store = InMemoryCheckpointer()
    ledger = await owned(journal_of(store, NOTES))
    await commit(ledger, start(), stepped(("set", "count", 0)))
    known = thread_in(store).snapshot

    def refuse(run: Run) -> Any:
        raise NotStorableError("a step", "it would be too large.")

    monkeypatch.setattr(ledger._journal.snapshots, "take", refuse)
    for number in range(20):
        await commit(ledger, stepped(("set", "count", number)))

    assert thread_in(store).snapshot is known
    assert outline(await read_by_a_stranger(store, NOTES)) == outline(ledger.run)


# -- writing ---------------------------------------------------------------------------------------


class Failing(InMemoryCheckpointer):
    """Fails before or after it wrote, as a lost connection does."""

    fails: str | None = None

    async def append(self, commit: Commit) -> Sequence[Signal]:
        if self.fails == "before":
            raise StoreUnavailableError("append", "the line is cut")
        found = await super().append(commit)
        if self.fails == "after":
            raise StoreUnavailableError("append", "the line is cut")
        return found


@pytest.mark.parametrize(("when", "head"), [("before", 1), ("after", 2)])
async def test_a_failing_append_drops_what_is_in_memory(when: str, head: int) -> None:
    store = Failing()
    journal = journal_of(store, NOTES)
    ledger = await owned(journal)
    await commit(ledger, start())
    store.fails = when
    with pytest.raises(StoreUnavailableError):
        await commit(ledger, stepped(("append", "items", ["x"])))
    store.fails = None

    assert not ledger.is_open
    again = await owned(journal)
    assert again.run.sequence == thread_in(store).head == head
    assert outline(again.run) == outline(await read_by_a_stranger(store, NOTES))
    with pytest.raises((StaleOwnerError, StoreUnavailableError)):  # why it was dropped, or that it was
        await commit(ledger, stepped(("set", "count", 1)))


async def test_an_impossible_or_unstorable_fact_is_not_taken_and_the_next_one_is() -> None:
    store = InMemoryCheckpointer()
    ledger = await owned(journal_of(store, NOTES))
    ledger.stage(start())
    with pytest.raises(InvalidTransitionError):
        ledger.stage(Updated((), "a", ()))
    with pytest.raises(NotStorableError):
        ledger.stage(stepped(("set", "count", "many")))
    ledger.stage(stepped(("set", "count", 2)))
    await ledger.save()

    assert [one.record.kind for one in ledger.told] == ["started", "stepped"]
    assert outline(await read_by_a_stranger(store, NOTES)) == outline(ledger.run)


async def test_what_is_unstaged_was_never_there() -> None:
    store = InMemoryCheckpointer()
    ledger = await owned(journal_of(store, NOTES))
    await commit(ledger, start(), stepped(("append", "items", ["x"])))
    before, size = outline(ledger.run), ledger._tail_bytes
    ledger.stage(stepped(("append", "items", ["y"])))
    ledger.stage(Completed())
    ledger.unstage()

    assert (outline(ledger.run), ledger._tail_bytes) == (before, size)
    await commit(ledger, stepped(("append", "items", ["z"])))
    assert (await read_by_a_stranger(store, NOTES)).values["items"].to_list() == ["x", "z"]


async def test_a_thread_that_cannot_be_read_is_given_back() -> None:
    store = InMemoryCheckpointer()
    await commit(await owned(journal_of(store, NOTES)), start(), stepped(("set", "count", 1)), release=True)
    change(store, 1, body=b"?")
    for _ in range(2):
        with pytest.raises(StoreCorruptError) as corrupt:
            await journal_of(store, NOTES).acquire("t", lease_seconds=15)
        assert (corrupt.value.thread_id, corrupt.value.sequence) == ("t", 2)


async def test_a_hole_in_the_journal_is_noticed_and_named() -> None:
    store = InMemoryCheckpointer()
    ledger = await owned(journal_of(store, NOTES))
    await commit(ledger, start(), stepped(), stepped(), stepped(), release=True)
    del thread_in(store).records[2]

    with pytest.raises(StoreCorruptError, match='of thread "t", record 4, cannot be read: it follows record 2'):
        await read_by_a_stranger(store, NOTES)


async def test_a_snapshot_whose_list_items_are_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_room, "SNAPSHOT_FLOOR", 0)
    store = InMemoryCheckpointer()
    await commit(await owned(journal_of(store, NOTES)), start(), stepped(("set", "count", 1)), release=True)
    change(store, 0, items=None)

    with pytest.raises(StoreCorruptError, match=r"the items of .'context', 'items', 'kept'. are missing"):
        await read_by_a_stranger(store, NOTES)


async def test_a_thread_has_one_owner_and_is_read_by_all() -> None:
    store = InMemoryCheckpointer()
    ledger = await owned(journal_of(store, NOTES))
    await commit(ledger, start())

    with pytest.raises(ThreadBusyError):
        await owned(journal_of(store, NOTES))
    assert outline(await read_by_a_stranger(store, NOTES)) == outline(ledger.run)
    assert await journal_of(store, NOTES).read("unknown") is None
    assert await journal_of(store, NOTES).acquire("unknown", lease_seconds=15, create=False) is None
