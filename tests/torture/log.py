"""What the processes of a torture did, in one file: a line each, written at once, so that it survives who wrote it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from taf.checkpointer.base import BaseCheckpointer, Commit, Grant, Record, Row, Signal, ThreadKey
from taf.checkpointer.begins import Begins

CALL: ContextVar[float] = ContextVar("call")
"""When the call of the app began that runs here: what its run loads is not older."""


class Line(NamedTuple):
    """``at`` is the machine's monotonic clock, in seconds."""

    kind: str
    at: float
    pid: int
    thread: str
    data: Any


class Log:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "log"
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, kind: str, thread: str, data: Any = None) -> None:
        line = [kind, time.monotonic(), os.getpid(), thread, data]
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def lines(self) -> list[Line]:
        """Return all, in the order in which they were written."""
        return [Line(*json.loads(line)) for line in self._path.read_bytes().splitlines()]

    def following(self) -> Iterator[Line | None]:
        """Yield what there is, and None wherever that is all for now."""
        with self._path.open("rb") as file:
            while True:
                place, line = file.tell(), file.readline()
                if line.endswith(b"\n"):
                    yield Line(*json.loads(line))
                else:
                    file.seek(place)
                    yield None


def mark_of(record: Record) -> list[Any]:
    """Return what tells a record from another one in its place."""
    return [record.sequence, record.kind, crc32(record.body + (record.items or b""))]


def noting_steps(store: BaseCheckpointer, note: Callable[[ThreadKey, int, Record], None]) -> None:
    """Have a store note each step that it wrote at once: the thread, the epoch and the record."""
    append_now = store.append_now

    def noted(key: ThreadKey, epoch: int, expected: int, row: Row) -> Sequence[Signal] | None:
        signals = append_now(key, epoch, expected, row)
        if signals is not None:
            note(key, epoch, Record._make(row))
        return signals

    store.append_now = noted


def logged(store: BaseCheckpointer, log: Log, count: Callable[[int], None] = lambda more: None) -> None:
    """Have a store log each grant, and each commit once it is acknowledged; ``count`` how many threads are owned."""
    acquire, append = store.acquire, store.append

    async def noted_acquire(key: ThreadKey, **options: Any) -> Grant | None:
        grant = await acquire(key, **options)
        if grant is not None:
            log.write("grant", key.thread, grant.epoch)
            count(1)
        return grant

    async def noted_append(commit: Commit) -> Sequence[Signal]:
        signals = await append(commit)
        marks = [mark_of(record) for record in commit.records]
        log.write("wrote", commit.key.thread, [commit.epoch, marks, commit.is_release])
        count(-commit.is_release)
        return signals

    noting_steps(store, lambda key, epoch, record: log.write("wrote", key.thread, [epoch, [mark_of(record)], False]))
    for name, noted in {"acquire": noted_acquire, "append": noted_append}.items():
        setattr(store, name, noted)
    if not isinstance(store, Begins):
        return
    begin = store.begin

    async def noted_begin(first: Commit, **options: Any) -> Grant:
        grant = await begin(first, **options)
        log.write("grant", first.key.thread, grant.epoch)
        count(1)
        if grant.has_begun:
            log.write("wrote", first.key.thread, [grant.epoch, list(map(mark_of, first.records)), False])
        return grant

    store.begin = noted_begin
