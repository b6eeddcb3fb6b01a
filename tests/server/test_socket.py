"""Sockets: updates and answers, several a user, coming back, and leaving."""

from __future__ import annotations

import asyncio
import json
import re
import socket as sockets
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from taf import AgentState, BaseCheckpointer, StateGraph, emit
from taf.interruption import AgentManager
from taf.server import Limits, create_app
from tests.interruption.clerk import Clerk
from tests.server.serving import Client, client_of, has_status, messages


async def answered(client: Client, clerk: Clerk, text: str) -> str:
    """Have a message answered, and return its task's id."""
    clerk.let_go.set()
    task_id = await client.chat(text)
    async with asyncio.timeout(10):
        while (found := (await client.get("/status/u"))[1]).get("task_id") != task_id or found["status"] != "completed":
            await asyncio.sleep(0.01)
    return task_id


async def test_a_socket_gets_every_change_and_the_answer() -> None:
    clerk = Clerk()
    async with clerk.compile() as app, client_of(create_app(AgentManager(app))) as client, client.socket() as ws:
        first = await client.chat("one")
        await messages(ws, lambda m: m.get("partial_results") == {"write": {"draft": "ONE"}})
        second = await client.chat("two")
        told = await messages(ws, lambda m: m.get("partial_results") == {"write": {"draft": "TWO"}})
        (stopped,) = [m for m in told if m["status"] == "interrupted"]
        assert (stopped["task_id"], stopped["partial_results"]) == (first, {"write": {"draft": "ONE"}})
        shown = told[-1]
        assert (shown["task_id"], shown["status"], shown["current_agent"]) == (second, "running", "write")
        assert (shown["committed"], set(shown) >= {"timestamp", "sequence"}) == (False, True)
        clerk.let_go.set()
        told = await messages(ws, has_status("completed"))
        response = told[-2]
        assert (response["type"], response["task_id"], response["status"]) == ("response", second, "completed")
        assert (response["response"], response["sequence"]) == ("done: two", told[-1]["sequence"])


async def test_all_sockets_of_a_user_get_the_same_and_no_other_user_does() -> None:
    clerk = Clerk()
    clerk.let_go.set()
    async with clerk.compile() as app, client_of(create_app(AgentManager(app))) as client, AsyncExitStack() as stack:
        tabs = [await stack.enter_async_context(client.socket()) for _ in range(5)]
        other = await stack.enter_async_context(client.socket("other"))
        await client.chat("one")
        told = [await messages(tab, has_status("completed")) for tab in tabs]
        committed = [[m for m in one if m.get("committed", True)] for one in told]
        assert all(one == committed[0] for one in committed)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.recv(), 0.05)


async def test_a_socket_that_comes_back_gets_what_it_missed(store: BaseCheckpointer) -> None:
    clerk = Clerk()
    async with clerk.compile(store) as app, client_of(create_app(AgentManager(app))) as client:
        async with client.socket() as ws:
            await client.chat("one")
            seen = (await messages(ws, lambda m: m["type"] == "status_update" and m["status"] == "running"))[-1]
        second = await answered(client, clerk, "two")
        async with client.socket(query=f"?after={seen['sequence']}") as ws:
            missed = await messages(ws, has_status("completed", second))
        sequences = [m["sequence"] for m in missed if m["type"] == "status_update"]
        assert sequences == sorted(set(sequences))
        assert sequences[0] == seen["sequence"] + 1
        assert [m["response"] for m in missed if m["type"] == "response"][-1] == "done: two"


async def test_after_zero_brings_the_whole_record_and_a_far_number_nothing() -> None:
    clerk = Clerk()
    async with clerk.compile() as app, client_of(create_app(AgentManager(app))) as client:
        await answered(client, clerk, "one")
        async with client.socket(query="?after=0") as ws:
            assert [m["sequence"] for m in await messages(ws, has_status("completed"))] == [1, 2, 3, 3]
        async with client.socket(query="?after=999") as ws:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.05)
        async with client.socket() as ws:
            assert json.loads(await ws.recv())["status"] == "completed"


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "", "9" * 30])
async def test_an_after_that_is_no_number_is_refused(after: str) -> None:
    async with client_of(create_app(AgentManager())) as client, client.socket(query=f"?after={after}") as ws:
        with pytest.raises(ConnectionClosed) as left:
            await ws.recv()
        assert left.value.rcvd is not None
        assert (left.value.rcvd.code, left.value.rcvd.reason) == (1008, "after has to be a sequence number.")


