"""One socket of one user: updates go out as they come, pings are answered, and who does not keep up is let go.

Nothing is buffered for a socket: what it is sent is read from the record when it has room for it. It leaves with a
cursor, and comes back with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import aclosing
from typing import Any, cast

from starlette.websockets import WebSocket, WebSocketDisconnect

from taf.errors import TafError
from taf.interruption import AgentManager
from taf.server.limits import Limits, Rate, Sockets
from taf.server.wire import dumps, messages_of, pong

GOING_AWAY, POLICY, TOO_BIG, FAULT, TRY_AGAIN = 1001, 1008, 1009, 1011, 1013


class Leave(Exception):
    """Close the socket."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(reason)


class StatusSocket:
    """Follows one user's tasks for one socket."""

    def __init__(self, websocket: WebSocket, manager: AgentManager, user_id: str, limits: Limits) -> None:
        self._websocket, self._manager, self._user_id, self._limits = websocket, manager, user_id, limits
        self._frames = Rate(limits.read_rate, limits.read_burst)
        self._sending = asyncio.Lock()
        self._cursor = 0

    async def serve(self, sockets: Sockets, user: object) -> None:
        """Serve the socket until either side leaves."""
        await self._websocket.accept()
        if not sockets.take(user):
            await self._websocket.close(TRY_AGAIN, "Too many sockets.")
            return
        try:
            await self._run(self._after())
        except Leave as leave:
            await self._close(leave)
        finally:
            sockets.give_back(user)

    def _after(self) -> int | None:
        given = self._websocket.query_params.get("after")
        if given is None:
            return None
        if not given.isascii() or not given.isdigit() or len(given) > 18:
            raise Leave(POLICY, "after has to be a sequence number.")
        self._cursor = int(given)
        return self._cursor

    async def _run(self, after: int | None) -> None:
        both = [asyncio.create_task(self._tell(after)), asyncio.create_task(self._listen())]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
        for task in done:
            task.result()

    async def _tell(self, after: int | None) -> None:
        try:
            async with aclosing(self._manager.watch(self._user_id, after)) as updates:
                async for update in updates:
                    for message in messages_of(update):
                        await self._send(message)
                    self._cursor = max(self._cursor, update.context.sequence)
        except TafError:
            raise Leave(FAULT, f"The record cannot be read just now. Come back with ?after={self._cursor}.") from None
        raise Leave(GOING_AWAY, f"The service ends. Come back with ?after={self._cursor}.")

    async def _listen(self) -> None:
        while True:
            try:
                text = await self._websocket.receive_text()
            except KeyError:
                raise Leave(POLICY, "Text frames only.") from None
            except WebSocketDisconnect:
                return
            if len(text) > self._limits.frame:
                raise Leave(TOO_BIG, f"A frame may have {self._limits.frame} characters.")
            if self._frames.wait(None):
                raise Leave(POLICY, "Too many frames.")
            await self._answer(text)

    async def _answer(self, text: str) -> None:
        if text == "ping":
            await self._send("pong")
        elif _kind(text) == "ping":
            await self._send(pong())

    async def _send(self, message: Any) -> None:
        text = message if isinstance(message, str) else dumps(message)
        try:
            async with asyncio.timeout(self._limits.send_seconds), self._sending:
                await self._websocket.send_text(text)
        except TimeoutError:
            raise Leave(TRY_AGAIN, f"Too slow. Come back with ?after={self._cursor}.") from None
        except (WebSocketDisconnect, RuntimeError):  # it left meanwhile
            raise Leave(GOING_AWAY, "") from None

    async def _close(self, leave: Leave) -> None:
        """Say why, if the other side still takes anything."""
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(min(1.0, self._limits.send_seconds)):
                await self._websocket.close(leave.code, leave.reason)


def _kind(text: str) -> object:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", found).get("type") if isinstance(found, dict) else None
