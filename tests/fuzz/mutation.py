"""How a case is changed: parts of its JSON are exchanged for other parts, for names of code and for odd numbers."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from taf.checkpointer.encoding import FACTS

MAX_BYTES = 65_536

LEAVES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**18), 0.5, 1e308, -0.0, "", "0", "a", "\0", "\ud800"),
    *("os.system", "builtins.eval", "../../etc/passwd", "tests.state.journals.Pet", "Europe/Berlin", "No/Where"),
    *("1E+9999999", "NaN", "-Infinity", "9" * 5000, "2024-02-30", "9999-12-31T23:59:59+14:00", "99:99", "AAAA"),
    *([], {}, [[]], [0, 0], [None, "", 0], ["set"], {"__class__": "os.system"}, {"$ref": "#"}, [[], "tuple"]),
    *("set", "append", "put", "cut", "drop", "merge", "join", "free", "change", "list", "item", "update", "message"),
    *("bytes", "datetime", "date", "time", "timedelta", "decimal", "uuid", "tuple", "set", "frozenset", "dict"),
    *("open", "answered", "rejected", "withdrawn", "expired", "before", "after", "node", "running", "stopped"),
    *("trail", "count", "items", "pet", "when", "seen", "grown", "log", "scores", "total", "own", "context", "price"),
]
PLACES = [b"fact", b"thread", b"old", b"snapshot", b"interrupt", b"signal", b"sealed", b"row", b"compressed"]


def mutated(case: bytes, chance: Random, other: bytes = b"") -> bytes:
    """Return a case with one to four parts changed, some of them for parts of another one."""
    head, *rows = case.split(b"\n")
    for _ in range(chance.randint(1, 4)):
        if not rows or chance.random() < 0.08:
            head = _other_head(head, chance)
            continue
        at = chance.randrange(len(rows))
        rows[at] = _changed(rows[at], chance, other)
        if chance.random() < 0.03:
            rows.insert(at, chance.choice(rows))
        elif chance.random() < 0.03:
            del rows[at]
    return b"\n".join([head, *rows])[:MAX_BYTES]


def _other_head(head: bytes, chance: Random) -> bytes:
    place, _, kind = head.partition(b" ")
    if chance.random() < 0.5:
        place = chance.choice(PLACES)
    else:
        kind = chance.choice([*FACTS, "unheard_of", "r"]).encode()
    return place + b" " + kind


def _changed(row: bytes, chance: Random, other: bytes) -> bytes:
    mark, body = (row[:8], row[8:]) if row[:1] == b"\0" else (b"", row)  # a signal begins with its number
    try:
        tree = [json.loads(body)]
    except (ValueError, RecursionError):
        return _cut(row, chance)
    if chance.random() < 0.05:
        return _cut(row, chance)
    holder, place = _somewhere(tree, chance)
    holder[place] = _instead(holder[place], chance, tree, other)
    return mark + json.dumps(tree[0], separators=(",", ":")).encode()


def _cut(row: bytes, chance: Random) -> bytes:
    """Change bytes, whatever they mean."""
    at = chance.randint(0, len(row))
    piece = chance.choice([b"", b"[", b"]", b"{", b'"', b",", b"0", b"\\ud800", b"\xff", b"1e999", b"[" * 300])
    return row[:at] + piece + row[at + chance.randint(0, 3) :]


def _somewhere(tree: Any, chance: Random) -> tuple[Any, Any]:
    holder: Any = tree
    while True:
        place = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        found = holder[place]
        if not isinstance(found, dict | list) or not found or chance.random() < 0.2:
            return holder, place
        holder = found


def _instead(part: Any, chance: Random, tree: Any, other: bytes) -> Any:
    choice = chance.randrange(6)
    if choice == 0 and isinstance(part, list) and part:
        return [*part, chance.choice(part)] if chance.random() < 0.5 else part[:-1]
    if choice == 1 and isinstance(part, dict) and part:
        return {**part, chance.choice(["id", "kind", "", "version"]): chance.choice(list(part.values()))}
    if choice == 2:
        holder, place = _somewhere(tree, chance)
        return json.loads(json.dumps(holder[place]))
    if choice == 3:
        try:
            holder, place = _somewhere([json.loads(other.split(b"\n")[-1])], chance)
            return holder[place]
        except (ValueError, RecursionError):
            return None
    if choice == 4:
        return [part] if chance.random() < 0.8 else [part, [[], chance.choice(["tuple", "decimal", "dict"])]]
    return chance.choice(LEAVES)
