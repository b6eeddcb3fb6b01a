"""Steps that one run alone takes are written on the spot; whatever there is more to is left, with nothing done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from taf import Keys, SqliteCheckpointer, StateGraph
from taf.checkpointer import EncryptedCheckpointer, sqlite_worker
from taf.checkpointer.base import BaseCheckpointer, Commit, Row, Signal, ThreadKey
from taf.errors import StoreUnavailableError
from taf.testing.store.owner import KEY, OTHER, RUN, Owner, load, make_record
from tests.checkpointer.watched_sqlite import Connection, by_hand, locked, of_writer


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold every disk for a quick one, and every loop for one that had its turn."""
    monkeypatch.setattr(sqlite_worker, "PROMPT_SECONDS", math.inf)
    monkeypatch.setattr(sqlite_worker, "TURN_SECONDS", math.inf)


@pytest.fixture
def store(watched_sqlite: SqliteCheckpointer) -> SqliteCheckpointer:
    return watched_sqlite


def step_of(owner: Owner, **facts: Any) -> Row:
    """Return the next record."""
    return make_record(owner.head + 1, **facts)[:]


def now(owner: Owner, **given: Any) -> Sequence[Signal] | None:
    asked = {"key": owner.key, "epoch": owner.epoch, "expected": owner.head, "row": step_of(owner), **given}
    return owner.store.append_now(**asked)


async def test_a_step_is_written_at_once_and_all_else_stays(
    store: SqliteCheckpointer, path: Path, connections: list[Connection]
) -> None:
    owner = await Owner.of(store)
    await owner.step(graph="drawn", status="running")
    with by_hand(path) as connection:
        columns = "status, run_id, graph, epoch, owner, boot_id, floor, messages, signals, revision + 1"
        before = connection.execute(f"SELECT {columns} FROM taf_threads").fetchone()
        (lease,) = connection.execute("SELECT lease_until FROM taf_threads").fetchone()
        said = len(of_writer(connections).statements)

        assert now(owner, row=step_of(owner, items=b"items", run_id="not its own")) == ()

        after = connection.execute(f"SELECT {columns.removesuffix(' + 1')} FROM taf_threads").fetchone()
        (renewed,) = connection.execute("SELECT lease_until FROM taf_threads").fetchone()
    assert after == before
    assert renewed > lease
    assert len(of_writer(connections).statements) == said + 4
    assert list(await store.read(KEY)) == [make_record(1), make_record(2, items=b"items", run_id="not its own")]
    [listed] = await store.threads()
    assert (listed.head, listed.updated) == (2, make_record(2).at)
    owner.head = 2
    await owner.step()


@pytest.mark.parametrize("what", ["a signal", "a watcher", "an old epoch", "another head", "another key", "no lease"])
async def test_a_step_to_which_there_is_more_is_left(store: SqliteCheckpointer, what: str) -> None:
    owner = await Owner.of(store)
    await owner.step()
    given: dict[str, Any] = {}
    if what == "a signal":
        await store.signal(KEY, Signal("stop", RUN, b"now"))
    elif what == "a watcher":
        store.watch(KEY, lambda change: None)
    elif what == "an old epoch":
        given["epoch"] = owner.epoch - 1
    elif what == "another head":
        given |= {"expected": 0}
    elif what == "another key":
        given["key"] = OTHER
    else:
        store.abandon(KEY, owner.epoch)
    before = await load(store)

    assert now(owner, **given) is None
    assert await load(store) == before
    assert len(await store.read(KEY)) == 1


async def test_others_who_write_are_not_waited_for(store: SqliteCheckpointer, path: Path) -> None:
    owner = await Owner.of(store)
    await owner.step()
    with locked(path):
        assert now(owner) is None
    assert now(owner) == ()


async def test_where_several_are_at_work_a_step_goes_with_those_of_others(store: SqliteCheckpointer) -> None:
    owner = await Owner.of(store)
    await owner.step()
    other = await Owner.of(store, ThreadKey("", "other"))
    assert now(owner) is None
    await other.release()
    assert now(owner) == ()


@pytest.mark.parametrize("statement", ["UPDATE", "INSERT", "COMMIT"])
async def test_a_step_that_fails_leaves_nothing(
    store: SqliteCheckpointer, connections: list[Connection], statement: str
) -> None:
    owner = await Owner.of(store)
    await owner.step()
    before = await load(store)
    of_writer(connections).failing = statement
    with pytest.raises(StoreUnavailableError, match="disk I/O error"):
        now(owner)
    of_writer(connections).failing = ""
    assert await load(store) == before
    assert now(owner) == ()


# -- whole runs ------------------------------------------------------------------------------------


class Count(BaseModel):
    count: int = 0
    said: str = ""


class Telling(SqliteCheckpointer):
    """Tells how each record came. ``may``: whether steps may be written at once."""

    may = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.came: list[str] = []

    async def append(self, commit: Commit) -> Sequence[Signal]:
        self.came += ["waited for"] * len(commit.records)
        return await super().append(commit)

    def append_now(self, key: ThreadKey, epoch: int, expected: int, row: Row) -> Sequence[Signal] | None:
        found = super().append_now(key, epoch, expected, row) if self.may else None
        self.came += [] if found is None else ["at once"]
        return found


async def bump(state: Count) -> dict[str, Any]:
    return {"count": state.count + 1, "said": "yes " * 100 * state.count}


async def records_of(store: BaseCheckpointer) -> list[tuple[Any, ...]]:
    graph = StateGraph(Count)
    graph.add_sequence([(f"n{number}", bump) for number in range(6)]).set_entry_point("n0")
    for run_id in ("first", "second"):
        async with graph.compile(store) as app:
            found = await app.ainvoke({}, {"thread_id": "t", "run_id": run_id})
            assert found.state.count == (6 if run_id == "first" else 12)
    async with graph.compile(store) as app:
        return [(record.sequence, record.kind, record.step) for record in await store.read(ThreadKey("", "t"))]


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_a_run_is_the_same_however_its_steps_came(tmp_path: Path, is_encrypted: bool) -> None:
    async with Telling(tmp_path / "a.db") as quick, Telling(tmp_path / "b.db") as slow:
        slow.may = False
        keys = Keys(Keys.new())
        found = [await records_of(EncryptedCheckpointer(one, keys) if is_encrypted else one) for one in (quick, slow)]

    assert found[0] == found[1]
    assert slow.came.count("at once") == 0
    assert quick.came.count("at once") >= 8  # of twelve steps, two of which go with the end of their run
