"""One cell in its own process: one system, one store, one workload.

``python -m benchmarks.benchkit.worker describe MODULE`` prints what a module offers.
``python -m benchmarks.benchkit.worker JOB.json`` serves samples: it reads one word a line
from standard input ("go" or "end") and answers each with one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from . import systems
from .measure import file_bytes, rss_kib, spin, written_bytes
from .protocol import Store, Unsupported
from .workloads import WORKLOADS

TABLE_BYTES = (
    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
)


def describe(module: str) -> list[dict[str, Any]]:
    return [
        {
            "module": module,
            "name": s.name,
            "version": s.version(),
            "distribution": s.distribution,
            "source": s.source,
            "extras": s.extras,
            "import_line": s.import_line,
            "stores": s.stores,
            "only": s.only,
            "baseline": s.baseline,
        }
        for s in systems.load(module)
    ]


class Sizes:
    """How much the store grew, and for SQLite how much this process wrote to get there.

    The server writes for Postgres, so there the runner reads its log position around each sample.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    async def begin(self) -> None:
        self.tables = await self._table_bytes() if self.store.kind == "postgres" else 0
        self.written = written_bytes()

    async def _table_bytes(self) -> int:
        import asyncpg

        connection = await asyncpg.connect(self.store.pg_url)
        try:
            return int(await connection.fetchval(TABLE_BYTES))
        finally:
            await connection.close()

    async def before_close(self) -> dict[str, int]:
        if self.store.kind == "postgres":
            return {"stored_bytes": await self._table_bytes() - self.tables}
        return {"written_bytes": written_bytes() - self.written} if self.store.kind == "sqlite" else {}

    def after_close(self) -> dict[str, int]:
        return {"stored_bytes": file_bytes(self.store.sqlite_path)} if self.store.kind == "sqlite" else {}


def run_loop() -> Callable[[Coroutine[Any, Any, None]], None]:
    """Return what runs the event loop: ``BENCH_LOOP=uvloop`` says that it is to be that one."""
    if os.environ.get("BENCH_LOOP") != "uvloop":
        return asyncio.run
    import uvloop

    return uvloop.run


async def serve(job: dict[str, Any], answer: Callable[[dict[str, Any]], None]) -> None:
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    params = job["params"]
    concurrency = params.get("threads") or (params["n"] if job["workload"] == "fan" else 1)
    store = Store(**job["store"])
    system = systems.find(job["module"], job["system"])(store, concurrency)
    await system.open()
    workload = WORKLOADS[job["workload"]](system, params)
    await workload.prepare()
    sizes = Sizes(store)
    await sizes.begin()
    answer({"ready": True, "rss_kib": rss_kib()})
    while (await commands.readline()).strip() == b"go":
        before = spin()
        answer({**await workload.sample(), "spin": before})
    final = {**await workload.finish(), **await sizes.before_close(), "notes": system.notes}
    await system.close()
    answer({**final, **sizes.after_close()})


def main(argv: list[str]) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if argv[0] == "describe":
        try:
            print(json.dumps(describe(argv[1])))
        except ImportError as error:
            print(json.dumps([{"module": argv[1], "name": argv[1], "missing": str(error)}]))
        return
    job = json.loads(Path(argv[0]).read_text())
    # keep the answers apart from whatever a library prints
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message: dict[str, Any]) -> None:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()

    try:
        run_loop()(serve(job, answer))
    except Unsupported as why:
        answer({"unsupported": str(why)})
    except BaseException as error:
        traceback.print_exc()
        answer({"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]})
    os._exit(0)  # some systems leave threads behind that would keep the process alive


if __name__ == "__main__":
    main(sys.argv[1:])
