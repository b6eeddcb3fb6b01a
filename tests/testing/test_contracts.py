"""The contracts as somebody else uses them: in a project of their own, with pytest as it comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
from collections.abc import AsyncIterator
import pytest, pytest_asyncio
from taf.checkpointer import InMemoryCheckpointer, SqliteCheckpointer
from taf.publisher import BasePublisher, CollectingPublisher
from taf.testing import CheckpointerContract, PublisherContract
"""


def run(folder: Path, program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a program in a project without any settings."""
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (folder / "test_mine.py").write_text(HEAD + program)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *options, str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def passed(folder: Path, program: str, *options: str) -> str:
    ended = run(folder, program, *options)
    assert ended.returncode == 0, ended.stdout[-3000:]
    return ended.stdout


def test_five_lines_try_a_store(tmp_path: Path) -> None:
    said = passed(
        tmp_path,
        """
class TestMyStore(CheckpointerContract):
    reopen = None
    def make_store(self): return InMemoryCheckpointer()
""",
    )

    assert "skipped" not in said


def test_a_store_may_be_made_in_a_coroutine(tmp_path: Path) -> None:
    passed(
        tmp_path,
        """
class TestMyStore(CheckpointerContract):
    async def make_store(self): return SqliteCheckpointer(self.tmp_path / "t.db")
    async def reopen_store(self): return SqliteCheckpointer(self.tmp_path / "t.db")
""",
        "-k",
        "Journal or outlive or busy",
    )


def test_a_store_may_come_from_fixtures(tmp_path: Path) -> None:
    said = passed(
        tmp_path,
        """
@pytest.fixture
def path(tmp_path): return tmp_path / "mine.db"

class TestMyStore(CheckpointerContract):
    @pytest_asyncio.fixture
    async def store(self, path):
        async with SqliteCheckpointer(path) as store:
            yield store

    @pytest.fixture
    def second(self, store, path):
        with SqliteCheckpointer(path) as second:
            yield second
""",
        "-k",
        "outlive or closed or busy_for_the_other",
    )

    assert "passed" in said


def test_a_store_that_is_not_given_says_what_to_write(tmp_path: Path) -> None:
    ended = run(tmp_path, "class TestMyStore(CheckpointerContract):\n    pass", "-k", "granted_empty")

    assert ended.returncode == 1
    assert "Write make_store(self), or a fixture of the name `store`." in ended.stdout


def test_a_store_that_says_nothing_of_a_second_object_fails(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "class TestMyStore(CheckpointerContract):\n    def make_store(self): return InMemoryCheckpointer()",
        "-k",
        "outlive_the_store",
    )

    assert ended.returncode == 1
    assert "or say `reopen = None`" in ended.stdout


def test_a_broken_promise_is_shown_with_its_values(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        """
class Backwards(InMemoryCheckpointer):
    async def read(self, *args, **options): return [*await super().read(*args, **options)][::-1]

class TestMyStore(CheckpointerContract):
    reopen = None
    def make_store(self): return Backwards()
""",
        "-k",
        "page_by_page",
    )

    assert ended.returncode == 1
    assert "assert [2, 1] == [1, 2]" in ended.stdout


def test_a_few_lines_try_a_publisher(tmp_path: Path) -> None:
    passed(
        tmp_path,
        """
class TestMyPublisher(PublisherContract):
    def make_publisher(self): return CollectingPublisher()
    def received(self, publisher): return [event.sequence for event in publisher.events]

class Later(CollectingPublisher):
    async def publish(self, event): super().publish(event)

class TestMyAsyncPublisher(PublisherContract):
    async def make_publisher(self): return Later()
    async def received(self, publisher): return [event.sequence for event in publisher.events]
""",
    )


BROKEN_PUBLISHERS = {
    "Losing": ("event.sequence % 7 and super().publish(event)", "in_order_and_once"),
    "Doubling": ("super().publish(event); super().publish(event)", "in_order_and_once"),
    "Turning": ("self._events.insert(0, event)", "in_order_and_once"),
    "Choosing": ("event.event_type == 'node_completed' and super().publish(event)", "every_type"),
    "Writing": ("event.content.encode(); super().publish(event)", "odd_things"),
    "Dumping": ("import json; json.dumps(dict(event.data)); super().publish(event)", "no_json"),
}


def test_broken_publishers_fail_where_their_promises_are(tmp_path: Path) -> None:
    program = """
class Broken(PublisherContract):
    def make_publisher(self): return self.kind()
    def received(self, publisher): return [event.sequence for event in publisher.events]
"""
    for name, (publish, _) in BROKEN_PUBLISHERS.items():
        program += f"""
class {name}(CollectingPublisher):
    def publish(self, event):
        {publish}

class Test{name}(Broken):
    kind = {name}
"""
    said = run(tmp_path, program, "-rf", "--tb=no").stdout.splitlines()

    for name, (_, test) in BROKEN_PUBLISHERS.items():
        assert any(line.startswith("FAILED") and f"Test{name}::" in line and test in line for line in said), name


@pytest.mark.parametrize("name", ["ManualClock", "FakeHuman", "crash_at"])
def test_what_is_no_contract_needs_no_pytest(name: str) -> None:
    program = f"import sys; from taf.testing import {name}; print('pytest' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert ended.stdout.strip() == "False"


def test_every_name_is_there() -> None:
    from taf import testing

    assert sorted(testing.__all__) == sorted(set(dir(testing)))
    assert [name for name in testing.__all__ if not hasattr(testing, name)] == []
    assert not hasattr(testing, "Checkpointer")
