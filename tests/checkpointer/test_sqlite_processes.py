"""Several processes at one database: they exclude each other, notice each other's end and wake each other."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from taf.checkpointer.base import Change, Signal, ThreadKey
from taf.checkpointer.sqlite import SqliteCheckpointer
from taf.errors import StaleOwnerError, ThreadBusyError
from taf.testing.store.owner import HANG, KEY, Owner, load, until, until_acquired
from tests.freezing import freeze_aside, thaw

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PYTHON = [sys.executable, "-W", "error"]


class CallFailed(Exception):
    """The other process raised; this is the name of the error."""


class Process:
    """A process that runs ``peer.py``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [*PYTHON, HERE / "peer.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    async def call(self, name: str, **arguments: Any) -> Any:
        return await asyncio.wait_for(asyncio.to_thread(self._call, name, arguments), HANG)

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise CallFailed(answer["error"])
        return answer["value"]

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self) -> int:
        """Let it come to its end, and return its status."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            return process.wait(HANG)

    def kill(self) -> None:
        with self._process as process:
            process.kill()


@asynccontextmanager
async def process(path: Path | None = None) -> AsyncIterator[Process]:
    peer = Process()
    try:
        if path is not None:
            await peer.call("open", path=str(path))
        yield peer
    finally:
        peer.kill()


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteCheckpointer]:
    async with SqliteCheckpointer(path) as store:
        yield store


@pytest.fixture
async def peer(path: Path) -> AsyncIterator[Process]:
    async with process(path) as peer:
        yield peer


def owners(path: Path) -> list[str]:
    folder = Path(f"{path}.owners")
    return sorted(os.listdir(folder)) if folder.exists() else []


async def test_a_thread_owned_elsewhere_is_busy(store: SqliteCheckpointer, peer: Process) -> None:
    epoch, head = await peer.call("acquire")
    await peer.call("append", epoch=epoch, head=head)

    with pytest.raises(ThreadBusyError) as caught:
        await Owner.of(store)
    assert caught.value.run_id == "run-1"
    with pytest.raises(ThreadBusyError):
        await store.delete(KEY)
    assert (await load(store)).is_owned

    await peer.call("append", epoch=epoch, head=1, is_release=True)
    owner = await Owner.of(store)
    assert (owner.head, owner.epoch > epoch) == (2, True)
    with pytest.raises(CallFailed, match="ThreadBusyError"):
        await peer.call("acquire")


async def test_a_killed_owner_is_followed_long_before_its_lease_ends(
    store: SqliteCheckpointer, peer: Process, path: Path
) -> None:
    epoch, head = await peer.call("acquire", lease_seconds=3600)
    await peer.call("append", epoch=epoch, head=head)
    assert await store.signal(KEY, Signal("stop", "run-1"))
    assert len(owners(path)) == 1

    peer.kill()

    assert not await store.signal(KEY, Signal("stop", "run-1"))
    assert not (await load(store)).is_owned
    owner = await Owner.of(store)
    assert (owner.head, owner.epoch > epoch) == (1, True)
    # What was signalled to a run is there for whoever goes on with it.
    assert [one.kind for one in await owner.step()] == ["stop"]
    assert len(owners(path)) == 1


async def test_the_dead_are_cleared_away_by_the_next_owner(path: Path) -> None:
    async with process(path) as peer:
        await peer.call("acquire")
    assert len(owners(path)) == 1

    async with SqliteCheckpointer(path) as store:
        assert len(owners(path)) == 1
        await Owner.of(store, ThreadKey("", "another"))
        assert len(owners(path)) == 1
    assert not owners(path)


async def test_a_thawed_owner_is_refused(store: SqliteCheckpointer, peer: Process, path: Path) -> None:
    epoch, head = await peer.call("acquire", lease_seconds=0.3)
    await peer.call("append", epoch=epoch, head=head)

    freeze_aside(peer.pid, str(path))
    owner = await until_acquired(store)
    await owner.step()
    thaw(peer.pid)

    for stale_head in (1, 2):
        with pytest.raises(CallFailed, match="StaleOwnerError"):
            await peer.call("append", epoch=epoch, head=stale_head, is_release=True)
    assert [record.body for record in await store.read(KEY)] == [b"by the peer", b"body 2"]
    await owner.step()


async def test_a_live_owner_renews_its_lease(store: SqliteCheckpointer, peer: Process, path: Path) -> None:
    epoch, head = await peer.call("acquire", lease_seconds=0.6)

    with closing(sqlite3.connect(path)) as connection:
        ends: set[int] = set()
        async with asyncio.timeout(HANG):
            while len(ends) < 5:
                ends |= set(*zip(*connection.execute("SELECT lease_until FROM taf_threads"), strict=True))
                await asyncio.sleep(0.01)
    assert max(ends) - min(ends) > 0.6e9
    with pytest.raises(ThreadBusyError):
        await Owner.of(store)
    await peer.call("append", epoch=epoch, head=head)


async def test_a_signal_wakes_the_watcher_in_another_process(store: SqliteCheckpointer, peer: Process) -> None:
    told: list[Change] = []
    owner = await Owner.of(store)
    await owner.step()
    unwatch = store.watch(KEY, told.append)

    assert await peer.call("signal", kind="stop")

    await until(lambda: told and told[-1].signals)
    assert [one.kind for one in told[-1].signals] == ["stop"]
    assert [one.kind for one in await owner.step()] == ["stop"]
    unwatch()


async def test_a_watcher_sees_the_head_move_in_another_process(store: SqliteCheckpointer, peer: Process) -> None:
    told: list[int] = []
    store.watch(KEY, lambda change: told.append(change.head))
    epoch, _ = await peer.call("acquire")

    for head in range(3):
        await peer.call("append", epoch=epoch, head=head)
        await until(lambda head=head: told and told[-1] == head + 1)

    assert told == sorted(set(told) | {0} & set(told))


async def test_ten_processes_may_start_at_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(process()) for _ in range(10)]
        for number in range(5):
            path = str(tmp_path / "new" / str(number) / "threads.db")
            await asyncio.gather(*[peer.call("open", path=path) for peer in peers])

            grants = await asyncio.gather(*[peer.call("acquire", thread=f"t{i}") for i, peer in enumerate(peers)])
            await asyncio.gather(
                *[peer.call("append", thread=f"t{i}", epoch=grants[i][0], head=0) for i, peer in enumerate(peers)]
            )

            assert len({epoch for epoch, _ in grants}) == 10
            async with SqliteCheckpointer(path) as store:
                assert len(await store.threads()) == 10
            await asyncio.gather(*[peer.call("close") for peer in peers])
            # Of two that go at the same moment neither is the last one, who clears the log away.
            assert {name.partition("-")[0] for name in os.listdir(Path(path).parent)} == {"threads.db"}


async def test_an_owner_that_was_never_closed_ends_with_its_process(path: Path) -> None:
    peer = Process()
    await peer.call("open", path=str(path))
    await peer.call("acquire")

    assert await asyncio.to_thread(peer.end) == 0

    assert not owners(path)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("point", ["statement", "instruction", "torn write", "refused write"])
async def test_a_commit_is_whole_or_not_there_wherever_it_is_cut_off(tmp_path: Path, point: str) -> None:
    done = await asyncio.create_subprocess_exec(
        *PYTHON,
        HERE / "crashes.py",
        tmp_path / "crashes",
        point,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    said, errors = await done.communicate()

    assert done.returncode == 0, errors.decode()
    counts = json.loads(said)
    assert counts["points"] > 60
    assert counts.get("kills", counts.get("failures")) >= counts["points"] - 3


async def test_a_forked_child_is_refused_and_leaves_the_parent_alone(path: Path) -> None:
    script = f"""
