"""``taf check-upgrade`` tells which threads a graph cannot go on with, and touches none."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from taf import PgCheckpointer, SqliteCheckpointer
from taf.cli import main
from tests.pausing.trails import row

MODULE = """
from typing import Annotated

from taf import AgentState, StateGraph
from taf.state import append


class Trail(AgentState):
    trail: Annotated[list[str], append] = []
    note: str = ""


def row(*names):
    graph = StateGraph(Trail)
    for name in names:
        graph.add_node(name, lambda state: None)
    return graph


same = row("a", "b", "c")
more = row("a", "b", "x", "c").compile()
gone = row("a", "c")


def renamed():
    return gone.compile(rename_nodes={"b": "a"})


def migrated():
    return same.compile(state_version=2, migrations={1: lambda values: values})


def elsewhere():
    return gone.compile(tenant="other")


number = 5


def broken():
    raise RuntimeError("no")
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the file of a store with three threads: two paused, one of them answered and stopped, one complete."""
    with SqliteCheckpointer(tmp_path / "t.db") as store, row("a", "b", "c").compile(store, None, ["b"]) as app:
        for thread in ("paused", "stopped", "done"):
            app.invoke({}, {"thread_id": thread})
        app.stop({"thread_id": "stopped"})
        app.invoke(None, {"thread_id": "done"})
    return tmp_path / "t.db"


@pytest.fixture
def check(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Return what runs the command on a graph of the module, and returns its exit status and what it printed."""
    (tmp_path / "shop_graphs.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "shop_graphs", raising=False)

    def run(graph: str, *options: str) -> tuple[int, str]:
        status = main(["check-upgrade", f"shop_graphs:{graph}", "--sqlite", str(database), *options])
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return run


@pytest.mark.parametrize(
    ("graph", "counts"),
    [
        ("same", "same: 2, compatible: 0, needs migration: 0, impossible: 0"),
        ("more", "same: 0, compatible: 2, needs migration: 0, impossible: 0"),
        ("renamed", "same: 0, compatible: 2, needs migration: 0, impossible: 0"),
        ("migrated", "same: 0, compatible: 0, needs migration: 2, impossible: 0"),
        ("elsewhere", "same: 0, compatible: 0, needs migration: 0, impossible: 0"),
    ],
)
def test_threads_that_can_go_on_are_counted(graph: str, counts: str, check: Callable[..., Any]) -> None:
    assert check(graph) == (0, counts + "\n")


def test_threads_that_cannot_go_on_are_listed_with_the_reason(check: Callable[..., Any]) -> None:
    status, shown = check("gone")
    assert status == 1
    lines = shown.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["paused (interrupted_before)", "stopped (stopped)"]
    assert all('it is at node "b"' in line and "rename_nodes" in line for line in lines[:2])
    assert lines[2] == "same: 0, compatible: 0, needs migration: 0, impossible: 2"


def test_threads_in_postgres_are_looked_at_too(
    pg_dsn: str, check: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with PgCheckpointer(pg_dsn) as store, row("a", "b", "c").compile(store, None, ["b"]) as app:
        app.invoke({}, {"thread_id": "only here"})
    assert check("same")[0] == 0  # the module is on the path from here
    before = asyncio.run(rows(pg_dsn))

    assert main(["check-upgrade", "shop_graphs:gone", "--dsn", pg_dsn]) == 1
    assert capsys.readouterr().out.startswith("only here (interrupted_before): ")
    assert asyncio.run(rows(pg_dsn)) == before


async def rows(dsn: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    found = [tuple(row) for row in await connection.fetch("SELECT * FROM taf.threads")]
    await connection.close()
    return found


def test_json_says_the_same(check: Callable[..., Any]) -> None:
    status, shown = check("gone", "--json")
    found = json.loads(shown)
    assert status == 1
    assert found["counts"] == {"same": 0, "compatible": 0, "needs migration": 0, "impossible": 2}
    assert [(one["thread_id"], one["status"]) for one in found["impossible"]] == [
        ("paused", "interrupted_before"),
        ("stopped", "stopped"),
    ]


def test_the_tenant_can_be_named(check: Callable[..., Any]) -> None:
    assert check("gone", "--tenant", "nobody")[0] == 0
    assert check("elsewhere", "--tenant", "")[0] == 1


def test_nothing_is_acquired_or_changed(check: Callable[..., Any], database: Path) -> None:
    with SqliteCheckpointer(database) as store, row("a", "b", "c").compile(store) as app:
        before = [app.get_history({"thread_id": thread}) for thread in ("paused", "stopped", "done")]
        rows = app.threads()
        for graph in ("same", "gone", "migrated", "renamed"):
            check(graph)
        assert [app.get_history({"thread_id": thread}) for thread in ("paused", "stopped", "done")] == before
        assert app.threads() == rows
        assert app.resume({"thread_id": "paused"}).state.trail == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ("missing", "has no attribute 'missing'"),
        ("number", "is int, not a StateGraph"),
        ("broken", "RuntimeError: no"),
    ],
)
def test_a_name_that_is_no_graph_is_a_wrong_call(graph: str, words: str, check: Callable[..., Any]) -> None:
    status, shown = check(graph)
    assert status == 2
    assert words in shown


@pytest.mark.parametrize("arguments", [[], ["check-upgrade"], ["check-upgrade", "a:b"], ["unknown"]], ids=str)
def test_a_call_without_what_it_needs_is_a_wrong_call(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: taf" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told_and_not_made(
    check: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.db"
    assert main(["check-upgrade", "shop_graphs:same", "--sqlite", str(path)]) == 2
    assert f"There is no file {path}" in capsys.readouterr().err
    assert not path.exists()


def test_a_graph_that_does_not_compile_is_told(tmp_path: Path, database: Path, monkeypatch: Any, capsys: Any) -> None:
    (tmp_path / "wrong_graphs.py").write_text("from taf import StateGraph\n\ngraph = StateGraph()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["check-upgrade", "wrong_graphs:graph", "--sqlite", str(database)]) == 2
    assert "It has no nodes" in capsys.readouterr().err
