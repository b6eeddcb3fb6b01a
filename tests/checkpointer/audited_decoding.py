"""Decodes hostile rows under an audit hook and prints what else happened. Run by ``test_hostile_rows``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from taf.checkpointer.base import Stored
from taf.checkpointer.encoding import FACTS, FactCodec
from taf.checkpointer.interrupts import decode_record, encode_record
from taf.checkpointer.journal import Journal
from taf.checkpointer.memory import InMemoryCheckpointer
from taf.errors import TafError
from taf.serialization import dumps, loads
from taf.state.facts import Completed, Entry, Started, Stepped, Task, TaskRecorded, Updated
from taf.state.interrupts import InterruptKind, InterruptRecord
from tests.checkpointer.rows import stored_of
from tests.state.journals import SCHEMA, Pet

FORBIDDEN = ("import", "exec", "compile", "open", "socket", "os.", "subprocess", "ctypes", "pickle", "marshal", "code.")
NAMES = ["os", "os.system", "__main__", "builtins.eval", "../../etc/passwd", "/etc/passwd", "tests.state.journals.Pet"]
CODEC = FactCodec(SCHEMA)
RECORD = InterruptRecord(
    "i", "t", "r", "a", InterruptKind.NODE, "why", datetime(2024, 1, 1, tzinfo=UTC), data=(1, b"x")
)
VALID: list[Any] = [
    Started("r", tuple(SCHEMA.default_ops()), (Task("a", "a#0", {"items": [(1, 2)]}),)),
    Updated((("set", "pet", Pet()), ("set", "when", datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))))),
    Stepped((("a", "a", (("append", "items", [{"x": {1, 2}}]),)),), ()),
    TaskRecorded("a", "a", 0, Entry("task", "t", datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")))),
    Completed(),
]


def hostile(chance: random.Random, value: Any) -> Any:
    """Exchange parts of a decoded row for names of code, of files, and for other parts."""
    if chance.random() < 0.03:
        return chance.choice([*NAMES, None, -1, {"__class__": NAMES[0]}, {"py/object": NAMES[1]}, [[], NAMES[2]]])
    if isinstance(value, list):
        return [hostile(chance, item) for item in value]
    if isinstance(value, dict):
        return {
            key if chance.random() < 0.9 else chance.choice(NAMES): hostile(chance, item) for key, item in value.items()
        }
    return value


def rows(count: int) -> list[tuple[str, bytes, bytes | None]]:
    """Return the same hostile rows each time."""
    chance, found = random.Random(7), list[tuple[str, bytes, bytes | None]]()
    while len(found) < count:
        kind, body, items = CODEC.encode(chance.choice(VALID))
        body, items = (None if one is None else dumps(hostile(chance, loads(one))) for one in (body, items))
        found.append((kind if chance.random() < 0.9 else chance.choice([*FACTS, *NAMES]), body or b"", items))
    return found


class Holding(InMemoryCheckpointer):
    """Says that it holds what it is given."""

    stored: Stored | None = None

    async def load(self, key: Any, known: Any = None) -> Stored | None:
        return self.stored


async def decode(found: list[tuple[str, bytes, bytes | None]], record: bytes) -> int:
    """Decode every row as a fact, as a thread and as an interrupt; return how many were refused."""
    store, refused = Holding(), 0
    journal = Journal(store, SCHEMA, tenant="", clock=float)
    for kind, body, items in found:
        try:
            CODEC.decode(kind, body, items)
        except ValueError:
            refused += 1
        store.stored = stored_of(VALID[:2], (kind, body, items))
        with contextlib.suppress(TafError):
            await journal.read("t")
        with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
            decode_record(hostile(random.Random(len(body)), loads(record)))
    return refused


def main() -> None:
    seen: list[str] = []
    found, record = rows(1500), dumps(encode_record(RECORD))
    asyncio.run(decode([CODEC.encode(fact) for fact in VALID], record))  # what is imported late, and the zone
    is_watched = True

    def watch(event: str, _: Any) -> None:
        if is_watched and event.startswith(FORBIDDEN):
            seen.append(event)

    loop = asyncio.new_event_loop()
    sys.addaudithook(watch)
    refused = loop.run_until_complete(decode(found, record))
    is_watched = False
    loop.close()
    print(json.dumps({"rows": len(found), "refused": refused, "seen": seen}))


if __name__ == "__main__":
    main()
