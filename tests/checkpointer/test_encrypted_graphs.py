"""Whole graphs on an encrypted store, and what lies in the file then."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Annotated, Any

import pytest

from taf import END, AgentState, CompiledGraph, ExecutionStatus, Message, StateGraph, interrupt, task
from taf.checkpointer import BaseCheckpointer, EncryptedCheckpointer, InMemoryCheckpointer, Keys, SqliteCheckpointer
from taf.checkpointer.ledger import SNAPSHOT_FLOOR
from taf.errors import StoreCorruptError
from taf.state import append
from tests.crash.journey import CONFIG as JOURNEY
from tests.crash.journey import Files, build, compiled, go_on
from tests.styles import run

KEYS = Keys(Keys.new())
MARKER = "marker-5d1f"
CONFIG = {"thread_id": "t"}


class Secret(AgentState):
    notes: Annotated[list[str], append] = []
    note: str = ""
    rounds: int = 0


async def ask(state: Secret) -> dict[str, Any]:
    said = await task("look", lambda: f"{MARKER} of a task")
    answer = await interrupt(f"{MARKER}?", answer=str, data={"data": MARKER})
    return {"notes": [said, answer]}


async def turn(state: Secret) -> dict[str, Any]:
    return {"notes": [f"{MARKER} {state.rounds}"], "note": MARKER * 2000, "rounds": state.rounds + 1}


def secretive(store: BaseCheckpointer) -> CompiledGraph:
    """inner asks; then so many turns that a snapshot is taken."""
    inner = StateGraph(Secret).add_node("ask", ask).compile()
    graph = StateGraph(Secret).add_node("inner", inner).add_node("turn", turn).add_edge("inner", "turn")
    graph.set_entry_point("inner").add_conditional_edges("turn", lambda s: END if s.rounds == 9 else "turn")
    return graph.compile(store)


async def completed(store: BaseCheckpointer) -> None:
    async with secretive(store) as app:
        await app.ainvoke({"messages": [Message.text_message(MARKER)]}, CONFIG)
        found = await app.aresume(CONFIG, f"{MARKER} of a human", by="alice")
        assert found.status is ExecutionStatus.COMPLETED


async def test_a_journey_with_everything_ends_as_it_does_in_clear(inner: BaseCheckpointer, tmp_path: Path) -> None:
    states: list[dict[str, Any]] = []
    async with InMemoryCheckpointer() as clear:
        for name, store in (("clear", clear), ("sealed", EncryptedCheckpointer(inner, KEYS))):
            (tmp_path / name).mkdir()
            files = Files(tmp_path / name)
            async with compiled(build(files), store, files) as app:
                states.append(await go_on(app, files))
                assert len(await app.aget_history(JOURNEY)) > 10

    assert states[0] == states[1]


async def test_another_process_goes_on_with_a_question_in_a_subgraph(inner: BaseCheckpointer, style: str) -> None:
    async with secretive(EncryptedCheckpointer(inner, KEYS)) as app:
        await run(app, style, {"note": "hello"}, CONFIG)
    async with secretive(EncryptedCheckpointer(inner, KEYS)) as app:
        (record,) = (await app.aget_state(CONFIG)).interrupts
        assert (record.reason, record.data) == (f"{MARKER}?", {"data": MARKER})
        found = await app.aresume(CONFIG, "yes", interrupt_id=record.id)

    assert (found.status, found.state.notes[:2]) == (ExecutionStatus.COMPLETED, [f"{MARKER} of a task", "yes"])


async def test_a_snapshot_is_read_and_a_fork_of_it_goes_its_own_way(inner: BaseCheckpointer) -> None:
    await completed(EncryptedCheckpointer(inner, KEYS))
    async with secretive(EncryptedCheckpointer(inner, KEYS)) as app:
        stored = await app.checkpointer.load(app.runtime.journal.key("t"))
        assert stored is not None
        assert stored.snapshot is not None
        now = await app.aget_state(CONFIG)
        middle = next(found for found in await app.aget_history(CONFIG) if found.state.rounds == 4)

        found = await app.aresume(await app.afork(middle.config))

        assert found.state.notes == now.state.notes
        assert len(now.state.notes) == 11


async def test_a_run_is_stopped_from_another_store_on_the_same_file(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def wait(state: Secret) -> None:
        begun.set()
        await asyncio.Event().wait()

    graph = StateGraph(Secret).add_node("wait", wait)
    async with AsyncExitStack() as stack:
        here, there = [
            await stack.enter_async_context(
                graph.compile(
                    await stack.enter_async_context(EncryptedCheckpointer(SqliteCheckpointer(tmp_path / "t.db"), KEYS))
                )
            )
            for _ in range(2)
        ]
        running = asyncio.create_task(here.ainvoke({}, CONFIG))
        async with asyncio.timeout(10):
            await begun.wait()
            told = await there.astop(CONFIG, "because")
            found = await running

    assert (told["ok"], told["reason"], found.status) == (True, "because", ExecutionStatus.STOPPED)


@pytest.mark.parametrize("is_sealed", [True, False])
async def test_only_without_encryption_a_graph_s_text_is_in_the_file_and_its_log(
    tmp_path: Path, is_sealed: bool
) -> None:
    def found_in(name: str) -> bool:
        data = (tmp_path / name).read_bytes()
        assert len(data) > SNAPSHOT_FLOOR
        return MARKER.encode() in data

    inner = SqliteCheckpointer(tmp_path / "t.db")
    async with EncryptedCheckpointer(inner, KEYS) if is_sealed else inner as store:
        await completed(store)
        assert found_in("t.db-wal") != is_sealed
    assert found_in("t.db") != is_sealed


# -- a file that was tampered with -----------------------------------------------------------------

OF_T = "thread = (SELECT id FROM taf_threads WHERE tenant = '' AND thread = 't')"
TAMPERINGS = {
    "body": f"UPDATE taf_journal SET body = substr(body, 1, length(body) - 1) || x'00' WHERE sequence = 5 AND {OF_T}",
    "body of another row": "UPDATE taf_journal SET body = (SELECT body FROM taf_journal WHERE kind = 'completed'"
    f" LIMIT 1) WHERE kind = 'stepped' AND {OF_T}",
    "items": "UPDATE taf_journal SET items = NULL WHERE items IS NOT NULL",
    "kind": "UPDATE taf_journal SET kind = 'completed' WHERE kind = 'stepped'",
    "run": "UPDATE taf_journal SET run_id = 'other'",
    "time": "UPDATE taf_journal SET at = at + 1",
    "row taken out": f"DELETE FROM taf_journal WHERE sequence = 5 AND {OF_T}",
    "part": "UPDATE taf_snapshots SET body = x'5b5d'",
    "part taken out": "DELETE FROM taf_snapshots WHERE part = (SELECT max(part) FROM taf_snapshots)",
    "birth": "UPDATE taf_threads SET born = 'other'",
    "name": "UPDATE taf_threads SET thread = 'gone' WHERE thread = 't' AND tenant = '';"
    "UPDATE taf_threads SET thread = 't' WHERE thread = 'another' AND tenant = ''",
}


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_a_thread_that_was_tampered_with_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "t.db"
    async with EncryptedCheckpointer(SqliteCheckpointer(path), KEYS) as store:
        async with secretive(store) as app:
            await app.ainvoke({}, {"thread_id": "another"})
        await completed(store)
    by_hand(path, TAMPERINGS[what])

    async with EncryptedCheckpointer(SqliteCheckpointer(path), KEYS) as store, secretive(store) as app:

        async def read_all() -> None:
            await app.aget_state(CONFIG)  # the snapshot, and what it builds on
            await app.aget_history(CONFIG)  # every record

        with pytest.raises(StoreCorruptError):
            await read_all()


async def test_an_interrupt_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with EncryptedCheckpointer(SqliteCheckpointer(path), KEYS) as store:
        await completed(store)
    by_hand(path, "UPDATE taf_interrupts SET status = 'open'")

    async with EncryptedCheckpointer(SqliteCheckpointer(path), KEYS) as store, secretive(store) as app:
        with pytest.raises(StoreCorruptError, match=r"another place.*interrupt"):
            await app.ainterrupts(CONFIG)


def by_hand(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(statement)
        assert connection.total_changes > 0


# -- the wrong way round ---------------------------------------------------------------------------


async def test_an_encrypted_store_opened_without_its_keys_says_so(inner: BaseCheckpointer) -> None:
    await completed(EncryptedCheckpointer(inner, KEYS))

    async with secretive(inner) as app:
        for work in (
            lambda: app.aget_state(CONFIG),
            lambda: app.ainvoke({}, CONFIG),
            lambda: app.aget_history(CONFIG),
            lambda: app.ainterrupts(CONFIG),
            lambda: app.astop(CONFIG),
        ):
            with pytest.raises(StoreCorruptError, match=r"it is encrypted: open the store as EncryptedCheckpointer"):
                await work()


async def test_a_store_in_clear_opened_with_keys_says_so(inner: BaseCheckpointer) -> None:
    await completed(inner)

    async with secretive(EncryptedCheckpointer(inner, KEYS)) as app:
        for work in (lambda: app.aget_state(CONFIG), lambda: app.ainvoke({}, CONFIG), lambda: app.ainterrupts(CONFIG)):
            with pytest.raises(StoreCorruptError, match="it is not encrypted"):
                await work()
