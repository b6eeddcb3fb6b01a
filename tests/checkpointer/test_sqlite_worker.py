"""Where jobs are done: on the spot or at the end of a turn, in the loop's own thread, or in one of the worker's."""

import asyncio
import math
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from taf.checkpointer import sqlite_worker
from taf.checkpointer.sqlite_file import SqliteFile
from taf.checkpointer.sqlite_work import Job
from taf.checkpointer.sqlite_worker import CROWD, Worker
from taf.errors import CheckpointerClosedError, StoreUnavailableError
from taf.testing.store.owner import until

HERE = threading.main_thread().name
THERE = "taf-test-worker"

T = TypeVar("T")


class Watched(Worker):
    """Notes the transactions, each with the name of its thread."""

    def __init__(self, file: SqliteFile) -> None:
        super().__init__(THERE, file, writes=True, is_alone=lambda: self.is_alone)
        self.begun: list[str] = []
        self.is_alone = False

    def _begin(self, connection: sqlite3.Connection, is_patient: bool) -> bool:
        has_begun = super()._begin(connection, is_patient)
        if has_begun:
            self.begun.append(threading.current_thread().name)
        return has_begun


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold every disk for a quick one."""
    monkeypatch.setattr(sqlite_worker, "PROMPT_SECONDS", 1000.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.db"


@pytest.fixture
def worker(path: Path) -> Iterator[Watched]:
    found = Watched(SqliteFile(str(path), "FULL", 10.0))
    yield found
    found.stop()


def where(_: sqlite3.Connection) -> str:
    return threading.current_thread().name


def fails(_: sqlite3.Connection) -> None:
    raise sqlite3.OperationalError("disk I/O error")


def write(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE taf_epochs SET last = last + 1")


def interrupts(connection: sqlite3.Connection) -> None:
    write(connection)
    raise KeyboardInterrupt


def written(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (number,) = connection.execute("SELECT last FROM taf_epochs").fetchone()
        return int(number)


async def test_the_file_is_opened_in_the_thread(worker: Watched) -> None:
    assert await worker.run("open", where) == THERE
    assert await worker.run("use", where) == HERE


async def test_a_file_that_is_slow_to_open_is_no_slow_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(SqliteFile):
        def connect(self) -> sqlite3.Connection:
            threading.Event().wait(1.0)
            return super().connect()

    monkeypatch.setattr(sqlite_worker, "PROMPT_SECONDS", 0.1)
    worker = Watched(Slow(str(path), "FULL", 10.0))
    await worker.run("open", where)
    assert await worker.run("look", where) == HERE
    worker.stop()


async def test_jobs_of_one_turn_share_a_transaction(worker: Watched, path: Path) -> None:
    await worker.run("open", where)
    await asyncio.gather(*[worker.run("write", write) for _ in range(CROWD)])
    assert worker.begun == [THERE, HERE]
    assert written(path) == CROWD


async def test_one_that_fails_takes_none_with_it(worker: Watched, path: Path) -> None:
    await worker.run("open", where)
    jobs = [worker.run("write", write), worker.run("fail", fails), worker.run("write", write)]
    found = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(one) for one in found] == [type(None), StoreUnavailableError, type(None)]
    assert written(path) == 2
    assert set(worker.begun[1:]) == {HERE}


async def test_a_crowd_does_not_hold_the_loop_up(worker: Watched) -> None:
    await worker.run("open", where)
    found = await asyncio.gather(*[worker.run("look", where) for _ in range(CROWD + 1)])
    assert found == [THERE] * (CROWD + 1)


async def test_a_slow_disk_does_not_hold_the_loop_up(worker: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    await worker.run("open", where)
    assert await worker.run("look", where) == HERE
    monkeypatch.setattr(sqlite_worker, "PROMPT_SECONDS", 0.05)
    await worker.run("stall", lambda _: threading.Event().wait(1.0))
    assert await worker.run("look", where) == THERE

    found = [await worker.run("look", where) for _ in range(200)]
    assert found[-1] == HERE, "it is quick again"


async def test_others_who_write_do_not_hold_the_loop_up(worker: Watched, path: Path) -> None:
    await worker.run("open", where)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        write(other)
        waiting = asyncio.ensure_future(worker.run("write", write))
        turns = 0
        while turns < 100:
            await asyncio.sleep(0.001)
            turns += 1
        assert not waiting.done()
        other.execute("COMMIT")
    await waiting
    assert written(path) == 2
    assert worker.begun == [THERE, THERE]
    assert await worker.run("look", where) == HERE


async def test_a_file_that_stays_locked_is_told(path: Path) -> None:
    worker = Watched(SqliteFile(str(path), "FULL", 0.05))
    await worker.run("open", where)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked"):
            await worker.run("write", write)
    worker.stop()


async def test_loops_take_turns(worker: Watched, path: Path) -> None:
    async def some() -> None:
        for _ in range(100):
            await worker.run("write", write)

    await worker.run("open", where)
    threads = [threading.Thread(target=lambda: asyncio.run(some())) for _ in range(3)]
    for thread in threads:
        thread.start()
    await some()
    await until(lambda: not any(thread.is_alive() for thread in threads))
    assert written(path) == 400


async def test_a_cancelled_caller_learns_the_outcome_first(worker: Watched, path: Path) -> None:
    await worker.run("open", where)
    caller = asyncio.ensure_future(worker.run("write", write))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert written(path) == 1


def test_what_an_interruption_strikes_is_undone_and_told(path: Path, worker: Watched) -> None:
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(worker.run("write", write))
        struck = loop.create_task(worker.run("write", interrupts))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(struck)
        with pytest.raises(StoreUnavailableError):
            loop.run_until_complete(struck)
        loop.run_until_complete(worker.run("write", write))
    assert worker.begun == [THERE, HERE, HERE]
    assert written(path) == 2


async def test_what_waits_for_the_end_of_the_turn_is_done_before_the_end(worker: Watched, path: Path) -> None:
    await worker.run("open", where)
    waiting = asyncio.ensure_future(worker.run("write", write))
    asyncio.get_running_loop().call_soon(worker.stop)
    await waiting
    assert worker.begun == [THERE, THERE]
    assert written(path) == 1
    with pytest.raises(CheckpointerClosedError):
        await worker.run("write", write)


async def test_what_others_kept_from_being_done_is_done_behind_the_end(path: Path) -> None:
    class Overtaken(Watched):
        """Is stopped while a loop finds the file locked."""

        def _begin(self, connection: sqlite3.Connection, is_patient: bool) -> bool:
            if not is_patient:
                self.stop(patience=0.0)
            return is_patient and super()._begin(connection, is_patient)

    worker = Overtaken(SqliteFile(str(path), "FULL", 10.0))
    await worker.run("open", where)
    assert await worker.run("look", where) == THERE
    worker.stop()


async def test_what_a_closed_loop_left_is_done_at_the_end(worker: Watched, path: Path) -> None:
    await worker.run("open", where)

    def run() -> None:
        loop = asyncio.new_event_loop()
        waiting = loop.create_task(worker.run("write", write))
        waiting._log_destroy_pending = False  # that is what is shown
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()

    await asyncio.to_thread(run)
    worker.stop()
    assert written(path) == 1


async def test_what_need_not_outlive_a_power_cut_is_not_synced_by_itself(worker: Watched) -> None:
    def level(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])

    normal, full = 1, 2
    assert await worker.run("one", level, is_synced=False) == normal
    assert await worker.run("two", level) == full
    assert await worker.run("three", level, is_synced=False) == normal
    together = asyncio.gather(*[worker.run("many", level, is_synced=number == 9) for number in range(10)])
    assert (await together)[-1] == full


async def test_no_job_overtakes_one_that_came_before(path: Path) -> None:
    class Slow(Watched):
        """Its thread takes its time between the queue and the work."""

        def _next_batch(self) -> list[Job[Any]]:
            batch = super()._next_batch()
            threading.Event().wait(0.05)
            return batch

    done: list[str] = []

    def note(name: str) -> Callable[[sqlite3.Connection], None]:
        return lambda _: done.append(name)

    worker = Slow(SqliteFile(str(path), "FULL", 10.0))
    await worker.run("open", where)
    first = asyncio.ensure_future(worker.run("first", note("first")))
    await asyncio.sleep(0)  # it waits for the end of this turn
    worker.post(note("second"))
    await asyncio.gather(first, worker.run("third", note("third")))
    assert done == ["first", "second", "third"]
    assert await worker.run("look", where) == HERE
    worker.stop()


# -- on the spot -----------------------------------------------------------------------------------


def at_once(coroutine: Coroutine[Any, Any, T]) -> T | None:
    """Return what comes without the loop getting a turn; None, and give it up, where it would."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    coroutine.close()
    return None


