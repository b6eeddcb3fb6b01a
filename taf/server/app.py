"""The routes, to be served as they are or mounted into another app, and what has to run behind them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias, cast, get_args

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from taf.errors import AppClosedError, CheckpointerError, TafError, ThreadBusyError
from taf.graph.multitask import MultitaskStrategy
from taf.interruption import AgentManager
from taf.server.access import Access, Authenticate, Principal
from taf.server.limits import Limits, Rate, Sockets
from taf.server.socket import StatusSocket
from taf.server.wire import Answer

Managers: TypeAlias = AgentManager | Callable[[str], AgentManager]
"""The manager, or a function that returns a tenant's."""


class Service:
    """The endpoints over a manager."""

    def __init__(self, managers: Managers, access: Access, limits: Limits) -> None:
        self._managers, self._access, self._limits = managers, access, limits
        self._messages = Rate(limits.rate, limits.burst)
        self._reads = Rate(limits.read_rate, limits.read_burst)
        self._sockets = Sockets(limits)

    def _manager(self, principal: Principal) -> AgentManager:
        return self._managers if isinstance(self._managers, AgentManager) else self._managers(principal.tenant)

    async def chat(self, request: Request) -> Response:
        """Take a message and begin, or queue, what it asks for."""
        body = await self._body(request)
        principal = await self._caller(request, body.get("user_id"), counts=True)
        message, strategy = body.get("message"), body.get("strategy")
        if not isinstance(message, str) or not message.strip():
            raise HTTPException(400, "message has to be a text that is not empty.")
        if len(message) > self._limits.message:
            raise HTTPException(413, f"message may have {self._limits.message} characters.")
        if strategy is not None and strategy not in get_args(MultitaskStrategy):
            raise HTTPException(400, f"strategy has to be one of {', '.join(get_args(MultitaskStrategy))}.")
        receipt = await self._manager(principal).submit(principal.user_id, message, strategy=strategy)
        return Answer(
            {
                "task_id": receipt.run_id,
                "status": "processing",
                "outcome": receipt.outcome,
                "supersedes": receipt.supersedes,
                "position": receipt.position,
            }
        )

    async def interrupt(self, request: Request) -> Response:
        """Stop what runs for the user."""
        body = await self._body(request)
        principal = await self._caller(request, body.get("user_id"), counts=True)
        was_running = await self._manager(principal).interrupt(principal.user_id)
        return Answer({"status": "interrupted" if was_running else "idle", "user_id": principal.user_id})

    async def status(self, request: Request) -> Response:
        """Tell how the user's last task stands, and what waits behind it."""
        principal = await self._caller(request, request.path_params["user_id"])
        manager = self._manager(principal)
        status = await manager.get_status(principal.user_id)
        waiting = [
            {"task_id": one.run_id, "position": one.position} for one in await manager.pending(principal.user_id)
        ]
        return Answer({**status, "user_id": principal.user_id, "queue": waiting})

    async def partial_results(self, request: Request) -> Response:
        """Tell what the user's last task has shown or returned so far."""
        principal = await self._caller(request, request.path_params["user_id"])
        status = await self._manager(principal).get_status(principal.user_id)
        return Answer(
            {
                "user_id": principal.user_id,
                "task_id": status.get("task_id"),
                "status": status["status"],
                "partial_results": status.get("partial_results", {}),
            }
        )

    async def health(self, request: Request) -> Response:
        """Say that the server is there; of the store too, if one manager serves all."""
        if isinstance(self._managers, AgentManager):
            await self._managers.app.athreads(limit=1)
        return Answer({"status": "healthy"})

    async def socket(self, websocket: WebSocket) -> None:
        """Tell a socket of the user's tasks until one of the two leaves."""
        named: str = websocket.path_params["user_id"]
        try:
            principal = await self._access.caller(websocket, named)
        except HTTPException as refused:
            await websocket.send_denial_response(_refusal(websocket, refused))
            return
        manager = self._manager(principal)
        await StatusSocket(websocket, manager, principal.user_id, self._limits).serve(self._sockets, principal)

    # -- the way in --------------------------------------------------------------------------------

    async def _caller(self, request: Request, named: Any, *, counts: bool = False) -> Principal:
        if named is not None and not isinstance(named, str):
            raise HTTPException(400, "user_id has to be a text.")
        if named is not None and len(named) > self._limits.user_id:
            raise HTTPException(400, f"user_id may have {self._limits.user_id} characters.")
        principal = await self._access.caller(request, named)
        seconds = (self._messages if counts else self._reads).wait(principal)
        if seconds:
            raise HTTPException(429, "Too many calls.", {"Retry-After": str(int(seconds) + 1)})
        return principal

    async def _body(self, request: Request) -> Mapping[str, Any]:
        raw = bytearray()
        async for piece in request.stream():
            raw += piece
            if len(raw) > self._limits.body:
                raise HTTPException(413, f"The body may have {self._limits.body} bytes.")
        try:
            found = json.loads(bytes(raw))
        except (ValueError, RecursionError):
            raise HTTPException(400, "The body has to be JSON.") from None
        if not isinstance(found, dict):
            raise HTTPException(400, "The body has to be a JSON object.")
        return cast("dict[str, Any]", found)