import asyncio, os, warnings
from taf.checkpointer.base import Commit, Record, ThreadKey
from taf.checkpointer.sqlite import SqliteCheckpointer
from taf.errors import CheckpointerError

warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
key, store = ThreadKey("", "thread"), SqliteCheckpointer({str(path)!r})
grant = asyncio.run(store.acquire(key, lease_seconds=15))
if not (child := os.fork()):
    for work in (store.load(key), store.acquire(key, lease_seconds=15)):
        try:
            asyncio.run(work)
        except CheckpointerError as error:
            assert "fork" in str(error)
        else:
            os._exit(1)
    store.abandon(key, grant.epoch)
    store.close()
    raise SystemExit  # its exit handlers run
assert os.waitpid(child, 0)[1] == 0
try:
    asyncio.run(SqliteCheckpointer({str(path)!r}).acquire(key, lease_seconds=15))
except Exception as error:
    assert type(error).__name__ == "ThreadBusyError"
else:
    raise AssertionError
record = Record(1, "step", "run", 1.0, b"")
asyncio.run(store.append(Commit(key, grant.epoch, 0, [record], "running", "run", is_release=True)))
"""
    done = await asyncio.create_subprocess_exec(*PYTHON, "-c", script, cwd=ROOT, stderr=subprocess.PIPE)
    _, errors = await done.communicate()

    assert (done.returncode, errors.decode()) == (0, "")


async def test_a_child_that_outlives_its_parent_does_not_keep_its_threads(path: Path) -> None:
    script = f"""
import asyncio, os, signal, time, warnings
from taf.checkpointer.base import ThreadKey
from taf.checkpointer.sqlite import SqliteCheckpointer

warnings.simplefilter("ignore", DeprecationWarning)
store = SqliteCheckpointer({str(path)!r})
asyncio.run(store.acquire(ThreadKey("", "thread"), lease_seconds=3600))
there, here = os.pipe()
if not (child := os.fork()):
    os.close(1)
    os.write(here, b"!")
    time.sleep({HANG})
    os._exit(0)
os.read(there, 1)  # what a child does first in its life is done
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = await asyncio.create_subprocess_exec(*PYTHON, "-c", script, cwd=ROOT, stdout=subprocess.PIPE)
    assert done.stdout is not None
    child = int(await done.stdout.readline())
    await done.wait()

    try:
        async with SqliteCheckpointer(path) as store:
            await Owner.of(store)
    finally:
        os.kill(child, signal.SIGKILL)


async def test_writers_in_several_processes_leave_no_holes(store: SqliteCheckpointer, path: Path) -> None:
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(process(path)) for _ in range(3)]

        async def work(peer: Process) -> int:
            written = 0
            while written < 15:
                try:
                    epoch, head = await peer.call("acquire")
                except CallFailed:
                    await asyncio.sleep(0)
                    continue
                await peer.call("append", epoch=epoch, head=head)
                await peer.call("append", epoch=epoch, head=head + 1, is_release=True)
                written += 2
            return written

        written = await asyncio.gather(*map(work, peers))

    assert [record.sequence for record in await store.read(KEY)] == list(range(1, sum(written) + 1))


async def test_a_stale_writer_in_this_process_is_refused_too(store: SqliteCheckpointer, path: Path) -> None:
    """Two checkpointers of one process are two owners."""
    owner = await Owner.of(store, lease_seconds=3600)
    await owner.step()
    async with SqliteCheckpointer(path) as second:
        with pytest.raises(ThreadBusyError):
            await Owner.of(second)
        store.abandon(KEY, owner.epoch)
        await until_acquired(second)
        with pytest.raises(StaleOwnerError):
            await owner.step()
