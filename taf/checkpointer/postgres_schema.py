"""Makes and migrates the tables: numbered SQL files, each once, whoever is first."""

from __future__ import annotations

import re
from importlib.resources import files

import asyncpg

from taf.errors import ConfigError, StoreUnavailableError

VERSION = 4
"""The number of the newest migration."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")


def checked_name(name: str, what: str, *, may_be_empty: bool = False) -> str:
    """Return a part of a table's name. Raise ``ConfigError`` unless it is a plain lower-case identifier."""
    if not (_NAME.fullmatch(name) or (may_be_empty and not name)):
        raise ConfigError(f"{what} has to be of lower-case letters, digits and _, at most 40, not {name!r}.")
    return name


async def migrate(connection: asyncpg.Connection[asyncpg.Record], tables: dict[str, str], schema: str) -> None:
    """Make the missing migrations, all or none. Any number of processes may do this at once.

    Raise ``StoreUnavailableError`` for tables of a newer version.
    """
    async with connection.transaction():
        if await _version(connection, tables, schema) == VERSION:  # the usual case, without a lock
            return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", tables["migrations"])
        found = await _version(connection, tables, schema)
        if found > VERSION:
            why = f"its tables are of version {found}, made by a newer taf than this one, which knows {VERSION}"
            raise StoreUnavailableError("open the database", why)
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema):
            await connection.execute(f'CREATE SCHEMA "{schema}"')
        if not found:
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {tables['migrations']}"
                " (number integer PRIMARY KEY, made timestamptz NOT NULL DEFAULT now())"
            )
        for number in range(found + 1, VERSION + 1):
            script = files("taf.checkpointer").joinpath("sql", f"postgres_{number:04}.sql").read_text(encoding="utf-8")
            await connection.execute(_filled(script, tables))
            await connection.execute(f"INSERT INTO {tables['migrations']} (number) VALUES ($1)", number)


def _filled(script: str, tables: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: tables[found[1]], script)


async def _version(connection: asyncpg.Connection[asyncpg.Record], tables: dict[str, str], schema: str) -> int:
    # Asked of the catalogue's tables: to_regclass() answers from a cache that the wait for the lock does not renew.
    is_there = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND relnamespace ="
        " (SELECT oid FROM pg_namespace WHERE nspname = $2))",
        tables["migrations"].rpartition(".")[2],
        schema,
    )
    if not is_there:
        return 0
    return int(await connection.fetchval(f"SELECT coalesce(max(number), 0) FROM {tables['migrations']}") or 0)
