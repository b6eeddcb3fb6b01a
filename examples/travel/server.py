"""Serves the travel agent: ``python -m examples.travel.server --db travel.db --port 8000``."""

from __future__ import annotations

import argparse
import socket

import uvicorn
from starlette.applications import Starlette

from examples.travel.graph import build
from taf import SqliteCheckpointer
from taf.interruption import AgentManager
from taf.server import create_app


# --8<-- [start:app]
def app_of(db: str, pace: float = 0.3) -> Starlette:
    """Return the app. Whatever it knows is in the file, so another process can take over from it."""
    manager = AgentManager(build(SqliteCheckpointer(db), pace=pace))
    return create_app(manager, recover_seconds=0.2)


# --8<-- [end:app]


def main(arguments: list[str] | None = None) -> None:
    """Serve on one's own machine until Ctrl+C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", default="travel.db", help="the SQLite file that keeps the threads")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    parser.add_argument("--pace", type=float, default=0.3, help="how many seconds an offer takes")
    options = parser.parse_args(arguments)
    listening = socket.create_server(("127.0.0.1", options.port))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app_of(options.db, options.pace), ws="websockets-sansio", log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
