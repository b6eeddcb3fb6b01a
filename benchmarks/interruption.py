"""How soon a new message is felt: by the node that it interrupts, by a socket, and by who asks for the context.

Needs the extra ``server``. Prints milliseconds (p50, p99) beside what the first version of this claimed for itself.
``python benchmarks/interruption.py [ROUNDS]``
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvicorn
from websockets.asyncio.client import connect

from taf import AgentState, BaseCheckpointer, CompiledGraph, InMemoryCheckpointer, SqliteCheckpointer, StateGraph, emit
from taf.interruption import AgentManager
from taf.server import create_app

ROUNDS = 300
CLOCK = time.monotonic  # one clock for all processes of a machine


class Node:
    """Waits, shows what it is told to, and says when it was entered and when it saw that it is to leave."""

    def __init__(self) -> None:
        self.entered: asyncio.Queue[None] = asyncio.Queue()
        self.left: asyncio.Queue[float] = asyncio.Queue()
        self.shows: asyncio.Queue[float] = asyncio.Queue()

    async def work(self, state: AgentState) -> None:
        """Work until cancelled."""
        self.entered.put_nowait(None)
        try:
            while True:
                await self.shows.get()
                emit(CLOCK(), key="at")
        except asyncio.CancelledError:
            self.left.put_nowait(CLOCK())
            raise

    def compile(self, store: BaseCheckpointer | None) -> CompiledGraph:
        """Return the app."""
        return StateGraph().add_node(self.work).compile(store)


async def in_process(store: BaseCheckpointer, rounds: int) -> list[float]:
    """Return seconds from a submit to the cancellation in the node, in one process."""
    node, taken = Node(), list[float]()
    async with node.compile(store) as app, AgentManager(app) as manager:
        await manager.handle_user_message("u", "first")
        await node.entered.get()
        for number in range(rounds):
            begun = CLOCK()
            await manager.handle_user_message("u", str(number))
            taken.append(await node.left.get() - begun)
            await node.entered.get()
    return taken


def other_process(path: str, rounds: int, wire: Connection) -> None:
    """Run the node that is interrupted, and tell when it saw that."""

    async def run() -> None:
        node = Node()
        async with SqliteCheckpointer(path) as store, node.compile(store) as app:
            for number in range(rounds):
                await app.asubmit({}, {"thread_id": str(number)})
                await node.entered.get()
                wire.send("ready")
                wire.send(await node.left.get())
            await asyncio.to_thread(wire.recv)

    asyncio.run(run())


async def across_processes(path: str, rounds: int) -> list[float]:
    """Return seconds from a submit here to the cancellation in a node of another process, on one SQLite file."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=other_process, args=(path, rounds, there))
    process.start()
    node, taken = Node(), list[float]()
    async with SqliteCheckpointer(path) as store, node.compile(store) as app, AgentManager(app) as manager:
        for number in range(rounds):
            await asyncio.to_thread(here.recv)
            begun = CLOCK()
            await manager.submit(str(number), "stop that")
            taken.append(await asyncio.to_thread(here.recv) - begun)
            await node.entered.get()
            await manager.interrupt(str(number))
    here.send("done")
    await asyncio.to_thread(process.join, 20)
    return taken


async def context_read(store: BaseCheckpointer, rounds: int) -> list[float]:
    """Return seconds for what the last interrupted task leaves, with five such tasks on record."""
    node, taken = Node(), list[float]()
    async with node.compile(store) as app, AgentManager(app) as manager:
        for number in range(6):
            await manager.handle_user_message("u", str(number))
            await node.entered.get()
        for _ in range(rounds):
            begun = CLOCK()
            previous = await manager.interruptions.get_previous_context("u", "next")
            taken.append(CLOCK() - begun)
            assert previous is not None
    return taken


@asynccontextmanager
async def served(manager: AgentManager) -> AsyncGenerator[str]:
    """Serve a manager on the loopback, on this loop."""
    config = uvicorn.Config(create_app(manager), ws="websockets-sansio", log_level="error")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await task


async def to_a_socket(store: BaseCheckpointer, rounds: int) -> list[float]:
    """Return seconds from ``emit`` in a node to the status update at a WebSocket client."""
    node, taken = Node(), list[float]()
    async with (
        node.compile(store) as app,
        served(manager := AgentManager(app)) as address,
        connect(f"ws://{address}/ws/u") as ws,
    ):
        await manager.handle_user_message("u", "first")
        await node.entered.get()
        for _ in range(rounds):
            node.shows.put_nowait(0.0)
            while not (shown := json.loads(await ws.recv())["partial_results"]):
                pass
            taken.append(CLOCK() - shown["work"]["at"])
    return taken


def line(what: str, taken: Sequence[float], target: str, claimed: str) -> str:
    """Return a row of the table."""
    row = sorted(taken)
    p50, p99 = row[len(row) // 2] * 1000, row[min(len(row) - 1, len(row) * 99 // 100)] * 1000
    return f"{what:52} {p50:8.2f} {p99:8.2f}   {target:>8}   {claimed:>8}"


async def main(rounds: int) -> None:
    """Measure all of it."""
    print(f"{'milliseconds, of ' + str(rounds) + ' rounds':52} {'p50':>8} {'p99':>8}   {'target':>8}   {'claimed':>8}")
    with tempfile.TemporaryDirectory() as folder:
        files = iter(range(100))

        def sqlite() -> Any:
            return SqliteCheckpointer(str(Path(folder) / f"{next(files)}.db"))

        async with InMemoryCheckpointer() as store:
            print(line("submit → the node sees it, in memory", await in_process(store, rounds), "< 5", "~1"))
        async with sqlite() as store:
            print(line("submit → the node sees it, SQLite", await in_process(store, rounds), "< 5", "~1"))
        taken = await across_processes(str(Path(folder) / "shared.db"), min(rounds, 200))
        print(line("submit → the node sees it, another process, SQLite", taken, "< 50", "10-50"))
        async with sqlite() as store:
            print(line("emit → a WebSocket client has it, SQLite", await to_a_socket(store, rounds), "< 20", "5-20"))
        async with InMemoryCheckpointer() as store:
            print(
                line("context of the interrupted task, in memory", await context_read(store, rounds), "one read", "~1")
            )
        async with sqlite() as store:
            print(line("context of the interrupted task, SQLite", await context_read(store, rounds), "one read", "~1"))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
