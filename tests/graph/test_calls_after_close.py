"""A closed app says so, in every call style, and leaves a store that was passed in alone."""

from __future__ import annotations

import pytest

from taf import AppClosedError, CompiledGraph, StateGraph
from taf.checkpointer import BaseCheckpointer
from tests.styles import run

CONFIG = {"thread_id": "t"}


def made(store: BaseCheckpointer) -> CompiledGraph:
    return StateGraph().add_node("a", lambda state: None).compile(checkpointer=store)


async def test_a_run_on_a_closed_app_is_refused(store: BaseCheckpointer, style: str) -> None:
    app = made(store)
    await run(app, style, {}, CONFIG)
    await app.aclose()

    with pytest.raises(AppClosedError):
        await run(app, style, {}, CONFIG)


@pytest.mark.parametrize("sync_style", ["invoke", "stream"])
async def test_a_run_on_an_app_that_was_closed_from_sync_code_is_refused(
    store: BaseCheckpointer, sync_style: str
) -> None:
    app = made(store)
    await run(app, sync_style, {}, CONFIG)
    with pytest.warns(RuntimeWarning, match="aclose"):
        app.close()

    with pytest.raises(AppClosedError):
        await run(app, sync_style, {}, CONFIG)


def test_a_sync_look_at_a_closed_app_is_refused_and_closing_twice_is_no_fault(store: BaseCheckpointer) -> None:
    with made(store) as app:
        app.invoke({}, CONFIG)
    app.close()

    with pytest.raises(AppClosedError):
        app.get_state(CONFIG)
    app.close()
    with made(store) as other:
        assert other.get_state(CONFIG).status == "completed"
