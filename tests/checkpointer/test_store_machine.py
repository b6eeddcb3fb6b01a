"""The stores against one model in plain Python: random calls, fitting and not, under few and odd names.

Where the data can be held by several objects there are two of them, and each call goes to either. ``TAF_TORTURE=1``
runs the long form. Both forms print what they did, and fail when it was less than they claim.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from taf.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer, SqliteCheckpointer
from taf.checkpointer.base import (
    Commit,
    Cut,
    InterruptRow,
    Known,
    Listing,
    Mail,
    Posted,
    Record,
    Signal,
    Snapshot,
    Taken,
    ThreadKey,
)
from taf.errors import StaleOwnerError, TafError, ThreadBusyError
from tests.checkpointer.store_model import Busy, Holder, Model, Stale, is_odd, plain, until_removed, was_removed
from tests.pg.counting import IS_TORTURE
from tests.rounds import rounds

T = TypeVar("T")
HANG = 20.0  # seconds; nothing is measured by it
THREADS = ("a", "b", "a\x00b", "\x00", "\U0001f600", "\uffff", "\ud800", "b\udfff", "'; --")
TEXTS = st.sampled_from(["", "x", "y", "\x00", "\U0001f600"] * 6 + ["\ud800"])
RUNS = st.sampled_from(["r", "s", "r\x00"] * 8 + ["\udc00"])
STATES = st.sampled_from(["idle", "running", "paused", "\x00"])
BODIES = st.sampled_from([b"", b"body", b"\x00\xff", b"x" * 30])
TIMES = st.sampled_from([0.0, 1.5, 1767225600.1234567])
NUMBER = itertools.count()
STEPS = 50
DONE = ("pruned", "posted", "busy or stale")
"""What a machine has to have done."""
AGAIN = 10
"""How often it is run for that, at the most: few random runs may not come to it."""


class StoreMachine(RuleBasedStateMachine):
    """Makes each call on a store and on the model, and compares what comes of it."""

    stores: Sequence[BaseCheckpointer]
    runner: asyncio.Runner
    counts: Counter[str]
    refuses_odd_text = False
    keys: Sequence[ThreadKey] = ()

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.counts["runs"] += 1
        self.prefix = f"{next(NUMBER)}"
        self.tenants = (f"run {self.prefix}", f"run {self.prefix}\x00")
        names = data.draw(
            st.lists(st.tuples(st.sampled_from([0, 0, 1]), st.sampled_from(THREADS)), min_size=1, max_size=3)
        )
        self.keys = list({ThreadKey(self.tenants[tenant], name): None for tenant, name in [*names, (0, "plain")]})
        self.model = Model()
        self.holders: list[Holder] = []
        self.births: list[str] = ["another"]
        self.last_epoch = 0

    # -- both at once ------------------------------------------------------------------------------

    def wait(self, call: Awaitable[T]) -> T:
        async def within() -> T:
            async with asyncio.timeout(HANG):
                return await call

        return self.runner.run(within())

    def check(
        self, call: Awaitable[Any], expected: Callable[[], Any], shown: Callable[[Any], Any], *texts: str
    ) -> bool:
        """Compare the outcome of a call. Return False where a store had leave to refuse it, and did."""
        self.counts["calls"] += 1
        found: Any
        try:
            found = shown(self.wait(call))
        except ThreadBusyError:
            found = Busy
        except StaleOwnerError:
            found = Stale
        except TafError:
            if self.refuses_odd_text and any(map(is_odd, texts)):
                self.counts["refused"] += 1
                return False
            raise
        try:
            wanted = expected()
        except (Busy, Stale) as error:
            wanted = type(error)
        assert found == wanted
        self.counts["busy or stale"] += found in (Busy, Stale)
        return True

    def store(self, data: st.DataObject) -> BaseCheckpointer:
        return data.draw(st.sampled_from(self.stores))

    def key(self, data: st.DataObject) -> ThreadKey:
        return data.draw(st.sampled_from(self.keys))

    def known(self, key: ThreadKey, data: st.DataObject) -> Known | None:
        """Draw what a reader could know of a thread: the truth, an older truth, or what is not true of it."""
        thread = self.model.threads.get(key)
        if thread is None or not data.draw(st.integers(0, 3)):
            return data.draw(st.none() | st.builds(Known, st.sampled_from(self.births), st.integers(0, 3)))
        floor = data.draw(st.sampled_from([thread.floor, thread.floor, 0, 1]))
        return Known(thread.born, data.draw(st.integers(0, thread.head + 1)), floor)

    # -- owning ------------------------------------------------------------------------------------

    @rule(data=st.data(), create=st.sampled_from([True, True, False]))
    def acquire(self, data: st.DataObject, create: bool) -> None:
        self.acquire_of(self.key(data), create, data)

    def acquire_of(self, key: ThreadKey, create: bool, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.stores) - 1))
        known, is_new = self.known(key, data), key not in self.model.threads
        grants: list[Any] = []
        call = self.stores[number].acquire(key, lease_seconds=60, known=known, create=create)

        def granted(grant: Any) -> bool:
            grants.append(grant)
            return grant is not None

        if not self.check(call, lambda: self.model.may_acquire(key, create), granted, *key) or not any(grants):
            return
        (grant,) = grants
        assert grant.epoch > self.last_epoch
        assert not is_new or grant.stored.born not in self.births
        self.last_epoch = grant.epoch
        self.births += [grant.stored.born] * is_new
        holder = Holder(number, key, grant.epoch)
        self.holders.append(holder)
        assert as_mail(grant.mail) == self.model.mail(key)
        assert plain(grant.stored) == self.model.acquired(holder, grant.stored.born, known)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        self.abandon_of(data.draw(st.sampled_from(self.holders)))

    def abandon_of(self, holder: Holder) -> None:
        thread = self.model.threads.get(holder.key)
        is_owner = thread is not None and thread.owner == holder
        if thread is not None and is_owner and not thread.head:
            # With messages left, nothing would show when it is free.
            for message in list(thread.messages):
                assert self.wait(self.stores[0].amend(holder.key, message.id, None))
                assert self.model.amend(holder.key, message.id, None)
        self.stores[holder.store].abandon(holder.key, holder.epoch)
        self.model.release(holder)
        if is_owner:
            self.wait(self.until_free(holder.key))

    def let_go(self, key: ThreadKey) -> None:
        thread = self.model.threads.get(key)
        if thread is not None and thread.owner is not None:
            self.abandon_of(thread.owner)

    async def until_free(self, key: ThreadKey) -> None:
        """Wait until all objects see what was said without I/O."""
        is_gone = key not in self.model.threads
        for store in self.stores:
            while is_gone and not await was_removed(store, key):
                await asyncio.sleep(0.001)
            while any(row.is_owned for row in await store.threads(key.tenant) if row.thread_id == key.thread):
                await asyncio.sleep(0.001)
            while (found := await store.load(key)) is not None and found.is_owned:
                await asyncio.sleep(0.001)

    # -- writing -----------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.integers(1, 6))
    def append(self, data: st.DataObject, count: int) -> None:
        # Hypothesis leaves rules out at random: this one must not need another.
        if not self.model.owners() or data.draw(st.booleans()):
            self.acquire_of(self.key(data), True, data)
        for _ in range(count):
            if holders := self.model.owners() * 4 + self.holders[-2:]:
                self.append_by(data.draw(st.sampled_from(holders)), data)
        if data.draw(st.booleans()):
            self.post_to(data, Posted("enqueue", data.draw(RUNS), 0.0, b"body"), None)
            self.prune_of(data)

    def append_by(self, holder: Holder, data: st.DataObject) -> None:
        status, run_id, graph = data.draw(STATES), data.draw(RUNS), data.draw(TEXTS | st.just(""))
        is_release = data.draw(st.sampled_from([False, False, False, True]))
        thread = self.model.threads.get(holder.key)
        head = thread.head if thread is not None else 0
        records = self.records(head, data)
        commit = Commit(
            holder.key,
            data.draw(st.sampled_from([holder.epoch] * 8 + [holder.epoch - 1])),
            data.draw(st.sampled_from([head] * 8 + [0, head + 1])),
            records,
            status,
            run_id,
            self.rows(data) if records else (),
            self.snapshot(records[-1].sequence, data) if records and data.draw(st.booleans()) else None,
            is_release,
            graph if records else "",
            self.taken(thread.messages, thread.amendments, data) if thread is not None else None,
        )
        store = self.stores[data.draw(st.sampled_from([holder.store] * 8 + [0]))]
        if store is not self.stores[holder.store]:
            holder = holder._replace(store=1 - holder.store)
        self.counts["records"] += len(records)
        texts = [text for row in commit.interrupts for text in row[:3]]
        texts += [text for record in records for text in (record.kind, record.run_id)]
        self.check(store.append(commit), lambda: self.model.append(holder, commit), self.signals, *texts, run_id, graph)

    def records(self, head: int, data: st.DataObject) -> list[Record]:
        found: list[Record] = []
        for _ in range(data.draw(st.sampled_from([1, 2, 3, 0]))):
            head += data.draw(st.integers(1, 2))
            facts = (data.draw(TEXTS), data.draw(RUNS), data.draw(TIMES), data.draw(BODIES))
            found.append(Record(head, *facts, data.draw(st.none() | BODIES), data.draw(st.integers(0, 5))))
        return found

    def taken(self, messages: Sequence[Posted], amendments: int, data: st.DataObject) -> Taken | None:
        if not messages or data.draw(st.booleans()):
            return None
        ids = data.draw(st.lists(st.sampled_from([*[one.id for one in messages], 0]), unique=True))
        return Taken(ids, data.draw(st.sampled_from([None, *[amendments] * 4, amendments + 1])))

    def rows(self, data: st.DataObject) -> list[InterruptRow]:
        name = st.sampled_from("pqr\x00").map(lambda letter: f"{self.prefix} {letter}")
        return data.draw(st.lists(st.builds(InterruptRow, name, STATES, TEXTS, TIMES, BODIES), max_size=3))

    def snapshot(self, sequence: int, data: st.DataObject, first: int = 0) -> Snapshot:
        items_from = data.draw(st.none() | st.integers(first, sequence))
        return Snapshot(sequence, items_from, tuple(data.draw(st.lists(BODIES, min_size=1, max_size=3))))

    def signals(self, found: Sequence[Signal]) -> list[tuple[str, str, bytes]]:
        """Check the numbers, which are the store's, and return the rest."""
        assert [signal.id for signal in found] == sorted({signal.id for signal in found})
        return [signal[:3] for signal in found]

    @rule(data=st.data(), kind=st.sampled_from(["stop", "steer\x00"]), body=BODIES)
    def signal(self, data: st.DataObject, kind: str, body: bytes) -> None:
        key = self.key(data)
        active = [self.model.threads[key].run_id] * 8 if key in self.model.threads else []
        signal = Signal(kind, data.draw(st.sampled_from([*active, "r", "\udc00"])), body)
        self.check(
            self.store(data).signal(key, signal), lambda: self.model.signal(key, signal), bool, *key, signal.run_id
        )

    # -- messages ----------------------------------------------------------------------------------

    @rule(data=st.data(), kind=st.sampled_from(["enqueue", "steer\x00"]), at=TIMES, body=BODIES, is_told=st.booleans())
    def post(self, data: st.DataObject, kind: str, at: float, body: bytes, is_told: bool) -> None:
        signal = Signal(kind, "", body) if is_told else None
        self.post_to(data, Posted(kind, data.draw(RUNS), at, body), signal)

    def post_to(self, data: st.DataObject, message: Posted, signal: Signal | None) -> None:
        owned = [holder.key for holder in self.model.owners()] * 4
        key = data.draw(st.sampled_from([*owned, *self.keys]))
        ids = [one.id for one in self.model.mail(key).messages]
        given: list[int | None] = []

        def shown(number: int | None) -> int | None:
            given.append(number)
            return number if number is None or number in ids else 0

        was_made = self.check(
            self.store(data).post(key, message, signal),
            lambda: self.model.post(key, message, signal),
            shown,
            *key,
            message.run_id,
        )
        if was_made and given[0] is not None and given[0] not in ids:
            assert given[0] > max(ids, default=0)
            self.model.threads[key].messages[-1] = message._replace(id=given[0])
            self.counts["posted"] += 1

    @rule(data=st.data())
    def mail(self, data: st.DataObject) -> None:
        key = self.key(data)
        self.check(self.store(data).mail(key), lambda: self.model.mail(key), as_mail, *key)

    @rule(data=st.data(), body=st.none() | BODIES)
    def amend(self, data: st.DataObject, body: bytes | None) -> None:
        key = self.key(data)
        number = data.draw(st.sampled_from([*[one.id for one in self.model.mail(key).messages] * 8, 0]))
        call = self.store(data).amend(key, number, body)
        self.check(call, lambda: self.model.amend(key, number, body), bool, *key)

    # -- reading -----------------------------------------------------------------------------------

    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        key, store = self.key(data), self.store(data)
        known = self.known(key, data)
        self.check(store.load(key, known), lambda: self.model.load(key, known), plain, *key)

    @rule(data=st.data(), after=st.integers(0, 4), limit=st.integers(-1, 3))
    def read(self, data: st.DataObject, after: int, limit: int) -> None:
        key = self.key(data)
        self.check(self.store(data).read(key, after, limit), lambda: self.model.read(key, after, limit), list, *key)

    @rule(data=st.data(), letter=st.none() | st.sampled_from("pqr\x00"), status=st.none() | STATES)
    def interrupts(self, data: st.DataObject, letter: str | None, status: str | None) -> None:
        key, name = data.draw(st.none() | st.sampled_from(self.keys)), letter and f"{self.prefix} {letter}"
        call = self.store(data).interrupts(key, interrupt_id=name, status=status)
        self.check(call, lambda: self.model.interrupts(key, name, status), self.own, *(key or ()))

    def own(self, found: Sequence[InterruptRow]) -> list[InterruptRow]:
        """Leave out what other runs left in the same database."""
        return [row for row in found if row.id.startswith(f"{self.prefix} ")]

    ANY = st.none() | st.none() | st.none()
    LISTINGS = st.builds(Listing, st.lists(STATES, max_size=2), ANY | TEXTS, ANY | TIMES, ANY | TIMES, st.booleans())

    @rule(data=st.data(), listing=LISTINGS, limit=st.integers(1, 3))
    def threads(self, data: st.DataObject, listing: Listing, limit: int) -> None:
        self.threads_of(self.store(data), data.draw(st.sampled_from(self.tenants)), listing, limit)

    def threads_of(self, store: BaseCheckpointer, tenant: str, listing: Listing, limit: int) -> None:
        async def pages() -> list[Any]:
            found, cursor = list[Any](), ""
            while page := await store.threads(tenant, listing, after=cursor, limit=limit):
                assert len(page) <= limit
                found += [row[:7] for row in page]
                cursor = page[-1].cursor
            return found

        self.check(pages(), lambda: self.model.listed(tenant, listing), list, listing.graph or "")

    # -- leaving out and removing ------------------------------------------------------------------

    @rule(data=st.data())
    def prune(self, data: st.DataObject) -> None:
        self.prune_of(data)

    def prune_of(self, data: st.DataObject) -> None:
        filled = [key for key, thread in self.model.threads.items() if thread.records]
        key = data.draw(st.sampled_from(filled or self.keys))
        if data.draw(st.sampled_from([True, True, True, False])):
            self.let_go(key)
        thread = self.model.threads.get(key)
        places = [record.sequence for record in thread.records] if thread else []
        base = data.draw(st.sampled_from(places or [1]))
        later = data.draw(st.sampled_from([None, *[place for place in places if place >= base]]))
        cut = Cut(
            key,
            data.draw(st.sampled_from([thread.born if thread else "another"] * 5 + self.births)),
            data.draw(st.sampled_from([thread.head if thread else 1] * 8 + [0, base])),
            self.snapshot(base, data)._replace(items_from=None),
            None if later is None else self.snapshot(later, data, base),
            [row.id for row in self.rows(data)],
        )
        self.check(self.store(data).prune(cut), lambda: self.model.prune(cut), self.counted, *key)

    def counted(self, is_pruned: bool) -> bool:
        self.counts["pruned"] += is_pruned
        return is_pruned

    @rule(data=st.data())
    def base(self, data: st.DataObject) -> None:
        key = self.key(data)
        self.check(self.store(data).base(key), lambda: self.model.base(key), lambda found: found, *key)

    @rule(data=st.data(), expected=st.sampled_from([None, 0, 1, "head", "head"]))
    def delete(self, data: st.DataObject, expected: Any) -> None:
        key = self.key(data)
        head = self.model.threads[key].head if key in self.model.threads else 1
        head = head if expected == "head" else expected
        call = self.store(data).delete(key, expected=head)
        self.check(call, lambda: self.model.delete(key, head), bool, *key)

    # -- always ------------------------------------------------------------------------------------

    @invariant()
    def every_object_shows_what_the_model_says(self) -> None:
        for key in self.keys:
            store = self.stores[self.counts["calls"] % len(self.stores)]
            self.check(store.load(key), lambda key=key: self.model.load(key, None), plain, *key)

    def teardown(self) -> None:
        if not self.keys:
            return
        store = self.stores[-1]
        try:
            for key in self.keys:
                self.check(store.read(key), lambda key=key: self.model.read(key, 0, 1000), list, *key)
                self.check(store.base(key), lambda key=key: self.model.base(key), lambda found: found, *key)
            for tenant in self.tenants:
                self.threads_of(store, tenant, Listing(is_newest_first=True), 1)
            self.check(store.interrupts(), lambda: self.model.interrupts(None, None, None), self.own)
        finally:
            self.clear()

    def clear(self) -> None:
        """Leave nothing to the runs that follow."""
        for holder in self.holders:
            self.stores[holder.store].abandon(holder.key, holder.epoch)
        for key in list(self.model.threads):
            self.wait(until_removed(self.stores[0], key))


