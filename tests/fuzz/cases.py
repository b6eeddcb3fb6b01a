"""Cases for the decoders: bytes that name a place in a store and what lies there, and what must hold of each.

The first line of a case is the place, and a record's kind; every further line is a value of the row. What lies there is
decoded, or refused by an error of taf's tree. ``Watch`` sees what else Python does meanwhile.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from taf.checkpointer.base import InterruptRow, Record, Signal, Snapshot, Stored, ThreadKey
from taf.checkpointer.encoding import FactCodec
from taf.checkpointer.journal import Journal
from taf.checkpointer.keys import Keys
from taf.checkpointer.lineage import Lineage
from taf.checkpointer.past import past
from taf.checkpointer.postgres_rows import decode_name, encode_signal, signals_of
from taf.checkpointer.sealing import ThreadSeal
from taf.errors import TafError
from taf.serialization import decompressed, loads
from taf.state.run import Run, evolve
from taf.state.schema import StateSchema
from tests.checkpointer.audited_decoding import VALID, Holding
from tests.golden.threads import Trip
from tests.state.journals import Case

GOLDEN = Path(__file__).parent.parent / "golden"
SECONDS = 5.0
"""How long one case may take: a row may hold 8 MB, and a case of the fuzzer far less."""


class Cargo(Trip, Case):
    """A state with the fields of the golden rows and of the journals of the tests."""


SCHEMA = StateSchema(Cargo)
CODEC = FactCodec(SCHEMA)
SEAL = ThreadSeal(Keys(bytes(32)), ThreadKey("", "t"), "born")
SEALED = (
    "81c7162d6183990e114ef32e7428c65f00aff6eb5d8d4eca291385f5a28c3e3ae3b87959e6ca08f023b1ec",
    "81c7162d6183990e11df85127ed91fb0603bd1ba91e7cfe3162d76ef1ce1d3d5d4ec332b61d1da1d42",
)
"""The body and the items of a record of that thread, encrypted once: no two times give the same bytes."""

LATER = Lineage(2, {1: lambda values: values})


def records() -> list[Record]:
    """Return the beginning of a thread, which a case goes on with."""
    run, found = Run("t"), list[Record]()
    for fact in VALID[:2]:
        run = evolve(SCHEMA, run, fact)
        kind, body, items = CODEC.encode(fact)
        found.append(Record(run.sequence, kind, run.run_id, 0.0, body, items))
    return found


def at_once(work: Coroutine[Any, Any, Any]) -> None:
    """Run what never waits, without a loop."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


class Asked(Holding):
    """Holds an interrupt and the records of the past, too."""

    rows: Sequence[InterruptRow] = ()

    async def read(self, key: Any, after: int = 0, limit: int = 1000) -> Sequence[Record]:
        assert self.stored is not None
        return [record for record in self.stored.tail if record.sequence > after]

    async def base(self, key: Any) -> Snapshot | None:
        return None

    async def interrupts(self, *_: Any, **__: Any) -> Sequence[InterruptRow]:
        return self.rows


