import asyncio
import gc
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from taf.checkpointer import sqlite_file, sqlite_pulse, sqlite_worker
from taf.checkpointer.base import Change, Grant, Known, Posted, Record, Signal, Snapshot, ThreadKey
from taf.checkpointer.sqlite import SqliteCheckpointer
from taf.errors import (
    CheckpointerClosedError,
    CheckpointerError,
    ConfigError,
    StaleOwnerError,
    StoreUnavailableError,
    ThreadBusyError,
)
from taf.testing import CheckpointerContract
from taf.testing.store.owner import (
    HANG,
    KEY,
    OTHER,
    RUN,
    Owner,
    fill,
    load,
    make_interrupt,
    make_record,
    until,
    until_acquired,
)
from tests.checkpointer.watched_sqlite import Connection, by_hand, locked, of_writer, queued


class TestSqliteCheckpointer(CheckpointerContract):
    def make_store(self) -> SqliteCheckpointer:
        return SqliteCheckpointer(self.tmp_path / "threads.db")

    reopen_store = make_store


@pytest.fixture
def store(watched_sqlite: SqliteCheckpointer) -> SqliteCheckpointer:
    return watched_sqlite


def size_on_disk(path: Path) -> int:
    return sum(os.path.getsize(file) for file in path.parent.iterdir() if file.is_file())


# --- the file ---


@pytest.mark.parametrize("path", [":memory:", "", "file:x?mode=memory"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="InMemoryCheckpointer"):
        SqliteCheckpointer(path)


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="synchronous"):
        SqliteCheckpointer("x.db", synchronous="OFF")
    with pytest.raises(ConfigError, match="NUL"):
        SqliteCheckpointer("a\0b")


@pytest.mark.parametrize("kind", ["garbage", "folder", "file as folder", "newer"])
async def test_a_path_that_cannot_be_used_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.db"
    if kind == "garbage":
        path.write_bytes(b"this is no database, but long enough to look at" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "file as folder":
        path.write_text("")
        path = path / "y.db"
    else:
        with by_hand(path) as connection:
            connection.execute("PRAGMA user_version=99")

    async with SqliteCheckpointer(path) as store:
        for _ in range(2):
            for work in (Owner.of(store), store.load(KEY), store.threads()):
                with pytest.raises(StoreUnavailableError, match=r"could not open .*db"):
                    await work
        store.watch(KEY, print)()


async def test_a_store_becomes_usable_when_its_path_does(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    (tmp_path / "a").write_text("in the way")
    async with SqliteCheckpointer(folder / "x.db") as store:
        with pytest.raises(StoreUnavailableError):
            await Owner.of(store)
        (tmp_path / "a").unlink()
        await fill(store, 1)
    assert os.listdir(folder) == ["x.db"]


async def test_a_new_file_that_another_process_makes_ready_is_waited_for(path: Path) -> None:
    with by_hand(path) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        async with SqliteCheckpointer(path) as store:
            (task,) = await queued(fill(store, 1))
            await asyncio.sleep(0.03)
            connection.execute("COMMIT")
            await task


async def test_of_two_that_switch_a_new_file_at_once_both_succeed(
    store: SqliteCheckpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "refused_switches", 3)
    await fill(store, 1)
    assert not Connection.refused_switches


async def test_a_relative_path_stays_where_it_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with SqliteCheckpointer("x.db") as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        await fill(store, 1)
        await load(store)
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "x.db"]


async def test_two_names_of_one_file_exclude_each_other(store: SqliteCheckpointer, path: Path) -> None:
    owner = await Owner.of(store)
    await owner.step()
    link = path.parent / "link.db"
    link.symlink_to(path)
    async with SqliteCheckpointer(link) as second:
        with pytest.raises(ThreadBusyError):
            await Owner.of(second)


@pytest.mark.parametrize(("synchronous", "number"), [("FULL", 2), ("NORMAL", 1)])
async def test_commits_are_as_durable_as_asked(
    path: Path, connections: list[Connection], synchronous: Any, number: int
) -> None:
    async with SqliteCheckpointer(path, synchronous=synchronous) as store:
        await fill(store, 1)
        writer = of_writer(connections)
        assert writer.execute("PRAGMA synchronous").fetchone() == (number,)
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# --- transactions ---


async def test_writes_that_wait_share_one_commit(
    store: SqliteCheckpointer, path: Path, connections: list[Connection]
) -> None:
    owners = [await Owner.of(store, ThreadKey("", f"t{number}")) for number in range(10)]
    stale = owners[0].commit([make_record(9)], expected=8)
    writer = of_writer(connections)
    with locked(path):
        writer.statements.clear()
        works = [owner.step() for owner in owners]
        tasks = await queued(*works[:5], store.append(stale), Owner.of(store, owners[3].key), *works[5:])
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes if outcome != ()] == [StaleOwnerError, ThreadBusyError]
    # The first may have been on its way alone.
    assert writer.statements.count("COMMIT") <= 2
    assert all([len(await store.read(owner.key)) == 1 for owner in owners])


