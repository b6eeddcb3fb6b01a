"""Who may do what: users come from credentials, pages from a list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import HTTPConnection
from websockets.exceptions import InvalidStatus

from taf import InMemoryCheckpointer
from taf.interruption import AgentManager
from taf.server import Principal, create_app, router
from tests.interruption.clerk import Clerk
from tests.server.serving import Client, client_of, has_status, messages

TOKENS = {"Bearer a": Principal("alice", "acme"), "Bearer b": Principal("bob", "acme"), "Bearer e": Principal("alice")}


def by_token(connection: HTTPConnection) -> Principal | None:
    return TOKENS.get(connection.headers.get("authorization", ""))


async def by_token_later(connection: HTTPConnection) -> Principal | None:
    await asyncio.sleep(0)
    return by_token(connection)


def header(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def status_of(client: Client, user_id: str, **headers: str) -> int:
    """Return the status of a refusal, or 101."""
    try:
        async with client.socket(user_id, additional_headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.parametrize("authenticate", [by_token, by_token_later])
async def test_a_caller_without_credentials_gets_nothing(authenticate: Callable[..., Any]) -> None:
    async with client_of(create_app(AgentManager(), authenticate=authenticate)) as client:
        body = {"user_id": "alice", "message": "one"}
        assert (await client.post("/chat", body))[0] == 401
        assert (await client.post("/chat", body, headers=header("x")))[0] == 401
        assert (await client.post("/interrupt", {"user_id": "alice"}))[0] == 401
        for path in ("/status/alice", "/partial-results/alice"):
            assert (await client.get(path))[0] == 401
        assert await status_of(client, "alice") == 401
        assert (await client.get("/health"))[0] == 200


async def test_a_caller_cannot_be_another_user() -> None:
    async with client_of(create_app(AgentManager(), authenticate=by_token)) as client:
        body = {"user_id": "alice", "message": "one"}
        assert (await client.post("/chat", body, headers=header("b")))[0] == 403
        assert (await client.post("/interrupt", {"user_id": "alice"}, headers=header("b")))[0] == 403
        for path in ("/status/alice", "/partial-results/alice"):
            assert (await client.get(path, headers=header("b")))[0] == 403
        assert await status_of(client, "alice", **header("b")) == 403
        assert await status_of(client, "alice", **header("a")) == 101
        status, answer = await client.post("/chat", body, headers=header("a"))
        assert (status, answer["status"]) == (200, "processing")


async def test_a_caller_with_credentials_need_not_name_itself() -> None:
    async with client_of(create_app(AgentManager(), authenticate=by_token)) as client:
        assert (await client.post("/chat", {"message": "one"}, headers=header("b")))[0] == 200
        assert (await client.get("/status/bob", headers=header("b")))[1]["query"] == "one"


async def test_users_of_one_name_and_two_tenants_do_not_meet() -> None:
    clerk, store = Clerk(), InMemoryCheckpointer()
    managers = {tenant: AgentManager(clerk.compile(store, tenant=tenant)) for tenant in ("acme", "")}
    app = router(managers.__getitem__, authenticate=by_token)
    async with client_of(with_lifespan(app)) as client:
        async with client.socket("alice", additional_headers=header("e")) as other:
            async with client.socket("alice", additional_headers=header("a")) as own:
                await client.post("/chat", {"message": "one"}, headers=header("a"))
                await messages(own, has_status("running"))
            assert (await client.get("/status/alice", headers=header("e")))[1]["status"] == "idle"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(other.recv(), 0.05)
        assert (await client.get("/health"))[0] == 200
    for manager in managers.values():
        await manager.aclose()
        await manager.app.aclose()


def with_lifespan(app: Any) -> Any:
    """Answer what a router does not: the server's own questions."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/", app)])


@pytest.mark.parametrize(
    ("origins", "origin", "is_allowed"),
    [
        (None, None, True),
        (None, "http://{address}", True),
        (None, "http://evil.example", False),
        (None, "null", False),
        (["https://app.example"], "https://app.example", True),
        (["https://app.example"], "https://app.example.evil.example", False),
        (["https://app.example"], "http://{address}", False),
        (["*"], "http://evil.example", True),
        ([], "http://{address}", False),
        ([], None, True),
    ],
)
async def test_a_page_of_somebody_else_may_not_call(
    origins: list[str] | None, origin: str | None, is_allowed: bool
) -> None:
    async with client_of(create_app(AgentManager(), origins=origins)) as client:
        headers = {} if origin is None else {"origin": origin.format(address=client.address)}
        body = {"user_id": "u", "message": "one"}
        assert (await client.post("/chat", body, headers=headers))[0] == (200 if is_allowed else 403)
        assert (await client.get("/status/u", headers=headers))[0] == (200 if is_allowed else 403)
        assert await status_of(client, "u", **headers) == (101 if is_allowed else 403)
