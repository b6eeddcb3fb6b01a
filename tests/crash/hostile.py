"""Reads a database in whose rows somebody has put whatever came to mind, under an audit hook.

Run as ``python -m tests.crash.hostile FOLDER``. It prints what it did as JSON, or fails with the case that did harm.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from taf import AgentState, CompiledGraph, SqliteCheckpointer, StateGraph, interrupt, task
from taf.errors import TafError
from taf.state import append
from tests.crash.disk import Hasty, connect_with

SECONDS = 5.0
"""How long a call on a hostile thread may take: far more than it does, far less than what never ends."""

CODE = {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "touch pwned"}}
PICKLE = b"cos\nsystem\n(S'touch pwned'\ntR."
SCALARS: list[Any] = [
    *("os.system", "../../../../etc/passwd", "taf.graph.engine.Engine", "", "a\0b", "\U0001f525" * 1000),
    *(b"\xff\xfe\x00garbage", PICKLE, -1, 0, 2**63 - 1, -(2**63), 3.5, float("inf"), None),
]
BODIES: list[bytes] = [
    *(b"", b"\xff\xfe\x00garbage", PICKLE, b"null", b"{}", b"[]", b"1", b'"os.system"', b"[[[]]]", b"NaN", b"[1e999]"),
    *(b"[" * 200_000, b"[" * 5_000 + b"]" * 5_000, b'{"a":' * 100_000, b'["\\ud800",' + b"[" * 100_000),
    *(b"[" + b"9" * 1_000_000 + b"]", b"[" + b"1," * 5_000_000 + b"1]", json.dumps(CODE).encode()),
    *(b'{"py/object": "os.system"}', b'["!!python/object/apply:os.system", ["touch pwned"]]', b'[["os", "system"]]'),
]
LEAVES: list[Any] = [
    *(None, -1, 10**30, 1e308, "", "os.system", True, "\0"),
    *([], {}, [[]], {"$ref": "#"}, CODE, ["set", "os", {}]),
]


class Walk(AgentState):
    trail: Annotated[list[str], append] = []
    note: str = ""
    seen: set[tuple[int, str]] = set()


def build() -> StateGraph:
    async def fill(state: Walk) -> dict[str, Any]:
        return {"trail": ["fill"], "note": "x" * 70_000, "seen": {(1, "a")}}

    async def ask(state: Walk) -> dict[str, Any]:
        got = await task("fetch", lambda: {"pair": (1, 2)})
        return {"trail": [str(got), str(await interrupt("sure?", answer=int, data={"at": (1, 2)}))]}

    return StateGraph(Walk).add_node("fill", fill).add_node("ask", ask)


async def make(path: Path) -> None:
    async with SqliteCheckpointer(path) as store, build().compile(store) as app:
        for thread in ("bad", "good"):
            await app.ainvoke({"trail": ["in"]}, {"thread_id": thread})
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(
            "INSERT INTO taf_signals (thread, run_id, kind, body) SELECT id, run_id, 'stop', 'x' FROM taf_threads"
        )


# --- cases ---

Case = tuple[str, str, Any]
"""A table, one of its columns, and what is put there."""


def cases(path: Path) -> Iterator[Case]:
    chance = random.Random(5)
    with closing(sqlite3.connect(path)) as file:
        tables = [
            name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'taf%'")
        ]
        for table in tables:
            for _, column, *_ in file.execute(f"PRAGMA table_info({table})").fetchall():
                is_body = column in ("body", "items")
                for value in BODIES if is_body else SCALARS:
                    yield table, column, value
                if is_body:
                    where = "thread = (SELECT id FROM taf_threads WHERE thread = 'bad')"
                    for (body,) in file.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchall():
                        for changed in confused(body, chance):
                            yield table, column, (body, changed)


def confused(body: Any, chance: random.Random) -> Iterator[bytes]:
    """Yield JSON with one part put in the place of another, and JSON that ends too soon."""
    try:
        json.loads(body)
    except (ValueError, TypeError):
        return
    yield body[: len(body) // 2]
    for _ in range(8):
        whole = [json.loads(body)]
        part: Any = whole
        while True:
            places = list(part.keys()) if isinstance(part, dict) else list(range(len(part)))
            place = chance.choice(places)
            if not isinstance(part[place], dict | list) or not part[place] or chance.random() < 0.25:
                break
            part = part[place]
        part[place] = chance.choice(LEAVES)
        yield json.dumps(whole[0]).encode()


def put(path: Path, case: Case) -> bool:
    """Change the rows of the thread. Return False where SQLite itself refuses that."""
    table, column, value = case
    whose = {"taf_threads": "thread = 'bad'", "taf_epochs": "TRUE"}
    where = whose.get(table, "thread = (SELECT id FROM taf_threads WHERE thread = 'bad')")
    *old, new = value if isinstance(value, tuple) else (value,)
    only = f"{column} = ?" if old else "TRUE"
    with closing(sqlite3.connect(path)) as file:
        try:
            with file:
                file.execute(f"UPDATE {table} SET {column} = ? WHERE {where} AND {only}", (new, *old))
        except (sqlite3.IntegrityError, sqlite3.OperationalError):
            return False
    return True


# --- what is done with each ---


FORBIDDEN = ("import", "exec", "compile", "os.system", "os.fork", "os.forkpty", "os.rename")
FORBIDDEN_ROOTS = ("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.spawn", "ctypes.", "marshal.", "pickle.")


class Audit:
    """Notes what Python does while it is on."""

    def __init__(self, folder: Path) -> None:
        self.is_on, self.bad, self._folder = False, list[str](), str(folder)
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.is_on and self._is_bad(event, args):
            self.bad.append(f"{event} {args!r:.300}")

    def _is_bad(self, event: str, args: tuple[Any, ...]) -> bool:
        if event == "open":
            path, mode, flags = args
            is_write = bool(flags & 3) or any(letter in str(mode) for letter in "wax+")
            return is_write and not str(path).startswith(f"{self._folder}/now.db.owners/")
        return event in FORBIDDEN or event.startswith(FORBIDDEN_ROOTS)


async def attack(app: CompiledGraph, thread: str, errors: dict[str, int]) -> float:
    """Do all that can be done with a thread; return how long the slowest call took."""
    config, slowest = {"thread_id": thread}, 0.0

    async def events() -> None:
        async for _ in app.aevents(config):
            pass

    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: app.aget_state(config),
        events,
        lambda: app.ainterrupts(config),
        lambda: app.aget_history(config),
        app.athreads,
        lambda: app.aresume(config, 7),
        lambda: app.ainvoke(None, config),
        lambda: app.ainvoke({"trail": ["more"]}, config),
        lambda: app.astop(config),
        lambda: app.adelete_thread(config),
    ]
    for call in calls:
        began = time.perf_counter()
        try:
            await call()
        except TafError as error:
            errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1
        slowest = max(slowest, time.perf_counter() - began)
    return slowest


async def main(folder: Path) -> None:
    connect_with(Hasty)
    base, now = folder / "base.db", folder / "now.db"
    await make(base)
    audit, graph = Audit(folder), build()
    errors: dict[str, int] = {}
    tried = refused = 0

    async def visit(thread: str, table: str = "") -> None:
        async with SqliteCheckpointer(now) as store, graph.compile(store) as app:
            took = await attack(app, thread, errors)
            assert took < SECONDS, f"it took {took:.1f} s"
            if table == "taf_epochs":  # the counter belongs to all threads
                await attack(app, "good", errors)
                return
            result = await app.aresume({"thread_id": "good"}, 7)
            assert result.state.trail == ["in", "fill", "{'pair': (1, 2)}", "7"], result

    shutil.copy(base, now)
    await visit("bad")  # whatever is loaded late is loaded now
    await visit_unknown(graph, now)
    errors.clear()
    for case in cases(base):
        shutil.copy(base, now)
        if not put(now, case):
            refused += 1
            continue
        tried += 1
        audit.is_on = True
        try:
            await visit("bad", case[0])
        except Exception as error:
            raise AssertionError(f"{case[0]}.{case[1]} = {case[2]!r:.200}") from error
        finally:
            audit.is_on = False
        assert not audit.bad, f"{case[0]}.{case[1]} = {case[2]!r:.200}: {audit.bad}"
    gc.collect()
    assert not (folder / "pwned").exists()
    print(json.dumps({"tried": tried, "refused": refused, "errors": errors}))


async def visit_unknown(graph: StateGraph, path: Path) -> None:
    async with SqliteCheckpointer(path) as store, graph.compile(store) as app:
        await attack(app, "unknown", {})


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
