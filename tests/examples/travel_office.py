"""One way to talk to the travel agent, over three of reaching it: in process, over HTTP, and past a killed server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from examples.travel.graph import build
from taf.interruption import AgentManager
from taf.server.wire import dumps, messages_of

ROOT = Path(__file__).resolve().parents[2]
Message = dict[str, Any]


class Office:
    """Says things for one user, and keeps all that is told of it."""

    def __init__(self, user_id: str) -> None:
        self.user_id, self.told, self._seen = user_id, list[Message](), 0
        self._news = asyncio.Event()

    def hear(self, message: Message) -> None:
        """Take a message in."""
        self.told.append(message)
        self._news.set()

    @property
    def cursor(self) -> int:
        """The sequence that a follower comes back with."""
        return max((m["sequence"] for m in self.told if m["type"] == "status_update"), default=0)

    async def until(self, is_it: Callable[[Message], bool]) -> Message:
        """Wait for a message that was not waited for before."""
        async with asyncio.timeout(20):
            while True:
                while self._seen < len(self.told):
                    self._seen += 1
                    if is_it(self.told[self._seen - 1]):
                        return self.told[self._seen - 1]
                self._news.clear()
                await self._news.wait()

    async def until_found(self, task_id: str, **counts: int) -> Message:
        """Wait until a task shows at least so many of each kind."""

        def is_it(m: Message) -> bool:
            found = {kind: offers for shown in m.get("partial_results", {}).values() for kind, offers in shown.items()}
            return m["task_id"] == task_id and all(len(found.get(kind, ())) >= n for kind, n in counts.items())

        return await self.until(is_it)

    async def until_answered(self, task_id: str) -> str:
        """Wait for the answer of a task, and then for its completion."""
        answer = await self.until(lambda m: (m["type"], m["task_id"]) == ("response", task_id))
        await self.until(lambda m: (m["status"], m["task_id"]) == ("completed", task_id))
        return str(answer["response"])

    def ends(self, task_id: str) -> list[str]:
        """Return every end of a task that was told."""
        return [
            m["status"]
            for m in self.told
            if m["type"] == "status_update" and m["task_id"] == task_id and m["status"] not in ("running", "queued")
        ]

    async def say(self, text: str) -> str:
        """Say something; return the task's id."""
        raise NotImplementedError

    async def interrupt(self) -> str:
        """Stop what runs; return what became of it."""
        raise NotImplementedError

    async def status(self, user_id: str | None = None) -> Message:
        """Return how the last task of the user stands."""
        raise NotImplementedError

    async def middle(self) -> None:
        """Do what this way of reaching the agent has to do in the middle of a story."""


class InProcess(Office):
    """The manager itself."""

    def __init__(self, user_id: str, manager: AgentManager) -> None:
        super().__init__(user_id)
        self._manager = manager
        self.following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async with aclosing(self._manager.watch(self.user_id, 0)) as updates:
            async for update in updates:
                for message in messages_of(update):
                    self.hear(json.loads(dumps(message)))

    async def say(self, text: str) -> str:
        return await self._manager.handle_user_message(self.user_id, text)

    async def interrupt(self) -> str:
        return "interrupted" if await self._manager.interrupt(self.user_id) else "idle"

    async def status(self, user_id: str | None = None) -> Message:
        return dict(json.loads(dumps(await self._manager.get_status(user_id or self.user_id))))


class OverHttp(Office):
    """A server and its socket."""

    def __init__(self, user_id: str, address: str, http: httpx.AsyncClient) -> None:
        super().__init__(user_id)
        self._url, self._http = f"http://{address}", http
        self._ws = f"ws://{address}/ws/{user_id}"
        self.following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        """Follow, and come back with the cursor whenever the server is gone."""
        while True:
            try:
                async with connect(f"{self._ws}?after={self.cursor}") as ws:
                    while True:
                        self.hear(json.loads(await ws.recv()))
            except (ConnectionClosed, OSError, EOFError):
                await asyncio.sleep(0.05)

    async def _call(self, path: str, **body: str) -> Message:
        answer = await self._http.request("POST" if body else "GET", self._url + path, json=body or None)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def say(self, text: str) -> str:
        return str((await self._call("/chat", user_id=self.user_id, message=text))["task_id"])

    async def interrupt(self) -> str:
        return str((await self._call("/interrupt", user_id=self.user_id))["status"])

    async def status(self, user_id: str | None = None) -> Message:
        return await self._call(f"/status/{user_id or self.user_id}")


class Server:
    """The example's own server, in a process that can be killed."""

    def __init__(self, db: Path, pace: float) -> None:
        self._arguments = ["--db", str(db), "--pace", str(pace)]
        self._port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Begin, at the port of the last time."""
        command = [sys.executable, "-m", "examples.travel.server", *self._arguments, "--port", str(self._port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline().rpartition(":")[2])

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=10)
            self._process = None


class PastAKill(OverHttp):
    """The same, over a server that is killed in the middle of the story, and a new one on the same file."""

    def __init__(self, user_id: str, server: Server, http: httpx.AsyncClient) -> None:
        self._server = server
        super().__init__(user_id, server.address, http)

    async def middle(self) -> None:
        await asyncio.to_thread(self._server.kill)
        await asyncio.to_thread(self._server.start)
        self._seen = len(self.told)


async def open_in_process(stack: AsyncExitStack, user_id: str, pace: float) -> Office:
    """Return an office whose agent lives here."""
    app = await stack.enter_async_context(build(pace=pace))
    return InProcess(user_id, await stack.enter_async_context(AgentManager(app)))
