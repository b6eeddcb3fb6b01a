"""The routes inside another app: Starlette's, and FastAPI's with endpoints of its own."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from taf import ExecutionStatus, Message, SqliteCheckpointer
from taf.interruption import AgentManager
from taf.server import lifespan, router
from tests.interruption.clerk import Clerk
from tests.server.serving import client_of, has_status, messages
from tests.stopping.slow import until


def in_starlette(manager: AgentManager) -> Any:
    return Starlette(routes=[Mount("/agent", router(manager))], lifespan=lifespan(manager))


def in_fastapi(manager: AgentManager) -> Any:
    app = FastAPI(lifespan=lifespan(manager))
    app.mount("/agent", router(manager))

    @app.get("/own")
    def own() -> dict[str, bool]:
        return {"own": True}

    return app


@pytest.mark.parametrize("mounted", [in_starlette, in_fastapi])
async def test_it_works_where_it_is_mounted(mounted: Any) -> None:
    clerk = Clerk()
    async with clerk.compile() as app, client_of(mounted(AgentManager(app)), "/agent") as client:
        async with client.socket() as ws:
            task_id = await client.chat("one")
            await clerk.until_at("one")
            assert (await client.get("/partial-results/u"))[1]["partial_results"] == {"write": {"draft": "ONE"}}
            clerk.let_go.set()
            told = await messages(ws, has_status("completed"))
            assert told[-2]["response"] == "done: one"
        assert (await client.get("/status/u"))[1]["task_id"] == task_id
        assert await client.post("/chat", {"user_id": "u", "message": ""}) == (
            400,
            {"detail": "message has to be a text that is not empty."},
        )
        assert (await client.post("/interrupt", {"user_id": "u"}))[1]["status"] == "idle"
        assert await client.get("/health") == (200, {"status": "healthy"})


async def test_fastapi_keeps_its_own_endpoints() -> None:
    async with client_of(in_fastapi(AgentManager())) as client:
        assert await client.get("/own") == (200, {"own": True})


async def test_the_lifespan_goes_on_with_tasks_whose_process_died(tmp_path: Any) -> None:
    """The first app is abandoned as a process that was killed leaves its threads: owned by nobody, and running."""
    path = str(tmp_path / "t.db")
    first, second = Clerk(), Clerk()
    dying, store = SqliteCheckpointer(path), SqliteCheckpointer(path)
    app = first.compile(dying)
    receipt = await app.asubmit({"messages": [Message.text_message("one")]}, {"thread_id": "u"})
    await first.until_at("one")
    app._flights._having["u"].engine.give_up()
    second.let_go.set()
    async with second.compile(store) as other, client_of(in_starlette(AgentManager(other)), "/agent") as client:
        await until(lambda: second.done == ["one"])
        result = await other.ajoin({"thread_id": "u"}, receipt.run_id)
        assert result.status is ExecutionStatus.COMPLETED
        assert (await client.get("/status/u"))[1]["task_id"] == receipt.run_id
    await app.aclose()
    dying.close()
    store.close()