def as_mail(found: Mail) -> Mail:
    return found._replace(messages=tuple(found.messages))


def run_machine(kind: type[StoreMachine], runs: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    """Run a machine so often, and again if by chance it has not done all that it should. Print what it did."""
    kind.counts = Counter()
    found = settings(
        max_examples=runs,
        stateful_step_count=STEPS,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    with asyncio.Runner() as runner:
        kind.runner = runner
        for _ in range(AGAIN):
            run_state_machine_as_test(kind, settings=found)
            if all(kind.counts[what] for what in DONE):
                break
    print(f"{kind.__name__}: {dict(kind.counts)}, 0 differences")
    assert kind.counts["runs"] >= runs
    assert kind.counts["calls"] >= runs * STEPS / 2
    assert all(kind.counts[what] for what in DONE), kind.counts


def test_the_memory_store_does_what_the_model_does() -> None:
    class InMemory(StoreMachine):
        def __init__(self) -> None:
            super().__init__()
            self.stores = [InMemoryCheckpointer()]

    run_machine(InMemory, rounds(1000 if IS_TORTURE else 60))


def test_the_sqlite_store_does_what_the_model_does(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with SqliteCheckpointer(path, synchronous="NORMAL") as one, SqliteCheckpointer(path, synchronous="NORMAL") as other:

        class Sqlite(StoreMachine):
            stores = [one, other]
            refuses_odd_text = True

        run_machine(Sqlite, rounds(1000 if IS_TORTURE else 30))


def test_the_postgres_store_does_what_the_model_does(pg_dsn: str) -> None:
    with PgCheckpointer(pg_dsn) as one, PgCheckpointer(pg_dsn) as other:

        class Postgres(StoreMachine):
            stores = [one, other]

        # To make a failing run smaller takes minutes there.
        run_machine(Postgres, 200 if IS_TORTURE else 12, (Phase.reuse, Phase.generate))