async def test_in_one_commit_too_a_thread_has_one_owner(store: SqliteCheckpointer, path: Path) -> None:
    first = await Owner.of(store)
    with locked(path):
        tasks = await queued(
            fill(store, 1, OTHER), first.step(is_release=True), *[Owner.of(store) for _ in range(3)], first.step()
        )
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(outcome).__name__ for outcome in outcomes[2:]] == [
        "Owner",
        "ThreadBusyError",
        "ThreadBusyError",
        "StaleOwnerError",
    ]


async def test_one_that_fails_half_written_takes_none_with_it(
    store: SqliteCheckpointer, path: Path, connections: list[Connection]
) -> None:
    first, bad, other = [await Owner.of(store, key) for key in (KEY, ThreadKey("", "bad"), OTHER)]
    writer = of_writer(connections)
    with locked(path):
        tasks = await queued(
            *(other.step(), first.step(is_release=True), Owner.of(store)),
            *(bad.append(make_record(1), make_record(1)), fill(store, 3, ThreadKey("", "new"))),
        )
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(outcome).__name__ for outcome in outcomes] == [
        *("tuple", "tuple", "Owner", "StoreUnavailableError", "NoneType")
    ]
    assert writer.statements.count("ROLLBACK TO batch") == 1
    assert [len(await store.read(key)) for key in (OTHER, KEY, bad.key)] == [1, 1, 0]
    with pytest.raises(ThreadBusyError):
        await Owner.of(store)
    with pytest.raises(StaleOwnerError):
        await first.step()
    heir = outcomes[2]
    assert isinstance(heir, Owner)
    await heir.step()
    await bad.step()


async def test_a_release_that_failed_with_the_claim_behind_it_keeps_its_lease(
    store: SqliteCheckpointer, path: Path, connections: list[Connection]
) -> None:
    owner = await Owner.of(store)
    await owner.step()
    writer = of_writer(connections)
    with locked(path):
        tasks = await queued(fill(store, 1, OTHER), owner.step(is_release=True), Owner.of(store))
        writer.failing = "COMMIT"
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[1:]] == [StoreUnavailableError] * 2
    writer.failing = ""

    owner.head = 1
    await owner.release()
    assert (await Owner.of(store)).head == 1


@pytest.mark.parametrize("statement", ["COMMIT", "INSERT INTO taf_journal", "UPDATE taf_threads SET head", "BEGIN"])
async def test_a_commit_that_fails_leaves_nothing(
    store: SqliteCheckpointer, path: Path, connections: list[Connection], statement: str
) -> None:
    owner = await Owner.of(store)
    await owner.step(snapshot=Snapshot(1, None, (b"one",)), interrupts=[make_interrupt("a")])
    owners = [owner, *[await Owner.of(store, ThreadKey("", f"t{number}")) for number in range(3)]]
    before = await load(store), await store.interrupts()
    told: list[Change] = []
    store.watch(KEY, told.append)
    writer = of_writer(connections)
    with locked(path):
        tasks = await queued(*[one.step(interrupts=[make_interrupt("b")]) for one in owners[::-1]])
        writer.failing = statement
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
    assert "disk I/O error" in str(outcomes[0])
    assert (await load(store), await store.interrupts()) == before
    assert [change.head for change in told] in ([], [1])
    writer.failing = ""
    for one in owners:
        await one.step()