def _refusal(_: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Answer({"detail": error.detail}, error.status_code, error.headers)


def _fault(_: HTTPConnection, error: Exception) -> Response:
    """Answer for an error of taf's own tree: what the caller can know of it, and nothing of the store."""
    if isinstance(error, CheckpointerError | AppClosedError):
        return Answer({"detail": "The service is not available just now."}, 503, {"Retry-After": "1"})
    status = 409 if isinstance(error, ThreadBusyError) else 400
    return Answer({"detail": str(error)}, status)


def _told(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that answers for what it raises itself, wherever it is mounted."""

    async def call(request: Request) -> Response:
        try:
            return await endpoint(request)
        except HTTPException as error:
            return _refusal(request, error)
        except TafError as error:
            return _fault(request, error)

    return call


def router(
    managers: Managers,
    *,
    authenticate: Authenticate | None = None,
    origins: Collection[str] | None = None,
    limits: Limits | None = None,
) -> Router:
    """Return the routes, an ASGI app to mount into another one, Starlette's or FastAPI's.

    ``managers``: the manager, or a function that returns the one of a tenant. ``authenticate``: reads who calls;
    without it a caller is whoever it says. ``origins``: pages that may call from a browser (None: the server's own).
    What ``lifespan`` does has to be done by the app that it is mounted into.
    """
    service = Service(managers, Access(authenticate, origins), limits or Limits())
    return Router(
        [
            Route("/chat", _told(service.chat), methods=["POST"]),
            Route("/interrupt", _told(service.interrupt), methods=["POST"]),
            Route("/status/{user_id}", _told(service.status)),
            Route("/partial-results/{user_id}", _told(service.partial_results)),
            Route("/health", _told(service.health)),
            WebSocketRoute("/ws/{user_id}", service.socket),
        ]
    )


def lifespan(
    manager: AgentManager, *, recover_seconds: float | None = 1.0
) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Return a lifespan that goes on with the tasks of processes that died, and ends the manager and its graph.

    ``recover_seconds``: how often it looks for them; None: never.
    """

    @asynccontextmanager
    async def run(app: Any) -> AsyncGenerator[None, None]:
        try:
            if recover_seconds is None:
                yield
            else:
                async with manager.app.supervise(interval=recover_seconds):
                    yield
        finally:
            await manager.aclose()
            await manager.app.aclose()

    return run


def create_app(
    manager: AgentManager,
    *,
    authenticate: Authenticate | None = None,
    origins: Collection[str] | None = None,
    limits: Limits | None = None,
    recover_seconds: float | None = 1.0,
) -> Starlette:
    """Return an app that serves one manager, and ends it when it is shut down. See ``router`` and ``lifespan``."""
    routes = router(manager, authenticate=authenticate, origins=origins, limits=limits).routes
    return Starlette(routes=routes, lifespan=lifespan(manager, recover_seconds=recover_seconds))
