"""DBOS Transact: a journal of step outputs. Every step is durable, there is no in-memory mode."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

if sqlite3.sqlite_version_info < (3, 42):
    # its SQLite schema needs unixepoch('subsec'), which older libraries answer with NULL
    with contextlib.suppress(ImportError):
        import pysqlite3

        sys.modules["sqlite3"] = pysqlite3
        sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2

from dbos import DBOS, SetWorkflowID

from ..protocol import LABEL, Run, System

logging.getLogger("dbos").setLevel(logging.ERROR)


class Dbos(System):
    name = "dbos"
    distribution = "dbos"
    import_line = "from dbos import DBOS"
    stores = ("sqlite", "postgres")
    tuning: Mapping[str, Any] = MappingProxyType({})

    async def open(self) -> None:
        url = (
            f"sqlite:///{self.store.sqlite_path}"
            if self.store.kind == "sqlite"
            else (self.store.pg_url.replace("postgresql://", "postgresql+psycopg://"))
        )
        DBOS(
            config={
                "name": "bench",
                "system_database_url": url,
                "log_level": "ERROR",
                "console_log_level": "ERROR",
                **self.tuning,
            }
        )
        self.launched = False

    def launch(self) -> None:
        """Everything has to be registered first."""
        DBOS.launch()
        self.launched = True

    async def close(self) -> None:
        if self.launched:
            DBOS.destroy()

    def runner(self, n: int, body: Any) -> Run:
        node = DBOS.step(name="node")(body)

        @DBOS.workflow(name="walk")
        async def walk() -> int:
            state = {"counter": 0, "label": LABEL}
            for _ in range(n):
                state = await node(state)
            return state["counter"]

        self.launch()

        async def run(thread: str) -> int:
            with SetWorkflowID(thread):
                return await walk()

        return run

    async def steps(self, shape: str, n: int) -> Run:
        """The workflow body is plain Python, so a chain and a loop are the same thing."""

        async def bump(state: dict[str, Any]) -> dict[str, Any]:
            return {**state, "counter": state["counter"] + 1}

        return self.runner(n, bump)

    async def yielding(self, n: int) -> Run:
        async def bump(state: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {**state, "counter": state["counter"] + 1}

        return self.runner(n, bump)

    async def pause_resume(self) -> Any:
        """The waiting workflow stays a live coroutine; a message wakes it."""
        waiting: dict[str, asyncio.Event] = {}
        handles: dict[str, Any] = {}

        @DBOS.step(name="node")
        async def node(state: dict[str, Any]) -> dict[str, Any]:
            return {**state, "counter": state["counter"] + 1}

        @DBOS.workflow(name="pausing")
        async def pausing(thread: str) -> int:
            state = await node({"counter": 0, "label": LABEL})
            waiting[thread].set()
            await DBOS.recv_async("go", timeout_seconds=60)
            state = await node(state)
            state = await node(state)
            return state["counter"]

        self.launch()

        class Driver:
            async def pause(self, thread: str) -> None:
                waiting[thread] = asyncio.Event()
                with SetWorkflowID(thread):
                    handles[thread] = await DBOS.start_workflow_async(pausing, thread)
                await waiting[thread].wait()

            async def resume(self, thread: str) -> int:
                await DBOS.send_async(thread, "yes", "go")
                return await handles[thread].get_result()

        return Driver()

    async def chat(self) -> Any:
        """A journal only: each turn is a workflow, its two steps return one message each.

        There is no thread state to load, so a turn reads nothing back.
        """

        @DBOS.step(name="hear")
        async def hear(said: str) -> dict[str, str]:
            return {"role": "user", "content": said}

        @DBOS.step(name="reply")
        async def reply(answer: str) -> dict[str, str]:
            return {"role": "assistant", "content": answer}

        @DBOS.workflow(name="turn")
        async def one_turn(user: str, assistant: str) -> int:
            await hear(user)
            await reply(assistant)
            return 2

        self.launch()
        count: dict[str, int] = {}

        class Driver:
            async def turn(self, thread: str, user: str, assistant: str) -> None:
                i = count[thread] = count.get(thread, -1) + 1
                with SetWorkflowID(f"{thread}-{i}"):
                    await one_turn(user, assistant)

            async def length(self, thread: str) -> int:
                return -1

        return Driver()

    async def fan_out(self, n: int) -> Run:
        @DBOS.step(name="start")
        async def start() -> int:
            return n

        @DBOS.step(name="branch")
        async def branch(i: int) -> int:
            return i

        @DBOS.step(name="join")
        async def join(results: list[int]) -> int:
            return sum(results)

        @DBOS.workflow(name="fan")
        async def fan() -> int:
            width = await start()
            results = await asyncio.gather(*(branch(i) for i in range(width)))
            return await join(list(results))

        self.launch()

        async def run(thread: str) -> int:
            with SetWorkflowID(thread):
                return await fan()

        return run

    async def sleeper(self, seconds: float, started: Any) -> Any:
        @DBOS.step(name="first")
        async def first() -> int:
            return 1

        @DBOS.step(name="nap")
        async def nap() -> int:
            started()
            await asyncio.sleep(seconds)
            return 2

        @DBOS.workflow(name="sleepy")
        async def sleepy() -> int:
            return await first() + await nap()

        self.launch()

        class Driver:
            async def run(self, thread: str) -> None:
                with SetWorkflowID(thread):
                    await sleepy()

            async def stop(self, thread: str) -> None:
                await DBOS.cancel_workflow_async(thread)

            def stop_from_thread(self, thread: str) -> None:
                DBOS.cancel_workflow(thread)

            async def stored(self, thread: str) -> str:
                status = await DBOS.get_workflow_status_async(thread)
                steps = await DBOS.list_workflow_steps_async(thread)
                return f"status={status.status}, steps={[s['function_name'] for s in steps]}"

        return Driver()


class DbosTuned(Dbos):
    """SQLite has no LISTEN/NOTIFY, so waits poll once a second unless told otherwise."""

    name = "dbos-poll10ms"
    stores = ("sqlite",)
    tuning = MappingProxyType({"notification_listener_polling_interval_sec": 0.01})
    only = ("pause",)


SYSTEMS = [Dbos, DbosTuned]
