"""Ten processes set up one empty Postgres database at the same moment, and use it.

Run as ``python -m tests.torture.setups FOLDER DSN ROUNDS``; prints its counts as JSON. A round has a schema of its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg

from taf.checkpointer import PgCheckpointer
from tests.torture.herd import fork, report, wait_all
from tests.torture.log import CALL, Log
from tests.torture.tally import STEPS, build

PROCESSES = 10


def play(log: Log, dsn: str, schema: str) -> None:
    """Have all begin when the pipe ends."""
    reading, writing = os.pipe()

    async def work() -> None:
        os.close(writing)
        os.read(reading, 1)
        CALL.set(time.monotonic())
        async with PgCheckpointer(dsn, schema=schema) as store:
            await store.setup()
            result = await build(log, 1e-6).compile(store).ainvoke({}, {"thread_id": str(os.getpid())})
            log.write("ran", schema, len(result.state.trail))

    children = [fork(work) for _ in range(PROCESSES)]
    for end in (reading, writing):
        os.close(end)
    wait_all(children)


async def audit(log: Log, dsn: str, schemas: list[str]) -> dict[str, Any]:
    ran = [line.data for line in log.lines() if line.kind == "ran"]
    counts = {"rounds": len(schemas), "ran": len(ran), "whole": ran.count(STEPS), "threads": 0, "migrations": 0}
    connection = await asyncpg.connect(dsn)
    for schema in schemas:
        for table in ("threads", "migrations"):
            counts[table] += await connection.fetchval(f"SELECT count(*) FROM {schema}.{table}")
    await connection.close()
    return counts


if __name__ == "__main__":
    log, schemas = Log(Path(sys.argv[1])), [f"s{number}" for number in range(int(sys.argv[3]))]
    for schema in schemas:
        play(log, sys.argv[2], schema)
    report(asyncio.run(audit(log, sys.argv[2], schemas)))
