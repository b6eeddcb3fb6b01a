"""Start and stop runs over HTTP, with Flask.

python examples/flask_stop_control.py           # tell the story, with a test client
python examples/flask_stop_control.py --serve   # a real server; try it with curl
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import defaultdict
from typing import Any

from flask import Flask, Response, jsonify, request

from taf import AgentState, CompiledGraph, Event, Message, StateGraph, UnknownThreadError, emit


async def research(state: AgentState) -> Message:
    """Work that takes long, and shows how far it is."""
    for page in range(1, 1000):
        emit(f"read page {page}", key="progress")
        await asyncio.sleep(0.01)
    return Message.text_message("All read.", role="assistant")


def build() -> CompiledGraph:
    return StateGraph().add_node(research).compile()


def create_app(agent: CompiledGraph) -> Flask:
    """Return the web app. What each thread told is at /agent/events/THREAD."""
    web = Flask(__name__)
    told: dict[str, list[Event]] = defaultdict(list)

    @web.post("/agent/start")
    def start() -> Response:
        thread_id: str = request.json["thread_id"]
        messages = [Message.text_message(text) for text in request.json["messages"]]

        def run() -> None:
            for event in agent.stream({"messages": messages}, {"thread_id": thread_id}):
                told[thread_id].append(event)

        threading.Thread(target=run, daemon=True).start()
        return jsonify({"status": "started", "thread_id": thread_id})

    @web.post("/agent/stop")
    def stop() -> Response:
        return jsonify(agent.stop({"thread_id": request.json["thread_id"]}, reason="the user pressed stop"))

    @web.get("/agent/events/<thread_id>")
    def events(thread_id: str) -> Response:
        return jsonify([{"type": event.event_type, "content": event.content} for event in told[thread_id]])

    @web.get("/agent/state/<thread_id>")
    def state(thread_id: str) -> Any:
        try:
            found = agent.get_state({"thread_id": thread_id})
        except UnknownThreadError as error:
            return {"error": str(error)}, 404
        return jsonify({"status": found.status, "next": found.next})

    return web


def main() -> None:
    with build() as agent:
        web = create_app(agent)
        if "--serve" in sys.argv:
            web.run(threaded=True)
            return
        client = web.test_client()
        body = {"thread_id": "web-1", "messages": ["read everything"]}
        print("start:", client.post("/agent/start", json=body).get_json())
        while len(client.get("/agent/events/web-1").get_json()) < 5:
            threading.Event().wait(0.01)
        stopped = client.post("/agent/stop", json={"thread_id": "web-1"}).get_json()
        print("stop: ", {key: stopped[key] for key in ("ok", "status", "was_running", "node", "reason")})
        print("state:", client.get("/agent/state/web-1").get_json())
        print("again:", client.post("/agent/stop", json={"thread_id": "web-1"}).get_json()["status"])


if __name__ == "__main__":
    main()
