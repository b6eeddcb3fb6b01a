"""The server goes down and comes back while runs go on: nothing is lost, nothing is done twice, work goes on."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from taf import CompiledGraph
from taf.checkpointer.postgres import PgCheckpointer
from taf.events import Event
from tests.pg.counting import IS_TORTURE, STEPS, check, counting
from tests.pg.server import PostgresServer

HANG = 60.0
"""Bounds what would otherwise hang; nothing is measured by it."""

RESTARTS = 30 if IS_TORTURE else 6
CUTS = 200 if IS_TORTURE else 20
THREADS = ("a", "b", "c")


class Worker:
    """Runs one thread, pass after pass, and never looks after its store."""

    def __init__(self, app: CompiledGraph, thread: str) -> None:
        self.app, self.thread = app, thread
        self.passes = 0
        self.told: list[Event] = []
        self.is_to_end = False

    async def run(self) -> None:
        """Make passes until told to end. What the store raises ends the test."""
        while not self.is_to_end:
            async for event in self.app.astream({}, {"thread_id": self.thread}):
                self.told.append(event)
            self.passes += 1

    async def go_on(self) -> None:
        """Return when another pass has begun and ended."""
        async with asyncio.timeout(HANG):
            seen = self.passes
            while self.passes < seen + 2:
                await asyncio.sleep(0.001)


@pytest.fixture
def database(own_postgres: PostgresServer) -> str:
    return own_postgres.dsn(own_postgres.admin.create_database())


async def work_through(dsn: str, disturb: Literal["restart", "cut"], times: int, server: PostgresServer) -> int:
    """Disturb the server so often while runs go on; check what they left and return how many passes they made."""
    async with PgCheckpointer(dsn) as store, counting(store) as app:
        workers = [Worker(app, thread) for thread in THREADS]
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker.run())
            for number in range(times):
                await asyncio.gather(*(worker.go_on() for worker in workers))
                if disturb == "restart":
                    await asyncio.to_thread(server.restart, "immediate" if number % 2 else "fast")
                else:
                    await asyncio.to_thread(server.terminate_backends, dsn.rsplit("/", 1)[1])
            await asyncio.gather(*(worker.go_on() for worker in workers))
            for worker in workers:
                worker.is_to_end = True
    for worker in workers:
        await check(dsn, worker.thread, worker.passes, worker.told)
    return sum(worker.passes for worker in workers)


async def test_runs_outlive_restarts_of_the_server(own_postgres: PostgresServer, database: str) -> None:
    passes = await work_through(database, "restart", RESTARTS, own_postgres)
    print(f"{RESTARTS} restarts, {passes} passes of {STEPS} steps, 0 lost, 0 doubled")
    assert passes >= RESTARTS * len(THREADS)


async def test_runs_outlive_the_end_of_every_connection(own_postgres: PostgresServer, database: str) -> None:
    passes = await work_through(database, "cut", CUTS, own_postgres)
    print(f"{CUTS} times all connections, {passes} passes of {STEPS} steps, 0 lost, 0 doubled")
    assert passes >= CUTS * len(THREADS)
