"""Rows that older versions wrote are read as they were, and their threads go on."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from taf import SqliteCheckpointer
from tests.golden.rows import restore
from tests.golden.threads import JOURNEYS, seen
from tests.pg.fixtures import GivenServer
from tests.pg.server import PostgresServer
from tests.places import open_store

FOLDER = Path(__file__).parent
EXPECTED: dict[str, dict[str, Any]] = {
    path.name.removesuffix(".expected.json"): json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(FOLDER.glob("*.expected.json"))
}


@pytest.fixture(scope="module")
def old_places(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer | GivenServer
) -> Iterator[dict[str, str]]:
    """Where copies of the old rows are."""
    found: dict[str, str] = {}
    script = files("taf.checkpointer").joinpath("sql", "postgres_0001.sql").read_text(encoding="utf-8")
    script = re.sub(r"\{(\w+)\}", lambda name: "" if name[1] == "prefix" else f"taf.{name[1]}", script)
    for path in FOLDER.glob("*.db"):
        found[path.stem] = str(shutil.copy(path, tmp_path_factory.mktemp("golden")))
    databases: list[str] = []
    for path in FOLDER.glob("*.rows.json"):
        databases.append(postgres_server.admin.create_database())
        dsn = found[path.name.removesuffix(".rows.json")] = postgres_server.dsn(databases[-1])
        rows = json.loads(path.read_text(encoding="utf-8"))
        with ThreadPoolExecutor(1) as pool:  # this thread's loop is the tests'
            pool.submit(asyncio.run, restore(dsn, rows, script)).result()
    yield found
    for name in databases:
        postgres_server.admin.drop_database(name)


def told_apart(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out that an old thread was told which graph goes on with it: older releases did not record that."""
    return {**found, "events": [[kind, node] for _, kind, node in found["events"] if kind != "upgraded"]}


@pytest.mark.parametrize(("release", "name"), [(release, name) for release in EXPECTED for name in EXPECTED[release]])
async def test_an_old_thread_is_read_as_it_was_and_goes_on(release: str, name: str, old_places: dict[str, str]) -> None:
    journey, expected, config = JOURNEYS[name], EXPECTED[release][name], {"thread_id": name}
    async with open_store(old_places[release]) as store, journey.app(store) as app:
        assert await seen(app, config) == expected["made"]
        await journey.proceed(app, config)
        assert told_apart(await seen(app, config)) == told_apart(expected["proceeded"])


@pytest.mark.parametrize("release", EXPECTED)
def test_there_are_threads_in_every_state(release: str) -> None:
    made = {name: found["made"] for name, found in EXPECTED[release].items()}
    interrupts = [one for found in made.values() for one in found["interrupts"]]
    assert {found["status"] for found in made.values()} == {
        *("interrupted_before", "interrupted_after", "stopped", "completed", "error")
    }
    assert {one[1] for one in interrupts} == {"before", "after", "node"}
    assert {one[3] for one in interrupts} == {"open", "answered", "rejected", "withdrawn"}
    assert made.keys() >= JOURNEYS.keys() - {"pruned"}


def test_the_rows_are_small_and_each_has_its_expectations() -> None:
    rows = [path for path in FOLDER.iterdir() if path.name.endswith((".db", ".rows.json"))]

    assert {path.name.removesuffix(".db").removesuffix(".rows.json") for path in rows} == EXPECTED.keys()
    assert max(path.stat().st_size for path in rows) < 200_000


async def test_a_file_of_the_first_schema_is_read_by_two_who_open_it_at_once(tmp_path: Path) -> None:
    path = shutil.copy(FOLDER / "0.1.0-sqlite-1.db", tmp_path)
    async with SqliteCheckpointer(path) as one, SqliteCheckpointer(path) as other:
        found = await asyncio.gather(*[store.threads() for store in (one, other)])

    assert [row.thread_id for row in found[0]] == [row.thread_id for row in found[1]]
    assert {row.thread_id for row in found[0]} > EXPECTED["0.1.0-sqlite-1"].keys()