async def test_a_ping_is_answered() -> None:
    async with client_of(create_app(AgentManager())) as client, client.socket() as ws:
        await ws.send("ping")
        assert await ws.recv() == "pong"
        await ws.send(json.dumps({"type": "ping"}))
        assert json.loads(await ws.recv())["type"] == "pong"
        await ws.send("anything else")
        await ws.send("[]")
        await ws.send("ping")
        assert await ws.recv() == "pong"


async def test_frames_that_are_too_big_too_many_or_no_text_end_the_socket() -> None:
    async with client_of(create_app(AgentManager(), limits=Limits(read_burst=5, read_rate=0.1))) as client:

        async def left(*frames: str | bytes) -> tuple[int, str]:
            async with client.socket() as ws:
                with pytest.raises(ConnectionClosed) as closed:
                    await exchange(ws, frames)
            assert closed.value.rcvd is not None
            return closed.value.rcvd.code, closed.value.rcvd.reason

        assert await left("x" * 4097) == (1009, "A frame may have 4096 characters.")
        assert await left(b"ping") == (1008, "Text frames only.")
        assert await left(*["ping"] * 6) == (1008, "Too many frames.")


async def exchange(ws: ClientConnection, frames: tuple[str | bytes, ...]) -> None:
    """Send, and read until the other side leaves."""
    for frame in frames:
        await ws.send(frame)
    while True:
        await ws.recv()


async def test_a_user_has_so_many_sockets_and_a_closed_one_makes_room() -> None:
    limits = Limits(sockets_each=2, sockets=3)
    async with client_of(create_app(AgentManager(), limits=limits)) as client, AsyncExitStack() as stack:

        async def opened(user_id: str) -> Any:
            ws = await stack.enter_async_context(client.socket(user_id))
            await ws.send("ping")
            return ws, await ws.recv()

        first, _ = await opened("u")
        await opened("u")
        with pytest.raises(ConnectionClosed, match="Too many sockets"):
            await opened("u")
        await opened("other")
        with pytest.raises(ConnectionClosed, match="Too many sockets"):
            await opened("third")
        await first.close()
        async with asyncio.timeout(10):
            while True:
                try:
                    assert (await opened("u"))[1] == "pong"
                    return
                except ConnectionClosed:
                    await asyncio.sleep(0.01)


async def test_a_socket_that_does_not_read_is_dropped_and_holds_up_nobody() -> None:
    go_on = asyncio.Event()

    async def flood(state: AgentState) -> None:
        for number in range(60):
            emit("x" * 300_000 + str(number), key="page")
            await asyncio.sleep(0.005)
        await go_on.wait()

    limits = Limits(send_seconds=0.2)
    async with (
        StateGraph().add_node(flood).compile() as app,
        client_of(create_app(AgentManager(app), limits=limits)) as client,
        client.socket(max_size=None) as quick,
    ):
        host, _, port = client.address.partition(":")
        with sockets.create_connection((host, int(port))) as slow:
            slow.sendall(
                b"GET /ws/u HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            await asyncio.sleep(0.05)
            await client.chat("one")
            told = await messages(quick, lambda m: m["partial_results"].get("flood", {}).get("page", "")[-2:] == "59")
            assert told[-1]["status"] == "running"
            slow.settimeout(10)
            read = await asyncio.to_thread(everything, slow)
            assert len(read) < 60 * 300_000
            cursor = int(re.findall(rb'"sequence":(\d+)', read)[-1])
        go_on.set()
        await messages(quick, has_status("completed"))
        async with client.socket(query=f"?after={cursor}", max_size=None) as back:
            told = await messages(back, has_status("completed"))
            assert [m["sequence"] for m in told if m["type"] == "status_update"] == [cursor + 1, cursor + 2]


def everything(slow: sockets.socket) -> bytes:
    """Return what comes until the other side leaves."""
    read = bytearray()
    try:
        while piece := slow.recv(1 << 20):
            read += piece
    except ConnectionResetError:
        pass
    return bytes(read)


async def test_the_end_of_the_server_ends_its_sockets() -> None:
    async with client_of(create_app(AgentManager())) as client:
        ws = await client.socket()
        await ws.send("ping")
        await ws.recv()
    with pytest.raises(ConnectionClosed):
        await ws.recv()
