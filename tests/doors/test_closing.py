"""The end of an app: twice is no fault, afterwards is one, and what was passed in stays open."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest

from taf import AgentState, AppClosedError, CompiledGraph, ExecutionStatus, InMemoryCheckpointer, StateGraph
from taf.checkpointer.base import BaseCheckpointer

CONFIG = {"thread_id": "t"}


async def quick(state: AgentState) -> None:
    return None


def compiled(store: BaseCheckpointer | None = None) -> CompiledGraph:
    return StateGraph().add_node(quick).compile(store)


CALLS: list[Any] = [
    lambda app: app.invoke({}, CONFIG),
    lambda app: list(app.stream({}, CONFIG)),
    lambda app: app.submit({}, CONFIG),
    lambda app: app.resume(CONFIG),
    lambda app: app.stop(CONFIG),
    lambda app: app.join(CONFIG),
    lambda app: app.get_state(CONFIG),
    lambda app: app.get_history(CONFIG),
    lambda app: list(app.events(CONFIG)),
    lambda app: app.interrupts(CONFIG),
    lambda app: app.threads(),
    lambda app: app.update_state(CONFIG, {}),
    lambda app: app.fork(CONFIG),
    lambda app: app.delete_thread(CONFIG),
    lambda app: asyncio.run(app.ainvoke({}, CONFIG)),
    lambda app: asyncio.run(anext(app.astream({}, CONFIG))),
    lambda app: asyncio.run(app.aget_state(CONFIG)),
    lambda app: asyncio.run(app.astop(CONFIG)),
    lambda app: asyncio.run(app.athreads()),
]


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_every_call_afterwards_says_that_the_app_is_closed(call: Any) -> None:
    for is_used in (True, False):
        app = compiled()
        if is_used:
            app.invoke({}, CONFIG)
        app.close()
        with pytest.raises(AppClosedError):
            call(app)


def test_closing_twice_in_both_ways_is_no_fault(store: BaseCheckpointer) -> None:
    app = compiled(store)
    app.invoke({}, CONFIG)
    app.close()
    app.close()
    asyncio.run(app.aclose())
    asyncio.run(app.aclose())


def test_a_checkpointer_that_was_passed_in_stays_open(store: BaseCheckpointer) -> None:
    with compiled(store) as app:
        app.invoke({}, CONFIG)
    with compiled(store) as app:
        assert app.invoke({}, CONFIG).status is ExecutionStatus.COMPLETED


async def test_one_that_the_app_made_is_closed() -> None:
    closed: list[str] = []

    class Noting(InMemoryCheckpointer):
        def close(self) -> None:
            closed.append("closed")
            super().close()

    app = compiled()
    app.runtime.journal.store = Noting()
    async with app:
        pass
    assert closed == ["closed"]
    async with compiled(Noting()):
        pass
    assert closed == ["closed"]


def test_closing_ends_the_thread_of_the_door() -> None:
    for leave in (lambda app: app.close(), lambda app: asyncio.run(app.aclose())):
        before = set(threading.enumerate())  # other apps may have doors of their own
        app = compiled()
        app.invoke({}, CONFIG)
        doors = {thread for thread in set(threading.enumerate()) - before if thread.name == "taf sync calls"}
        assert len(doors) == 1
        leave(app)
        assert not doors & set(threading.enumerate())


def test_an_app_that_is_forgotten_ends_its_door() -> None:
    app = compiled()
    app.invoke({}, CONFIG)
    assert app._door is not None
    thread = app._door.thread
    gone = weakref.ref(app)
    del app
    gc.collect()
    thread.join(5)
    assert (gone(), thread.is_alive()) == (None, False)


def test_calls_that_race_with_the_end_either_work_or_say_so() -> None:
    for _ in range(30):
        app = compiled()
        app.invoke({}, CONFIG)
        wrong: list[BaseException] = []

        def calls(app: CompiledGraph = app, wrong: list[BaseException] = wrong) -> None:
            try:
                for number in range(50):
                    app.invoke({}, {"thread_id": f"{threading.get_ident()}-{number}"})
            except AppClosedError:
                pass
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=calls, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        app.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert wrong == []
