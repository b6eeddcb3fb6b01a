"""Write golden rows, once for each format: ``python -m tests.golden.make sqlite|postgres NAME``.

Rows that are there stay as they are. They are made by the code of the release whose format they are of, and a later
release has to read them and go on.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from taf import InMemoryCheckpointer, SqliteCheckpointer
from taf.checkpointer import BaseCheckpointer, ledger
from tests.golden.threads import JOURNEYS, Journey, seen

FOLDER = Path(__file__).parent


def made_here() -> dict[str, Journey]:
    """Return the journeys that the code at hand can make."""
    app = JOURNEYS["completed"].app(InMemoryCheckpointer())
    return {name: one for name, one in JOURNEYS.items() if name != "pruned" or hasattr(app, "aprune")}


async def make(store: BaseCheckpointer) -> dict[str, Any]:
    """Make all threads in an empty store, and return what is seen of each."""
    ledger.SNAPSHOT_FLOOR = 1500  # so that small threads have snapshots
    found: dict[str, Any] = {}
    async with store:
        for name, one in made_here().items():
            async with one.app(store) as app:
                await one.make(app, {"thread_id": name})
                found[name] = {"made": await seen(app, {"thread_id": name})}
    return found


async def proceed(store: BaseCheckpointer, found: dict[str, Any]) -> None:
    """Go on with all threads, and add what is seen of each then."""
    async with store:
        for name, notes in found.items():
            async with JOURNEYS[name].app(store) as app:
                await JOURNEYS[name].proceed(app, {"thread_id": name})
                notes["proceeded"] = await seen(app, {"thread_id": name})


def write_expected(name: str, found: dict[str, Any]) -> None:
    """Write what is to be seen beside the rows."""
    text = json.dumps(found, indent=1, sort_keys=True)
    (FOLDER / f"{name}.expected.json").write_text(text + "\n", encoding="utf-8")


def in_sqlite(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        found = asyncio.run(make(SqliteCheckpointer(path)))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("VACUUM INTO ?", [str(FOLDER / f"{name}.db")])
        asyncio.run(proceed(SqliteCheckpointer(path), found))
    write_expected(name, found)


def in_postgres(name: str) -> None:
    from taf import PgCheckpointer
    from tests.golden.rows import dump
    from tests.pg.server import running_postgres

    with running_postgres() as server:
        dsn = server.dsn(server.admin.create_database())
        found = asyncio.run(make(PgCheckpointer(dsn)))
        rows = asyncio.run(dump(dsn))
        asyncio.run(proceed(PgCheckpointer(dsn), found))
    (FOLDER / f"{name}.rows.json").write_text(json.dumps(rows, indent=None) + "\n", encoding="utf-8")
    write_expected(name, found)


if __name__ == "__main__":
    kind, name = sys.argv[1:]
    if list(FOLDER.glob(f"{name}.*")):
        sys.exit(f"There are rows of {name} already, and they stay as they are.")
    in_sqlite(name) if kind == "sqlite" else in_postgres(name)
