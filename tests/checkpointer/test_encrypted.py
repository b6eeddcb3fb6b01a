"""An encrypted store keeps what every store has to keep, and refuses what it did not write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from taf.checkpointer import BaseCheckpointer, EncryptedCheckpointer, InMemoryCheckpointer, Keys, SqliteCheckpointer
from taf.checkpointer.base import Change, Commit, Cut, Known, Signal, Snapshot
from taf.errors import StaleOwnerError, StoreCorruptError, StoreUnavailableError
from taf.testing import CheckpointerContract
from taf.testing.store.owner import KEY, OTHER, RUN, Owner, fill, load, make_interrupt, make_record, until

OLD, NEW = Keys.new(), Keys.new()
KEYS = Keys(NEW)


class TestEncryptedInMemory(CheckpointerContract):
    reopen = None

    def make_store(self) -> EncryptedCheckpointer:
        return EncryptedCheckpointer(InMemoryCheckpointer(), KEYS)


class TestEncryptedSqlite(CheckpointerContract):
    def make_store(self) -> EncryptedCheckpointer:
        return EncryptedCheckpointer(SqliteCheckpointer(self.tmp_path / "threads.db"), KEYS)

    reopen_store = make_store


@pytest.fixture
def inner() -> InMemoryCheckpointer:
    return InMemoryCheckpointer()


@pytest.fixture
def store(inner: InMemoryCheckpointer) -> EncryptedCheckpointer:
    return EncryptedCheckpointer(inner, KEYS)


async def told_by(work: Any) -> str:
    with pytest.raises(StoreCorruptError) as caught:
        await work
    return str(caught.value)


# -- what lies in the store ------------------------------------------------------------------------


async def test_nothing_that_a_graph_wrote_lies_in_the_store_in_clear(
    store: EncryptedCheckpointer, inner: InMemoryCheckpointer
) -> None:
    owner = await Owner.of(store)
    asked = make_interrupt("i", body=b"a secret")
    record = make_record(1, body=b"a secret", items=b"a secret")
    await owner.append(record, interrupts=[asked], snapshot=Snapshot(1, None, (b"a secret", b"a secret")))
    await store.signal(KEY, Signal("stop", RUN, b"a secret"))

    found = f"{await inner.load(KEY)} {await inner.interrupts()} {await inner.append(Commit(KEY, 1, 1, (), '', RUN))}"
    assert "secret" not in found
    assert "secret" in f"{await store.load(KEY)}"


async def test_the_same_row_is_other_bytes_each_time(store: EncryptedCheckpointer, inner: InMemoryCheckpointer) -> None:
    bodies: set[bytes] = set()
    for _ in range(20):
        await fill(store, 5)
        bodies |= {record.body for record in await inner.read(KEY)}
        await store.delete(KEY)

    assert len(bodies) == 100
    assert len({body[9:21] for body in bodies}) == 100


async def test_it_works_without_waiting_where_the_store_does(inner: InMemoryCheckpointer) -> None:
    class Slow(InMemoryCheckpointer):
        async def append(self, commit: Commit) -> Sequence[Signal]:
            return await super().append(commit)

    class Counting(EncryptedCheckpointer):
        async def append(self, commit: Commit) -> Sequence[Signal]:
            return await super().append(commit)

    store = EncryptedCheckpointer(inner, KEYS)
    assert (store.is_quick, EncryptedCheckpointer(Slow(), KEYS).is_quick, Counting(inner, KEYS).is_quick) == (
        True,
        False,
        False,
    )
    owner = await Owner.of(store)
    store.append_now(KEY, owner.epoch, 0, make_record(1)[:])
    assert [record.body for record in await store.read(KEY)] == [b"body 1"]


# -- rows that were not written by it --------------------------------------------------------------


async def test_a_thread_in_clear_is_refused_and_left_free(
    store: EncryptedCheckpointer, inner: InMemoryCheckpointer
) -> None:
    await fill(inner, 2)

    for work in (store.load(KEY), store.read(KEY), Owner.of(store), Owner.of(store)):
        assert "it is not encrypted" in await told_by(work)
    await Owner.of(inner)


async def test_a_thread_whose_key_is_missing_is_refused_and_left_free(store: EncryptedCheckpointer) -> None:
    await fill(store, 2)
    reader = EncryptedCheckpointer(store.store, Keys(OLD))

    for work in (reader.load(KEY), reader.read(KEY), Owner.of(reader)):
        assert f"key {KEYS.ids[0]}, which is not among the keys given" in await told_by(work)
    await Owner.of(store)


async def test_what_was_acquired_elsewhere_is_not_written_to(
    store: EncryptedCheckpointer, inner: InMemoryCheckpointer
) -> None:
    owner = await Owner.of(inner)

    with pytest.raises(StaleOwnerError):
        await store.append(owner.commit([make_record(1)]))
    assert not await inner.read(KEY)


async def test_after_a_write_that_was_lost_on_its_way_back_no_broken_link_is_written() -> None:
    class Losing(InMemoryCheckpointer):
        async def append(self, commit: Commit) -> Sequence[Signal]:
            await super().append(commit)
            raise StoreUnavailableError("write", "the answer was lost")

    store = EncryptedCheckpointer(Losing(), KEYS)
    owner = await Owner.of(store)
    with pytest.raises(StoreUnavailableError):
        await owner.step()
    owner.head = 1
    with pytest.raises(StaleOwnerError):
        await owner.step()

    store.abandon(KEY, owner.epoch)
    assert (await Owner.of(store)).head == 1


async def test_records_of_another_thread_are_refused(store: EncryptedCheckpointer, inner: InMemoryCheckpointer) -> None:
    for key in (KEY, OTHER):
        await fill(store, 2, key)
    inner._threads[KEY].records = list(inner._threads[OTHER].records)

    for work in (store.load(KEY), store.read(KEY), Owner.of(store)):
        assert "another place" in await told_by(work)


async def test_records_of_an_earlier_life_are_refused(
    store: EncryptedCheckpointer, inner: InMemoryCheckpointer
) -> None:
    await fill(store, 2)
    old = list(inner._threads[KEY].records)
    await store.delete(KEY)
    await fill(store, 2)
    inner._threads[KEY].records = old

    for reader in (store, EncryptedCheckpointer(inner, KEYS)):
        for work in (reader.load(KEY), reader.read(KEY), reader.read(KEY)):
            assert "another place" in await told_by(work)


async def test_an_interrupt_of_another_thread_is_refused(
    store: EncryptedCheckpointer, inner: InMemoryCheckpointer
) -> None:
    owner, other = await Owner.of(store), await Owner.of(store, OTHER)
    await owner.step(interrupts=[make_interrupt("a")])
    await other.step(interrupts=[make_interrupt("b")])
    inner._interrupts["b"] = inner._interrupts["b"]._replace(key=KEY)

    assert 'interrupt "b"' in await told_by(store.interrupts(KEY))
    assert 'interrupt "b"' in await told_by(EncryptedCheckpointer(inner, KEYS).interrupts(KEY))


async def test_rows_without_a_thread_are_refused(store: EncryptedCheckpointer, inner: InMemoryCheckpointer) -> None:
    await fill(store, 1)
    inner._threads[KEY].head = 0

    assert "no thread that is there" in await told_by(EncryptedCheckpointer(inner, KEYS).read(KEY))


async def test_a_thread_made_anew_elsewhere_is_read(inner: InMemoryCheckpointer) -> None:
    here, elsewhere = EncryptedCheckpointer(inner, KEYS), EncryptedCheckpointer(inner, KEYS)
    await fill(here, 2)
    await elsewhere.delete(KEY)
    assert not await here.read(KEY)
    owner = await Owner.of(elsewhere)
    await owner.step(interrupts=[make_interrupt("a")])

    assert len(await here.read(KEY)) == len(await here.interrupts(KEY)) == 1


# -- what stands before the next record ------------------------------------------------------------


@pytest.mark.parametrize("is_remembered", [True, False])
async def test_who_goes_on_with_a_known_thread_links_its_items(
    inner: InMemoryCheckpointer, is_remembered: bool
) -> None:
    first = EncryptedCheckpointer(inner, KEYS)
    owner = await Owner.of(first)
    await owner.append(make_record(1, items=b"one"), make_record(2))
    await owner.release()
    store = first if is_remembered else EncryptedCheckpointer(inner, KEYS)

    owner = await Owner.of(store, known=Known(owner.stored.born, 2))
    assert owner.stored.is_known
    await owner.append(make_record(3, items=b"three"), snapshot=Snapshot(3, 1, (b"head",)))

    assert list((await load(store)).items) == [(1, b"one"), (3, b"three")]
    del inner._threads[KEY].records[0]
    assert "missing" in await told_by(store.load(KEY))


async def test_a_known_thread_whose_last_record_is_gone_is_refused(
    store: EncryptedCheckpointer, inner: InMemoryCheckpointer
) -> None:
    await fill(store, 2)
    known = Known((await load(store)).born, 2)
    inner._threads[KEY].records.pop()

    assert "record 2" in await told_by(Owner.of(EncryptedCheckpointer(inner, KEYS), known=known))


async def test_a_pruned_thread_is_read_and_goes_on(store: EncryptedCheckpointer, inner: InMemoryCheckpointer) -> None:
    owner = await Owner.of(store)
    await owner.append(make_record(1, items=b"one"), make_record(2), make_record(3, items=b"three"), make_record(4))
    await owner.release()
    base, later = Snapshot(2, None, (b"base", b"part")), Snapshot(4, 3, (b"later",))

    assert await store.prune(Cut(KEY, owner.stored.born, 4, base, later))

    fresh = EncryptedCheckpointer(inner, KEYS)
    assert await fresh.base(KEY) == base
    assert [record.sequence for record in await fresh.read(KEY)] == [2, 3, 4]
    owner = await Owner.of(fresh)
    assert (owner.stored.snapshot, list(owner.stored.items)) == (later, [(3, b"three")])
    await owner.step()
    assert list((await load(fresh)).tail) == [make_record(5)]


async def test_what_cannot_be_pruned_is_told_like_by_any_store(store: EncryptedCheckpointer) -> None:
    await fill(store, 3)
    born = (await load(store)).born
    cut = Cut(KEY, born, 3, Snapshot(2, None, (b"base",)))

    for other in (cut._replace(key=OTHER), cut._replace(born="x"), cut._replace(expected=9)):
        assert not await store.prune(other)
    assert await store.prune(cut)
    assert not await store.prune(cut._replace(base=Snapshot(1, None, (b"base",))))
    assert await store.base(OTHER) is None


# -- signals ---------------------------------------------------------------------------------------


def forge(change: Callable[[Signal], Signal], inner: InMemoryCheckpointer) -> None:
    thread = inner._threads[KEY]
    thread.signals = [change(signal) for signal in thread.signals]


@pytest.mark.parametrize("body", [b"", b"stop it", None])
async def test_a_forged_signal_is_refused_by_the_next_write(
    store: EncryptedCheckpointer, inner: InMemoryCheckpointer, body: bytes | None
) -> None:
    owner = await Owner.of(store)
    await owner.step()
    await store.signal(KEY, Signal("stop", RUN, b"now"))
    forge(lambda signal: signal._replace(body=signal.body[:-1] + b"?" if body is None else body), inner)

    assert 'signal "stop"' in await told_by(owner.step())


@pytest.mark.parametrize("signals_only", [True, False])
async def test_a_watcher_is_told_of_true_signals_only(
    store: EncryptedCheckpointer, inner: InMemoryCheckpointer, signals_only: bool
) -> None:
    told: list[Change] = []
    owner = await Owner.of(store)
    await owner.step()
    store.watch(KEY, told.append, signals_only=signals_only)

    await inner.signal(KEY, Signal("stop", RUN, b"forged"))
    await store.signal(KEY, Signal("stop", RUN, b"true"))
    await until(lambda: told and told[-1].signals)

    assert [signal.body for change in told for signal in change.signals] == [b"true"]
    assert len(told) == (1 if signals_only else 2)


# -- keys ------------------------------------------------------------------------------------------


async def test_keys_are_rotated_row_by_row(inner: InMemoryCheckpointer) -> None:
    await fill(EncryptedCheckpointer(inner, Keys(OLD)), 2)
    both = EncryptedCheckpointer(inner, Keys(NEW, older=[OLD]))

    owner = await Owner.of(both)
    assert len(owner.stored.tail) == 2
    await owner.step()
    await fill(both, 1, OTHER)

    only_new = EncryptedCheckpointer(inner, KEYS)
    assert [record.body for record in await only_new.read(OTHER)] == [b"body 1"]
    assert len((await load(both)).tail) == 3
    assert "not among the keys given" in await told_by(only_new.load(KEY))


async def test_a_pruned_thread_needs_the_old_key_no_more(inner: InMemoryCheckpointer) -> None:
    await fill(EncryptedCheckpointer(inner, Keys(OLD)), 2)
    both = EncryptedCheckpointer(inner, Keys(NEW, older=[OLD]))
    owner = await Owner.of(both)
    await owner.step(is_release=True)

    assert await both.prune(Cut(KEY, owner.stored.born, 3, Snapshot(3, None, (b"base",))))

    assert [record.sequence for record in await EncryptedCheckpointer(inner, KEYS).read(KEY)] == [3]


def test_a_wrapper_closes_its_store() -> None:
    class Closing(InMemoryCheckpointer):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    inner: Any = Closing()
    wrapped: BaseCheckpointer = EncryptedCheckpointer(inner, KEYS)
    with wrapped:
        pass
    assert inner.closed == 1
