"""The pooler of these tests really is one, with all that this breaks."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from tests.pg.inner import start_pytest, wait_until
from tests.pg.pooler import FEW
from tests.pg.watcher import serves

pytestmark = pytest.mark.e2e


async def test_one_client_s_transactions_wander_over_the_few_connections(pooled_dsn: str) -> None:
    clients = [await asyncpg.connect(pooled_dsn, statement_cache_size=0) for _ in range(3 * FEW)]
    backends = {await client.fetchval("SELECT pg_backend_pid()") for client in clients}
    for client in clients:
        await client.close()
    assert len(backends) <= FEW


async def test_a_session_s_lock_is_taken_by_two_clients(pooled_dsn: str) -> None:
    one = await asyncpg.connect(pooled_dsn, statement_cache_size=0)
    two = await asyncpg.connect(pooled_dsn, statement_cache_size=0)
    assert await one.fetchval("SELECT pg_try_advisory_lock(7)")
    assert await two.fetchval("SELECT pg_try_advisory_lock(7)")
    await one.close()
    await two.close()


def test_a_killed_pytest_leaves_no_pooler(tmp_path: Path) -> None:
    told = tmp_path / "told"
    test = f"""
import os, pathlib, pytest, time
@pytest.mark.e2e
def test_forever(pooler):
    pathlib.Path({str(told)!r}).with_suffix(".part").write_text(f"{{pooler.pid}} {{pooler.folder}}")
    os.rename({str(told)!r} + ".part", {str(told)!r})
    time.sleep(600)
"""
    with start_pytest(tmp_path, test, "-m", "e2e") as inner:
        wait_until(lambda: told.exists() or inner.poll() is not None)
        pid, folder = int(told.read_text().split()[0]), Path(told.read_text().split()[1])
        assert serves(pid, folder)
        inner.kill()
    wait_until(lambda: not serves(pid, folder) and not folder.exists())
