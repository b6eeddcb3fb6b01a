"""Compares what the processes of a torture say with what the store holds, and counts what does not fit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

from taf import CompiledGraph, ExecutionStatus
from taf.checkpointer.base import Record, ThreadKey
from taf.errors import TafError
from tests.torture.log import CALL, Line, mark_of

FAULTS = ("lost", "holes", "doubled_steps", "doubled_effects", "shared_epochs", "mixed_runs", "wedged", "errors")
"""What every count of an audit holds that has to be 0."""


class Audit:
    """``counts`` has all of ``FAULTS``, and what was done; ``details`` says more of the faults."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self.counts = Counter[str]({name: 0 for name in FAULTS})
        self.details: list[str] = []

    def fault(self, name: str, what: object) -> None:
        self.counts[name] += 1
        if len(self.details) < 20:
            self.details.append(f"{name}: {what}")

    def of(self, kind: str) -> list[Line]:
        return [line for line in self._lines if line.kind == kind]

    # -- what the processes say among themselves ---------------------------------------------------

    def owners(self) -> None:
        """Each epoch was granted once, and each record was written under one, a later record under no earlier one."""
        granted = defaultdict[int, list[int]](list)
        for line in self.of("grant"):
            granted[line.data].append(line.pid)
        self.counts["epochs"] = len(granted)
        for epoch, owners in granted.items():
            if len(owners) > 1:
                self.fault("shared_epochs", f"{epoch} of {owners}")
        wrote = defaultdict[str, list[tuple[int, int]]](list)
        for line in self.of("wrote"):
            epoch, marks, _ = line.data
            wrote[line.thread] += [(mark[0], epoch) for mark in marks]
        for thread, written in wrote.items():
            for (before, earlier), (sequence, later) in pairwise(sorted(written)):
                if before == sequence:
                    self.fault("doubled_steps", f"{thread} {sequence} by {earlier} and {later}")
                elif earlier > later:
                    self.fault("shared_epochs", f"{thread} {sequence}: {later} after {earlier}")

    def effects(self) -> None:
        """What a task returned is its result for ever, and no call that began later had the effect again."""
        kept = dict[str, tuple[float, str]]()
        for line in self.of("kept"):
            at, token = kept.setdefault(line.thread, (line.at, line.data))
            if token != line.data:
                self.fault("doubled_effects", f"{line.thread}: {token} at {at}, {line.data}")
        times = Counter[str]()
        for line in self.of("effect"):
            _, began = line.data
            times[line.thread] += 1
            if line.thread in kept and began > kept[line.thread][0]:
                self.fault("doubled_effects", f"{line.thread} again by {line.pid}")
        self.counts["effects"] = len(times)
        self.counts["unrecorded_effects"] = times.total() - len(times)

    def failures(self) -> None:
        for line in self.of("error"):
            self.fault("errors", f"{line.thread} {line.data}")

    # -- what the store holds ----------------------------------------------------------------------

    async def store(self, app: CompiledGraph, *, has_effects: bool = True) -> None:
        """Bring every thread to its end, and compare it with what was seen and acknowledged."""
        self._acknowledged = defaultdict[str, list[list[Any]]](list)
        for line in self.of("wrote"):
            self._acknowledged[line.thread] += line.data[1]
        self._seen = defaultdict[str, list[Any]](list)
        for line in self.of("saw"):
            self._seen[line.thread].append(line.data)
        self._kept = {line.thread: line.data for line in self.of("kept")} if has_effects else {}
        threads, cursor = set[str](), ""
        while rows := await app.athreads(after=cursor):
            threads |= {row.thread_id for row in rows}
            cursor = rows[-1].cursor
        for thread in sorted(threads | self._acknowledged.keys()):
            self.counts["threads"] += 1
            await self._thread(app, thread)

    async def _thread(self, app: CompiledGraph, thread: str) -> None:
        CALL.set(0.0)
        try:
            await finish(app, thread)
        except (TafError, TimeoutError) as error:
            self.fault("wedged", f"{thread}: {error!r}")
            return
        events = [event async for event in app.aevents({"thread_id": thread})]
        if [event.sequence for event in events] != list(range(1, len(events) + 1)):
            self.fault("holes", f"{thread}: {[event.sequence for event in events]}")
        runs = [run_id for run_id, _ in groupby(events, key=lambda event: event.run_id)]
        if len(runs) != len(set(runs)):
            self.fault("mixed_runs", f"{thread}: {runs}")
        self.counts["steps"] += sum(event.event_type == "node_completed" for event in events)
        self._trail(thread, (await app.aget_state({"thread_id": thread})).state.trail)
        marks = {record.sequence: mark_of(record) for record in await _records(app, thread)}
        for mark in self._acknowledged.get(thread, ()):
            self.counts["acknowledged"] += 1
            if marks.get(mark[0]) != mark:
                self.fault("lost", f"{thread}: {mark}, there is {marks.get(mark[0])}")

    def _trail(self, thread: str, trail: Sequence[str]) -> None:
        if [int(entry.split()[0]) for entry in trail] != list(range(len(trail))):
            self.fault("doubled_steps", f"{thread}: {trail}")
        for index, entry in self._seen.get(thread, ()):
            if trail[index : index + 1] != [entry]:
                self.fault("lost", f"{thread}: {entry} was seen, there is {trail[index : index + 1]}")
        for index, entry in enumerate(trail):
            token = self._kept.get(f"{thread}/{index}")
            if token not in (None, entry.split()[1]):
                self.fault("doubled_effects", f"{thread}: {token} was recorded, there is {entry}")


async def finish(app: CompiledGraph, thread: str) -> None:
    """Bring a thread to the end of a pass, whatever it waits for. Raise ``TafError`` when it cannot be."""
    config = {"thread_id": thread}
    for _ in range(5):
        found = await app.aget_state(config)
        if found.status is ExecutionStatus.COMPLETED:
            break
        await (app.aresume(config, 1) if found.interrupts else app.ainvoke(None, config))
    await app.ainvoke({}, config)


async def _records(app: CompiledGraph, thread: str) -> list[Record]:
    found, key = list[Record](), ThreadKey("", thread)
    while more := await app.checkpointer.read(key, found[-1].sequence if found else 0):
        found += more
    return found
