"""The rows of a Postgres store ⇄ JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncpg

_TABLES = ("threads", "journal", "snapshots", "interrupts", "migrations")


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return {"utf8": value.decode("utf-8")}
        except UnicodeDecodeError:
            return {"hex": value.hex()}
    if isinstance(value, list):
        return [_shown(one) for one in value]
    return {"moment": value.isoformat()} if isinstance(value, datetime) else value


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(one) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    if kind == "moment":
        return datetime.fromisoformat(text)
    return text.encode("utf-8") if kind == "utf8" else bytes.fromhex(text)


async def dump(dsn: str) -> dict[str, Any]:
    """Return the statements that make the tables, as the server tells them, and all rows."""
    connection = await asyncpg.connect(dsn)
    found: dict[str, Any] = {}
    for table in _TABLES:
        rows = await connection.fetch(f"SELECT * FROM taf.{table} ORDER BY 1, 2")
        columns = list(rows[0].keys()) if rows else []
        found[table] = {"columns": columns, "rows": [[_shown(value) for value in row] for row in rows]}
    found["epoch"] = await connection.fetchval("SELECT last_value FROM taf.epochs")
    await connection.close()
    return found


async def restore(dsn: str, stored: dict[str, Any], script: str) -> None:
    """Make the tables by ``script``, the migrations of the rows' own time, and put the rows into them."""
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("CREATE SCHEMA taf")
        await connection.execute(
            "CREATE TABLE taf.migrations (number integer PRIMARY KEY, made timestamptz NOT NULL DEFAULT now())"
        )
        await connection.execute(script)
        for table in _TABLES:
            columns, rows = stored[table]["columns"], stored[table]["rows"]
            if rows:
                places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
                statement = f"INSERT INTO taf.{table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE VALUES ({places})"
                await connection.executemany(statement, [[_read(value) for value in row] for row in rows])
        await connection.execute("SELECT setval('taf.epochs', $1)".replace("$1", str(int(stored["epoch"]))))
        for table, column in (("threads", "id"), ("interrupts", "number")):
            await connection.execute(
                f"SELECT setval(pg_get_serial_sequence('taf.{table}', '{column}'), max({column})) FROM taf.{table}"
            )
    await connection.close()
