"""Where the workers run: a folder, the servers that their stores need, and one process for each system.

All workers of one workload and store live at the same time and are asked in turn: a noisy moment hits all alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.pg.server import running_postgres

from . import systems
from .plans import Plan
from .protocol import Store
from .services import running_redis
from .workers import Worker

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = ("shared_buffers=256MB", "max_wal_size=4GB")
"""Beside stock settings: fsync, synchronous_commit and full_page_writes are on."""

LOG_POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
"""Bytes of write-ahead log so far, over all databases."""


class Session:
    """Use it in a ``with`` block."""

    def __init__(self, stores: tuple[str, ...]) -> None:
        self._stack = contextlib.ExitStack()
        self.scratch = Path(tempfile.mkdtemp(prefix="bench-"))
        self.scratch.chmod(0o755)
        self._stack.callback(shutil.rmtree, self.scratch, ignore_errors=True)
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.env = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "LANGSMITH_TRACING": "false"}
        self._count = 0
        self._redis = ""
        self.postgres = None
        if "postgres" in stores:
            try:
                self.postgres = self._stack.enter_context(running_postgres(fsync=True, settings=SETTINGS))
                self._redis = self._stack.enter_context(running_redis(self.scratch / "redis"))
            except BaseException:
                self._stack.close()
                raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def describe(self, wanted: set[str]) -> list[dict[str, Any]]:
        """Ask each module, in a process of its own, which systems it has. One that is not installed is ``missing``."""
        found: list[dict[str, Any]] = []
        for module in systems.MODULES:
            argv = [sys.executable, "-m", "benchmarks.benchkit.worker", "describe", module]
            done = subprocess.run(argv, check=False, capture_output=True, text=True, env=self.env)
            if done.returncode:
                found.append({"module": module, "name": module, "missing": done.stderr.strip().splitlines()[-1]})
            else:
                found += json.loads(done.stdout.strip().splitlines()[-1])
        return [f for f in found if not wanted or f["name"] in wanted or f["module"] in wanted]

    def store(self, kind: str, folder: Path) -> Store:
        """Return an empty store of this kind."""
        if kind == "sqlite":
            return Store(kind, sqlite_path=str(folder / "bench.db"))
        if kind == "postgres":
            assert self.postgres is not None
            return Store(kind, pg_url=self.postgres.dsn(self.postgres.admin.create_database()), redis_url=self._redis)
        return Store(kind)

    def group(self, plan: Plan, kind: str, present: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Measure all systems that can do this workload with this store, side by side."""
        workers = [self._start(plan, kind, system) for system in present]
        try:
            for worker in workers:
                worker.take(worker.ask("", plan.limit))
            self._sample_in_turn(plan, kind, workers)
            return [{"plan": plan.key, "store": kind, **worker.finish()} for worker in workers]
        finally:
            for worker in workers:
                self._end(worker)

    def _start(self, plan: Plan, kind: str, system: dict[str, Any]) -> Worker:
        self._count += 1
        folder = self.scratch / f"cell{self._count}"
        folder.mkdir()
        job = {
            "module": system["module"],
            "system": system["name"],
            "workload": plan.workload,
            "params": plan.params,
            "store": asdict(self.store(kind, folder)),
        }
        return Worker(system, job, folder, self.env)

    def _sample_in_turn(self, plan: Plan, kind: str, workers: list[Worker]) -> None:
        is_sized = kind == "postgres" and plan.workload == "chat"
        begin = time.monotonic()
        for turn in range(plan.most):
            if turn == 1:
                begin = time.monotonic()  # the slow systems had their one sample
            if turn >= plan.least and time.monotonic() - begin > plan.seconds:
                return
            alive = [w for w in workers if not w.over and (not turn or w.spent < plan.each)]
            if not alive:
                return
            shift = turn % len(alive)
            for worker in alive[shift:] + alive[:shift]:
                # One system at a time is at work, so what the log grows by is its doing.
                before = self._log_position() if is_sized else 0
                worker.sample(plan.limit)
                if is_sized:
                    grown = self._log_position() - before
                    worker.result["written_bytes"] = worker.result.get("written_bytes", 0) + grown

    def _log_position(self) -> int:
        assert self.postgres is not None
        return int(self.postgres.admin.fetch_value(LOG_POSITION))

    def _end(self, worker: Worker) -> None:
        worker.kill()
        url = worker.job["store"]["pg_url"]
        if url and self.postgres is not None:
            self.postgres.admin.drop_database(url.rpartition("/")[2])
        shutil.rmtree(worker.folder, ignore_errors=True)