class Decoders:
    """All that decodes what a store holds, by the name of the place."""

    def __init__(self) -> None:
        self._before = records()
        # Once: a journal looks at the types of the state when it is made.
        self._store = Asked()
        self._now, self._later = (
            Journal(self._store, SCHEMA, tenant="", clock=float, lineage=lineage) for lineage in (Lineage(), LATER)
        )
        for journal in (self._now, self._later):
            assert journal.reading.untyped  # made when it is first asked for
        self.places: dict[bytes, Callable[[str, list[bytes]], None]] = {
            b"fact": self._fact,
            b"thread": self._thread,
            b"old": self._old_thread,
            b"snapshot": self._snapshot,
            b"interrupt": self._interrupt,
            b"signal": self._signal,
            b"sealed": self._sealed,
            b"row": self._row,
            b"compressed": self._compressed,
        }

    def decode(self, case: bytes) -> bool:
        """Decode a case; return False when it was refused by an error that is allowed. Raise any other."""
        head, *rows = case.split(b"\n")
        place, _, kind = head.partition(b" ")
        try:
            self.places.get(place, self._row)(kind.decode("latin-1"), rows or [b""])
        except TafError:
            return False
        return True

    def _fact(self, kind: str, rows: list[bytes]) -> None:
        _refusing(lambda: CODEC.decode(kind, rows[0], rows[1] if len(rows) > 1 else None))

    def _read(self, journal: Journal, stored: Stored) -> None:
        self._store.stored = stored
        journal.forget("t")
        at_once(journal.read("t"))

    def _thread(self, kind: str, rows: list[bytes]) -> None:
        self._follow(self._now, kind, rows)

    def _old_thread(self, kind: str, rows: list[bytes]) -> None:
        self._follow(self._later, kind, rows)

    def _follow(self, journal: Journal, kind: str, rows: list[bytes]) -> None:
        items = rows[1] if len(rows) > 1 else None
        last = Record(len(self._before) + 1, kind, "r", 0.0, rows[0], items)
        stored = Stored("born", last.sequence, "running", "r", False, False, None, (), (*self._before, last))
        self._store.stored = stored
        with suppress(TafError):
            at_once(journal.facts("t"))
        with suppress(TafError):
            at_once(_past(journal))
        self._read(journal, stored)

    def _snapshot(self, kind: str, rows: list[bytes]) -> None:
        """The first row is the items of a record that it refers to, the others are its parts."""
        snapshot = Snapshot(3, 3, tuple(rows[1:] or [b""]))
        stored = Stored("born", 3, "running", "r", False, False, snapshot, [(3, rows[0])], ())
        with suppress(TafError):
            self._read(self._later, stored)
        self._read(self._now, stored)

    def _interrupt(self, kind: str, rows: list[bytes]) -> None:
        self._store.rows = [InterruptRow("i", kind, "a", 0.0, rows[0])]
        at_once(self._now.interrupts("t"))

    def _sealed(self, kind: str, rows: list[bytes]) -> None:
        record = Record(1, kind, "r", 0.0, rows[0], rows[1] if len(rows) > 1 else None)
        with suppress(TafError):
            SEAL.open_snapshot(Snapshot(1, None, tuple(rows)))
        SEAL.open_records([record], 0)

    def _signal(self, kind: str, rows: list[bytes]) -> None:
        signals_of(rows, kind)
        _refusing(lambda: decode_name(rows[0]))

    def _row(self, kind: str, rows: list[bytes]) -> None:
        _refusing(lambda: loads(rows[0]))

    def _compressed(self, kind: str, rows: list[bytes]) -> None:
        """One row, in which any byte may be."""
        _refusing(lambda: loads(b"\n".join(rows)))


async def _past(journal: Journal) -> None:
    async for moment in past(journal, "t"):
        assert moment.run.sequence


def _refusing(work: Callable[[], object]) -> None:
    """Do what refuses by a ``ValueError``, as the codecs do, for whoever calls them to put into an error of taf's."""
    try:
        work()
    except ValueError as error:
        raise TafError(str(error)) from error


# -- what else happens -----------------------------------------------------------------------------

FORBIDDEN = ("import", "exec", "compile", "open", "socket.", "os.", "subprocess.", "ctypes.", "pickle.", "marshal.")


class Watch:
    """Notes what Python does while it is on, for ever: a hook cannot be taken out."""

    def __init__(self) -> None:
        self.is_on, self.seen = False, list[str]()
        self._zones = [ZoneInfo(key) for key in available_timezones()]  # the files that a row may lead to
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.is_on and event.startswith(FORBIDDEN):
            self.seen.append(f"{event} {args!r:.200}")

    def check(self, decoders: Decoders, case: bytes) -> bool:
        """Decode a case, and raise ``AssertionError`` when more than that happens. Return False when it is refused."""
        began, self.is_on = time.perf_counter(), True
        try:
            is_read = decoders.decode(case)
        finally:
            self.is_on = False
        assert not self.seen, self.seen
        took = time.perf_counter() - began
        assert took < SECONDS, f"it took {took:.1f} s"
        return is_read


# -- where it begins -------------------------------------------------------------------------------


def corpus() -> Iterator[bytes]:
    """Yield cases of valid rows: those of the golden files, and each kind of fact."""
    for fact in VALID:
        kind, body, items = CODEC.encode(fact)
        yield _case("thread", kind, body, items)
    for path in sorted(GOLDEN.glob("*.db")):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            for kind, body, items in file.execute("SELECT kind, body, items FROM taf_journal"):
                for place in ("fact", "thread", "old"):
                    yield _case(place, kind, body, items)
                if decompressed(body) is not body:
                    yield b"compressed\n" + body
            parts: dict[int, list[bytes]] = {}
            for thread, body in file.execute("SELECT thread, body FROM taf_snapshots ORDER BY thread, part"):
                parts.setdefault(thread, []).append(body)
            for found in parts.values():
                yield _case("snapshot", "", b"[]", *found)
            for status, body in file.execute("SELECT status, body FROM taf_interrupts"):
                yield _case("interrupt", status, body)
    yield _case("sealed", "completed", *map(bytes.fromhex, SEALED))
    yield _case("signal", "r", bytes(8) + encode_signal(Signal("stop", "r", b"enough"), 7))


def _case(place: str, kind: str, *rows: bytes | None) -> bytes:
    plain = [decompressed(row) for row in rows if row is not None]  # JSON is in one line, and other bytes need not be
    return b"\n".join([f"{place} {kind}".encode(), *plain])
