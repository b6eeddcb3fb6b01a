"""The endpoints, over a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taf import BaseCheckpointer, SqliteCheckpointer
from taf.interruption import AgentManager
from taf.server import Limits, create_app
from tests.interruption.clerk import Clerk
from tests.server.serving import Client, client_of
from tests.stopping.slow import until


async def until_status(client: Client, status: str, user_id: str = "u") -> dict[str, Any]:
    """Poll until the user's task stands so."""
    async with asyncio.timeout(10):
        while True:
            code, found = await client.get(f"/status/{user_id}")
            assert code == 200
            if found["status"] == status:
                return found
            await asyncio.sleep(0.01)


async def test_a_message_is_answered_behind_its_receipt(store: BaseCheckpointer) -> None:
    clerk = Clerk()
    async with clerk.compile(store) as app, client_of(create_app(AgentManager(app))) as client:
        assert await client.get("/status/u") == (200, {"status": "idle", "user_id": "u", "queue": []})
        task_id = await client.chat("one")
        await clerk.until_at("one")
        running = await until_status(client, "running")
        assert (running["task_id"], running["query"], running["current_agent"]) == (task_id, "one", "write")
        code, partial = await client.get("/partial-results/u")
        assert (code, partial["task_id"], partial["partial_results"]) == (200, task_id, {"write": {"draft": "ONE"}})
        clerk.let_go.set()
        done = await until_status(client, "completed")
        assert (done["final_results"], done["agents_completed"]) == ({"response": "done: one"}, ["write"])


async def test_a_second_message_interrupts_the_first() -> None:
    clerk = Clerk()
    async with clerk.compile() as app, client_of(create_app(AgentManager(app))) as client:
        first = await client.chat("one")
        await clerk.until_at("one")
        status, receipt = await client.post("/chat", {"user_id": "u", "message": "two"})
        assert (status, receipt["outcome"], receipt["supersedes"]) == (200, "superseding", first)
        await clerk.until_at("two")
        assert (await until_status(client, "running"))["query"] == "two"


async def test_an_interruption_stops_what_runs() -> None:
    clerk = Clerk()
    async with clerk.compile() as app, client_of(create_app(AgentManager(app))) as client:
        assert await client.post("/interrupt", {"user_id": "u"}) == (200, {"status": "idle", "user_id": "u"})
        await client.chat("one")
        await clerk.until_at("one")
        assert await client.post("/interrupt", {"user_id": "u"}) == (200, {"status": "interrupted", "user_id": "u"})
        found = await until_status(client, "interrupted")
        assert found["partial_results"] == {"write": {"draft": "ONE"}}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"user_id": "u", "message": ""}, 400, "message"),
        ({"user_id": "u", "message": " \n"}, 400, "message"),
        ({"user_id": "u"}, 400, "message"),
        ({"user_id": "u", "message": 3}, 400, "message"),
        ({"message": "one"}, 400, "user_id"),
        ({"user_id": "", "message": "one"}, 400, "user_id"),
        ({"user_id": 3, "message": "one"}, 400, "user_id"),
        ({"user_id": "x" * 201, "message": "one"}, 400, "user_id"),
        ({"user_id": "u", "message": "one", "strategy": "violence"}, 400, "strategy"),
        ({"user_id": "u", "message": "x" * 16_001}, 413, "message"),
        ([], 400, "object"),
        (b"{", 400, "JSON"),
        (b"[" * 60_000, 400, "JSON"),
        (b'"\xff"', 400, "JSON"),
        (b" " * 65_537, 413, "bytes"),
    ],
)
async def test_what_makes_no_sense_is_refused(body: Any, status: int, said: str) -> None:
    async with client_of(create_app(AgentManager())) as client:
        code, answer = await client.post("/chat", body)
        assert code == status, answer
        assert said in answer["detail"]
        assert (await client.get("/status/u"))[1]["status"] == "idle"


async def test_a_message_may_say_what_it_does_to_the_one_before() -> None:
    clerk = Clerk()
    async with clerk.compile() as app, client_of(create_app(AgentManager(app))) as client:
        await client.chat("one")
        await clerk.until_at("one")
        body = {"user_id": "u", "message": "two", "strategy": "reject"}
        code, answer = await client.post("/chat", body)
        assert (code, "running" in answer["detail"]) == (409, True)
        code, answer = await client.post("/chat", {**body, "strategy": "enqueue"})
        assert (code, answer["outcome"], answer["position"]) == (200, "queued", 0)
        found = (await client.get("/status/u"))[1]
        assert (found["query"], found["queue"]) == ("one", [{"task_id": answer["task_id"], "position": 0}])
        clerk.let_go.set()
        done = await until_status(client, "completed")
        async with asyncio.timeout(10):
            while done["query"] != "two" or done["status"] != "completed":
                done = (await client.get("/status/u"))[1]
        assert clerk.done == ["one", "two"]


async def test_who_writes_too_much_is_told_when_to_come_back() -> None:
    limits = Limits(burst=3, rate=0.5)
    async with client_of(create_app(AgentManager(), limits=limits)) as client:
        for _ in range(3):
            await client.chat("one")
        code, answer = await client.post("/chat", {"user_id": "u", "message": "one"})
        assert (code, answer["detail"]) == (429, "Too many calls.")
        await client.chat("one", "other")


async def test_health_is_that_of_the_store(tmp_path: Any) -> None:
    store = SqliteCheckpointer(str(tmp_path / "t.db"))
    async with Clerk().compile(store) as app, client_of(create_app(AgentManager(app))) as client:
        assert await client.get("/health") == (200, {"status": "healthy"})
        await store.aclose()
        code, answer = await client.get("/health")
        assert (code, answer) == (503, {"detail": "The service is not available just now."})
        code, answer = await client.post("/chat", {"user_id": "u", "message": "one"})
        assert code == 503


async def test_any_value_of_a_node_is_told_as_json() -> None:
    from taf import AgentState, StateGraph, emit

    entered = asyncio.Event()

    async def odd(state: AgentState) -> None:
        for key, value in {
            "nan": float("nan"),
            "set": {1},
            "bytes": b"\xff",
            "half": "\ud800",
            "tuple": (1, 2),
        }.items():
            emit(value, key=key)
        entered.set()
        await asyncio.Event().wait()

    async with StateGraph().add_node(odd).compile() as app, client_of(create_app(AgentManager(app))) as client:
        await client.chat("one")
        await entered.wait()
        await until(lambda: app.checkpointer is not None)
        found = (await client.get("/partial-results/u"))[1]["partial_results"]["odd"]
        assert found == {"nan": None, "set": [1], "bytes": "_w==", "half": "\ud800", "tuple": [1, 2]}
