import asyncio

import httpx
from starlette.requests import HTTPConnection

from taf import AgentState, Message, StateGraph


async def answer(state: AgentState) -> Message:
    return Message.text_message("Here you are.", role="assistant")


graph = StateGraph().add_node(answer)

# --8<-- [start:app]
from taf.interruption import AgentManager
from taf.server import create_app

app = create_app(AgentManager(graph.compile()))  # uvicorn module:app
# --8<-- [end:app]


# --8<-- [start:auth]
from taf.server import Limits, Principal

USERS = {"secret-of-alice": Principal("alice", tenant="acme")}


def authenticate(connection: HTTPConnection) -> Principal | None:
    token = connection.headers.get("authorization", "").removeprefix("Bearer ")
    return USERS.get(token)


guarded = create_app(
    AgentManager(graph.compile(tenant="acme")),
    authenticate=authenticate,
    origins=["https://app.example"],
    limits=Limits(rate=2, burst=5, message=4000),
)
# --8<-- [end:auth]

# --8<-- [start:mount]
from fastapi import FastAPI

from taf.server import lifespan, router

manager = AgentManager(graph.compile())
api = FastAPI(lifespan=lifespan(manager))
api.mount("/agent", router(manager))
# --8<-- [end:mount]


async def call(served, path, **options):
    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post(path, **options)


async def main() -> None:
    message = {"user_id": "alice", "message": "Find flights to Tokyo"}
    said = await call(app, "/chat", json=message)
    print(said.status_code, said.json()["status"])
    print((await call(app, "/chat", json={**message, "message": ""})).status_code)
    print((await call(guarded, "/chat", json=message)).status_code)
    token = {"authorization": "Bearer secret-of-alice"}
    print((await call(guarded, "/chat", json=message, headers=token)).status_code)
    print((await call(guarded, "/chat", json={**message, "user_id": "bob"}, headers=token)).status_code)
    print((await call(api, "/agent/chat", json=message)).status_code)


asyncio.run(main())
# → 200 processing
# → 400
# → 401
# → 200
# → 403
# → 200