@pytest.fixture
def patient_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_worker, "TURN_SECONDS", math.inf)


@pytest.mark.usefixtures("patient_loop")
async def test_what_one_asks_for_alone_is_done_on_the_spot(worker: Watched, path: Path) -> None:
    await worker.run("open", where)
    worker.is_alone = True
    assert at_once(worker.run("look", where)) == HERE
    at_once(worker.run("write", write))
    assert written(path) == 1
    with pytest.raises(StoreUnavailableError, match="disk I/O error"):
        at_once(worker.run("fail", fails))
    with pytest.raises(KeyboardInterrupt):
        at_once(worker.run("break off", interrupts))
    assert at_once(worker.run("look again", where)) == HERE


@pytest.mark.usefixtures("patient_loop")
async def test_what_has_company_waits_for_the_end_of_the_turn(worker: Watched, path: Path) -> None:
    await worker.run("open", where)
    assert at_once(worker.run("look", where)) is None, "others are about"
    worker.is_alone = True
    assert at_once(worker.run("look", where)) is None, "a job came before"
    await asyncio.sleep(0)
    assert at_once(worker.run("look", where)) == HERE


@pytest.mark.usefixtures("patient_loop")
async def test_others_who_write_are_not_waited_for_on_the_spot(worker: Watched, path: Path) -> None:
    await worker.run("open", where)
    worker.is_alone = True
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(worker.run("write", write))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        other.execute("COMMIT")
    await waiting
    assert worker.begun == [THERE, THERE]
    assert written(path) == 1


@pytest.mark.usefixtures("patient_loop")
async def test_a_worker_that_has_ended_does_nothing_on_the_spot(worker: Watched, path: Path) -> None:
    await worker.run("open", where)
    worker.is_alone = True
    worker.stop()
    with pytest.raises(CheckpointerClosedError):
        at_once(worker.run("write", write))
    assert written(path) == 0


@pytest.mark.usefixtures("patient_loop")
async def test_the_loop_gets_its_turn_once_jobs_have_followed_each_other_for_long(
    worker: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.run("open", where)
    worker.is_alone = True
    turns, done = 0, False

    async def count() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    async def turns_in_jobs() -> int:
        before = turns
        for _ in range(20):
            assert await worker.run("look", where) == HERE
        return turns - before

    counting = asyncio.create_task(count())
    assert await turns_in_jobs() == 0
    monkeypatch.setattr(sqlite_worker, "TURN_SECONDS", 0.0)
    assert await turns_in_jobs() >= 20
    done = True
    await counting