async def test_a_thread_whose_grant_failed_is_free(store: SqliteCheckpointer, connections: list[Connection]) -> None:
    await fill(store, 1)
    writer = of_writer(connections)
    writer.failing = "COMMIT"
    for key in (KEY, OTHER):
        with pytest.raises(StoreUnavailableError, match='acquire thread "'):
            await Owner.of(store, key)
    writer.failing = ""

    await Owner.of(store)
    await Owner.of(store, OTHER)


async def test_a_thread_that_could_not_be_given_back_is_free(
    store: SqliteCheckpointer, connections: list[Connection]
) -> None:
    owner = await Owner.of(store)
    await owner.step()
    writer = of_writer(connections)
    writer.failing = "UPDATE taf_threads SET"
    with pytest.raises(StoreUnavailableError):
        await owner.release()
    store.abandon(KEY, owner.epoch)
    await store.delete(OTHER)
    writer.failing = ""

    assert not (await load(store)).is_owned
    await Owner.of(store)


async def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    store: SqliteCheckpointer, connections: list[Connection]
) -> None:
    owner, other = await Owner.of(store), await Owner.of(store, OTHER)
    await owner.step()
    before = await load(store)
    writer = of_writer(connections)
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count={pages + 3}")

    body = b"x" * 3000
    for _ in range(3):
        records = [make_record(number, body=body) for number in range(2, 20)]
        works = owner.append(*records, snapshot=Snapshot(19, None, (body,))), owner.append(*records)
        outcomes = await asyncio.gather(*works, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
        assert 'write to thread "thread": ' in str(outcomes[0])
        assert "full" in str(outcomes[0])
        assert await load(store) == before
        assert len(await store.read(KEY)) == 1

    writer.execute("PRAGMA max_page_count=1000000")
    owner.head = 1
    await owner.append(*records)
    await other.step()
    assert (await load(store)).head == 19


async def test_a_write_does_not_wait_for_ever_for_other_processes(path: Path) -> None:
    async with SqliteCheckpointer(path, busy_timeout=0.05) as store:
        owner = await Owner.of(store)
        with locked(path):
            with pytest.raises(StoreUnavailableError, match="locked"):
                await owner.step()
            await store.threads()
        await owner.step()


async def test_a_name_that_cannot_be_stored_is_told_in_our_words(store: SqliteCheckpointer) -> None:
    for work in (Owner.of(store, ThreadKey("", "\ud800")), store.load(ThreadKey("", "\ud800"))):
        with pytest.raises(CheckpointerError):
            await work
    owner = await Owner.of(store)
    with pytest.raises(CheckpointerError):
        await owner.append(make_record(2**63))
    await owner.step()


async def test_an_owner_that_has_not_noticed_its_loss_is_refused(
    store: SqliteCheckpointer, path: Path, connections: list[Connection]
) -> None:
    owner = await Owner.of(store, lease_seconds=0.05)
    await owner.step()
    await until(lambda: any(one.thread == "taf-sqlite-pulse" for one in connections))
    for connection in connections:
        connection.failing = "BEGIN IMMEDIATE" if connection.thread == "taf-sqlite-pulse" else ""
    async with SqliteCheckpointer(path) as second:
        heir = await until_acquired(second)
        with pytest.raises(StaleOwnerError):
            await owner.step(snapshot=Snapshot(2, None, (b"stale",)))
        with pytest.raises(StaleOwnerError):
            await owner.release()
        await heir.step()
        assert (await load(second))[1:7] == (2, "running", RUN, True, False, None)


# --- cancelled, and callers that are gone ---


async def test_a_cancelled_writer_learns_the_outcome_first(store: SqliteCheckpointer, path: Path) -> None:
    owner = await Owner.of(store)
    seen: list[object] = []

    async def write() -> None:
        seen.append(await owner.step())
        try:
            await asyncio.sleep(HANG)
        finally:
            seen.append("cancelled")

    with locked(path):
        (task,) = await queued(write())
        for _ in range(3):
            task.cancel("why")
            await asyncio.sleep(0.001)
        assert not task.done()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task

    assert (seen, caught.value.args) == ([(), "cancelled"], ("why",))
    assert len(await store.read(KEY)) == 1


async def test_a_failure_is_told_to_a_cancelled_writer_too(store: SqliteCheckpointer, path: Path) -> None:
    owner = await Owner.of(store)
    seen: list[str] = []

    async def write() -> None:
        try:
            await owner.append(make_record(9), expected=8)
        except StaleOwnerError:
            seen.append("stale")
        await asyncio.sleep(HANG)

    with locked(path):
        (task,) = await queued(write())
        task.cancel()
        await asyncio.sleep(0.001)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["stale"]


@pytest.mark.parametrize("kind", ["asyncio", "anyio"])
async def test_a_timeout_around_a_write_stays_a_timeout(store: SqliteCheckpointer, path: Path, kind: str) -> None:
    owner = await Owner.of(store)

    async def write() -> None:
        if kind == "asyncio":
            async with asyncio.timeout(0.01):
                await owner.step()
                await asyncio.sleep(HANG)
        else:
            with anyio.fail_after(0.01):
                await owner.step()
                await asyncio.sleep(HANG)

    with locked(path):
        (task,) = await queued(write())
        await asyncio.sleep(0.03)
        assert not task.done()
    with pytest.raises(TimeoutError):
        await task
    assert task.cancelling() == 0
    assert len(await store.read(KEY)) == 1


async def test_a_loop_that_was_closed_harms_nobody(store: SqliteCheckpointer, path: Path) -> None:
    await Owner.of(store, OTHER)
    loop = asyncio.new_event_loop()

    def run_and_close() -> None:
        task = loop.create_task(Owner.of(store))
        loop.run_until_complete(asyncio.sleep(0.001))
        loop.close()
        # Nobody hears of it any more; that is what is tried here.
        task._log_destroy_pending = False

    with locked(path):
        await asyncio.to_thread(run_and_close)
    await store.threads()
    await fill(store, 1, ThreadKey("", "next"))

    # What the loop had asked for is not owned by a ghost.
    await fill(store, 1)


# --- watching ---


async def test_no_change_is_told_twice(store: SqliteCheckpointer, path: Path) -> None:
    told: list[Change] = []
    owner = await Owner.of(store)
    store.watch(KEY, told.append)
    stranger: list[int] = []
    async with SqliteCheckpointer(path) as second:
        second.watch(KEY, lambda change: stranger.append(change.head))
        for head in range(1, 30):
            await owner.step()
            if not head % 10:
                await store.signal(KEY, Signal("steer", RUN))
            # Makes both look.
            await fill(second, 1, ThreadKey("", f"t{head}"))
        await until(lambda: stranger and stranger[-1] == 29)
        await asyncio.sleep(0.02)

    assert len(told) == 29 + 2
    assert [change.head for change in told] == sorted([*range(1, 30), 10, 20])
    assert stranger == sorted(stranger)
    assert len(stranger) <= 32


async def test_the_pulse_sleeps_when_there_is_nothing_to_do(store: SqliteCheckpointer) -> None:
    pulse = store._machinery.pulse
    await load_nothing(store)
    assert pulse._thread is None
    owner = await Owner.of(store, lease_seconds=0.03)
    unwatch = store.watch(KEY, print)
    await until(lambda: pulse._wakes_at < float("inf"))
    await owner.release()
    unwatch()

    await until(lambda: pulse._wakes_at == float("inf"))


async def test_those_who_watch_briefly_one_behind_the_other_do_not_wake_the_pulse_each(
    store: SqliteCheckpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    condition, last, woken_after = store._machinery.pulse._condition, 0.0, list[float]()
    notify = condition.notify

    def noting() -> None:
        woken_after.append(time.monotonic() - last)
        notify()

    monkeypatch.setattr(condition, "notify", noting)
    for _ in range(200):
        now = time.monotonic()
        store.watch(KEY, print, signals_only=True)()
        last = now
        await asyncio.sleep(sqlite_pulse.POLL_SECONDS / 5)
    assert min(woken_after, default=1.0) > sqlite_pulse.POLL_SECONDS  # on a busy machine they are not that near


async def test_where_looking_takes_long_it_is_done_less_often(
    store: SqliteCheckpointer, path: Path, connections: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_pulse, "SHARE", 1e-9)
    monkeypatch.setattr(sqlite_pulse, "LONGEST_PAUSE", 0.1)
    told: list[int] = []
    store.watch(KEY, lambda change: told.append(change.head))
    await asyncio.sleep(0.5)
    (pulse,) = [one for one in connections if one.thread == "taf-sqlite-pulse"]
    assert 1 <= len([text for text in pulse.statements if "data_version" in text]) <= 8
    async with SqliteCheckpointer(path) as elsewhere:
        await fill(elsewhere, 1)
    await until(lambda: told)


async def load_nothing(store: SqliteCheckpointer) -> None:
    assert await store.load(KEY) is None


async def test_a_pulse_that_fails_goes_on(store: SqliteCheckpointer, connections: list[Connection]) -> None:
    told: list[int] = []
    owner = await Owner.of(store, lease_seconds=0.03)
    store.watch(OTHER, lambda change: told.append(change.head))
    await until(lambda: any(one.thread == "taf-sqlite-pulse" for one in connections))
    (pulse,) = [one for one in connections if one.thread == "taf-sqlite-pulse"]
    pulse.failing = "BEGIN"
    await fill(store, 1, OTHER)
    pulse.statements.clear()
    await until(lambda: pulse.statements.count("BEGIN IMMEDIATE") > 1)
    pulse.failing = ""
    pulse.statements.clear()

    await until(lambda: "COMMIT" in pulse.statements and told)
    await owner.step()


# --- what others put into the file ---


async def test_hostile_rows_come_back_as_bytes(store: SqliteCheckpointer, path: Path) -> None:
    owner = await Owner.of(store)
    await owner.append(
        *[make_record(number, items=b"i") for number in range(1, 6)],
        snapshot=Snapshot(5, 1, (b"part",)),
        interrupts=[make_interrupt("a")],
    )
    await owner.release()
    with by_hand(path) as connection:
        for sequence, value in enumerate(["'text'", "42", "x'00ff'", "1.5", "CAST(x'80ff' AS TEXT)"], start=1):
            connection.execute(f"UPDATE taf_journal SET body = {value}, items = {value} WHERE sequence = {sequence}")
        connection.execute("UPDATE taf_snapshots SET body = 'text'")
        connection.execute("UPDATE taf_interrupts SET body = 7")

    hostile = [b"text", b"42", b"\x00\xff", b"1.5", b"\x80\xff"]
    stored = await load(store)
    assert [body for _, body in stored.items] == hostile
    assert stored.snapshot == Snapshot(5, 1, (b"text",))
    records = await store.read(KEY)
    assert [(record.body, record.items) for record in records] == [(body, body) for body in hostile]
    assert [row.body for row in await store.interrupts()] == [b"7"]
    known = await load(store, known=Known(stored.born, 3))
    assert [record.body for record in known.tail] == hostile[3:]


async def test_a_row_that_is_no_text_is_told_in_our_words(store: SqliteCheckpointer, path: Path) -> None:
    await fill(store, 1)
    with by_hand(path) as connection:
        connection.execute("UPDATE taf_threads SET status = CAST(x'80ff' AS TEXT)")

    for work in (store.load(KEY), Owner.of(store), store.threads()):
        with pytest.raises(CheckpointerError):
            await work


async def test_an_owner_in_the_file_names_no_other_file(store: SqliteCheckpointer, path: Path) -> None:
    await (await Owner.of(store)).step()
    precious = path.parent / "precious"
    precious.write_text("mine")
    with by_hand(path) as connection:
        connection.execute("UPDATE taf_threads SET owner = '../precious'")

    await Owner.of(store)
    assert precious.read_text() == "mine"


async def test_a_lease_of_another_boot_is_void(store: SqliteCheckpointer, path: Path) -> None:
    async with SqliteCheckpointer(path) as second:
        await (await Owner.of(second)).step()
        with pytest.raises(ThreadBusyError):
            await Owner.of(store)
        with by_hand(path) as connection:
            connection.execute("UPDATE taf_threads SET boot_id = 'before', lease_until = 1 << 62")
        await Owner.of(store)


async def test_what_is_stored_stays_in_proportion(path: Path) -> None:
    """400 steps of 1 kB: under three times the payload while it is written, log and all."""
    payload = 0
    async with SqliteCheckpointer(path) as store:
        owner = await Owner.of(store)
        for sequence in range(1, 401):
            items = os.urandom(1024)
            payload += len(items)
            await owner.append(Record(sequence, "step", "0" * 26, 1.0, b"[1,2,3]", items, sequence))
        assert size_on_disk(path) < 3 * payload
    assert size_on_disk(path) < 1.7 * payload


async def test_the_log_grows_with_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three quarters of it, within bounds, as long as the file is open and when it is opened again."""
    monkeypatch.setattr(sqlite_worker, "LOOK_EVERY", 8)
    monkeypatch.setattr(sqlite_file, "LOG_PAGES", (16, 256))

    async def log_of(store: SqliteCheckpointer) -> int:
        work = store._writer.run("look", lambda found: found.execute("PRAGMA wal_autocheckpoint").fetchone())
        (pages,) = await work
        return int(pages)

    async with SqliteCheckpointer(path) as store:
        owner = await Owner.of(store)
        found = [await log_of(store)]
        for _ in range(40):
            await owner.append(make_record(owner.head + 1, items=os.urandom(50_000)))
            found.append(await log_of(store))
    async with SqliteCheckpointer(path) as store:
        await store.load(KEY)
        await Owner.of(store)
        again = await log_of(store)

    assert (found[0], found[-1], again) == (16, 256, 256)
    assert found == sorted(found)
    assert any(16 < pages < 256 for pages in found)


async def test_an_old_snapshot_takes_no_room(path: Path) -> None:
    async with SqliteCheckpointer(path) as store:
        owner = await Owner.of(store)
        for _ in range(20):
            await owner.step(snapshot=Snapshot(owner.head + 1, None, (os.urandom(100_000),) * 2))
    assert size_on_disk(path) < 600_000


# --- signals ---


async def test_commits_that_find_no_signal_look_for_none(
    store: SqliteCheckpointer, connections: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    # To leave one to the thread, as for a slow disk, takes a statement that says how long to wait for others.
    monkeypatch.setattr(sqlite_worker, "PROMPT_SECONDS", 1000.0)
    owner = await Owner.of(store)
    await owner.step()
    writer = of_writer(connections)
    writer.statements.clear()
    await owner.step()
    await owner.append(make_record(3), is_release=True)
    assert [statement.split()[0] for statement in writer.statements] == ["BEGIN", "UPDATE", "INSERT", "COMMIT"] * 2


async def test_signals_of_a_thread_are_counted_to_the_last(
    store: SqliteCheckpointer, connections: list[Connection]
) -> None:
    def counted() -> tuple[int, int]:
        (count,) = writer.execute("SELECT signals FROM taf_threads").fetchone()
        (there,) = writer.execute("SELECT count(*) FROM taf_signals").fetchone()
        return count, there

    owner = await Owner.of(store)
    await owner.step()
    writer = of_writer(connections)
    assert await store.signal(KEY, Signal("stop", RUN))
    await store.post(KEY, Posted("steer", "m", 1.0, b"hello"), Signal("steer", ""))
    assert counted() == (2, 2)
    assert [signal.kind for signal in await owner.step(run_id="another")] == ["steer"]

    store.abandon(KEY, owner.epoch)
    await until(lambda: counted() == (0, 0))
    heir = await until_acquired(store)
    assert await heir.step() == ()


async def test_a_signal_to_a_run_outlives_an_owner_who_died_and_is_counted(path: Path) -> None:
    async with SqliteCheckpointer(path) as store:
        await (await Owner.of(store)).step()
        await store.signal(KEY, Signal("stop", RUN))
        await store.post(KEY, Posted("steer", "m", 1.0, b"hello"), Signal("steer", ""))
        with by_hand(path) as connection:
            connection.execute("UPDATE taf_threads SET boot_id = 'before'")
            connection.execute("UPDATE taf_threads SET owner = 'dead'")
        heir = await Owner.of(store)
        with by_hand(path) as connection:
            assert connection.execute("SELECT signals FROM taf_threads").fetchall() == [(1,)]
        assert [signal.kind for signal in await heir.step()] == ["stop"]
        await heir.release()
        with by_hand(path) as connection:
            assert connection.execute("SELECT signals FROM taf_threads").fetchall() == [(0,)]
            assert not connection.execute("SELECT * FROM taf_signals").fetchall()


# --- the end ---


async def test_every_call_after_the_end_is_refused(path: Path) -> None:
    store = SqliteCheckpointer(path)
    owner = await Owner.of(store)
    await owner.step()
    await store.aclose()
    await store.aclose()

    for work in (
        Owner.of(store),
        owner.step(),
        store.load(KEY),
        store.read(KEY),
        store.signal(KEY, Signal("stop", RUN)),
        store.interrupts(),
        store.threads(),
        store.delete(KEY),
    ):
        with pytest.raises(CheckpointerClosedError):
            await work
    with pytest.raises(CheckpointerClosedError):
        store.watch(KEY, print)
    store.abandon(KEY, owner.epoch)
    assert os.listdir(path.parent) == [path.name]


async def test_what_waits_is_written_before_the_end(path: Path) -> None:
    store = SqliteCheckpointer(path)
    owner = await Owner.of(store)
    commits = [owner.commit([make_record(number)], expected=number - 1) for number in range(1, 301)]
    tasks = await queued(*map(store.append, commits))

    store.close()

    await asyncio.gather(*tasks)
    async with SqliteCheckpointer(path) as store:
        assert (await load(store)).head == 300
        # The end is a death like any other.
        await Owner.of(store)


async def test_a_forgotten_store_ends_by_itself(path: Path, connections: list[Connection]) -> None:
    store = SqliteCheckpointer(path)
    owner: Owner | None = await Owner.of(store)
    await store.load(KEY)
    assert len(threads()) == 3

    del store
    owner = None
    gc.collect()

    await until(lambda: not threads())
    assert owner is None
    for connection in connections:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    assert os.listdir(path.parent) == [path.name]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("taf-sqlite")]


async def test_a_release_holds_though_a_claim_of_the_same_thread_shares_its_transaction_with_a_failure(
    tmp_path: Path,
) -> None:
    async with SqliteCheckpointer(tmp_path / "t.db") as store:
        await Owner.of(store, OTHER)
        owner = await Owner.of(store)
        for _ in range(40):
            await owner.step()
            first, heir, refused = await asyncio.gather(
                owner.release(),
                store.acquire(KEY, lease_seconds=15),
                store.acquire(OTHER, lease_seconds=15),
                return_exceptions=True,
            )
            assert not isinstance(first, BaseException), "whoever had the thread gave it back"
            assert isinstance(refused, ThreadBusyError)
            if isinstance(heir, ThreadBusyError):
                heir = await store.acquire(KEY, lease_seconds=15)
            assert isinstance(heir, Grant)
            owner = Owner(store, KEY, heir)
