"""A real server on the loopback, and real clients of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from websockets.asyncio.client import ClientConnection, connect


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncGenerator[str]:
    """Serve an ASGI app on this loop; yield ``127.0.0.1:port``."""
    config = uvicorn.Config(app, ws="websockets-sansio", lifespan="on", log_level="error", **options)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with asyncio.timeout(10):
                while not server.started:
                    await asyncio.sleep(0.001)
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


class Client:
    """One user of a server."""

    def __init__(self, address: str, http: httpx.AsyncClient, prefix: str = "") -> None:
        self.address, self.prefix, self._http = address, prefix, http

    async def post(self, path: str, body: Any, **options: Any) -> tuple[int, dict[str, Any]]:
        """Post JSON, or bytes as they are."""
        given: Mapping[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        answer = await self._http.post(f"http://{self.address}{self.prefix}{path}", **given, **options)
        return answer.status_code, answer.json()

    async def get(self, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """Get JSON."""
        answer = await self._http.get(f"http://{self.address}{self.prefix}{path}", **options)
        return answer.status_code, answer.json()

    async def chat(self, message: str, user_id: str = "u", **more: Any) -> str:
        """Say something; return the task's id."""
        status, answer = await self.post("/chat", {"user_id": user_id, "message": message, **more})
        assert (status, answer["status"]) == (200, "processing"), answer
        return str(answer["task_id"])

    def socket(self, user_id: str = "u", query: str = "", **options: Any) -> connect:
        """Return a connection to open by ``async with``."""
        return connect(f"ws://{self.address}{self.prefix}/ws/{user_id}{query}", **options)


@asynccontextmanager
async def client_of(app: Any, prefix: str = "", **options: Any) -> AsyncGenerator[Client]:
    """Serve an app and yield a client."""
    async with serving(app, **options) as address, httpx.AsyncClient(timeout=10) as http:
        yield Client(address, http, prefix)


async def messages(ws: ClientConnection, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Return what a socket is sent, up to the message that is the last."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while not found or not is_last(found[-1]):
            found.append(json.loads(await ws.recv()))
    return found


def has_status(status: str, task_id: str | None = None) -> Callable[[dict[str, Any]], bool]:
    """Say of a message whether it is an update of that status."""

    def is_last(message: dict[str, Any]) -> bool:
        is_status = (message["type"], message.get("status")) == ("status_update", status)
        return is_status and task_id in (None, message["task_id"])

    return is_last
