"""A frozen owner's successor is killed, and the owner comes back as a zombie: before, or after, a third one goes on.

Run as ``python -m tests.torture.zombies FOLDER PLACE ROUNDS``; prints its counts as JSON.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import random
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal

from taf.errors import StaleOwnerError, ThreadBusyError
from tests.freezing import freeze_aside, thaw
from tests.torture.audit import Audit
from tests.torture.herd import end_all, fork, kill, report
from tests.torture.log import Log
from tests.torture.tally import call, opened

LEASE, HANG = 0.4, 60.0
AT_ONCE = 4
Condition = Callable[[], object]
Part = Literal[0, 1, 2]
ZOMBIE, SUCCESSOR, THIRD = 0, 1, 2


class Round:
    """One thread and its three owners. ``play`` yields what it waits for, so that rounds are played side by side."""

    def __init__(self, place: str, log: Log, number: int) -> None:
        self.place, self.log, self.thread = place, log, f"r{number}"
        self.held = mmap.mmap(-1, 3)  # shared: who has the thread
        self.has_held = mmap.mmap(-1, 3)  # shared: who has had it, be it for less time than there is between two looks
        self.is_ending = mmap.mmap(-1, 1)
        self.children = list[int]()

    def own(self, part: Part) -> int:
        """Run the thread again and again in a process of its own, until it is lost or told to end."""

        def count(more: int) -> None:
            if more:
                self.held[part] = more > 0
                self.has_held[part] = 1

        async def work() -> None:
            random.seed(os.getpid())
            async with opened(self.place, self.log, lease=15 if part else LEASE, pause=0.02, count=count) as app:
                while True:
                    try:
                        await call(app, self.thread, {})
                    except ThreadBusyError:
                        await asyncio.sleep(0.005)
                        continue
                    except StaleOwnerError:
                        self.log.write("stale", self.thread)
                        return
                    if part == THIRD or self.is_ending[0]:
                        return

        self.children.append(fork(work))
        return self.children[-1]

    def note_ends(self) -> None:
        """Forget who has ended. Raise for one that failed: whoever waits for what it should do would wait for ever."""
        for child in list(self.children):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                self.children.remove(child)
                assert status == 0, f"a process of {self.thread} ended with {status}"

    def freeze(self, zombie: int) -> Generator[Condition, None, None]:
        """Stop a process at some moment at which it has the thread, and not all of a SQLite database."""
        while True:
            yield lambda: self.held[ZOMBIE]
            time.sleep(random.uniform(0, 0.05))
            freeze_aside(zombie, self.place)
            if self.held[ZOMBIE]:
                return
            thaw(zombie)

    def play(self) -> Generator[Condition, None, None]:
        zombie = self.own(ZOMBIE)
        yield from self.freeze(zombie)
        successor = self.own(SUCCESSOR)
        yield lambda: self.held[SUCCESSOR]
        time.sleep(random.uniform(0, 0.05))
        kill(successor)
        self.children.remove(successor)
        self.is_ending[0] = 1
        first = random.choice(["zombie", "third"])
        if first == "zombie":
            thaw(zombie)
        self.own(THIRD)
        if first == "third":
            if random.random() < 0.5:
                yield lambda: self.has_held[THIRD]
            thaw(zombie)
        yield lambda: not self.children
        self.log.write("round", self.thread, first)


def play(rounds: list[Round]) -> None:
    """Play some rounds at a time."""
    waiting, playing = rounds[::-1], list[tuple[Round, Generator[Condition, None, None], Condition, float]]()
    try:
        while waiting or playing:
            while waiting and len(playing) < AT_ONCE:
                one = waiting.pop()
                playing.append((one, one.play(), lambda: True, time.monotonic()))
            for entry in list(playing):
                one, course, condition, began = entry
                one.note_ends()
                assert time.monotonic() - began < HANG, f"{one.thread} does not end"
                if condition():
                    playing.remove(entry)
                    following = next(course, None)
                    if following is not None:
                        playing.append((one, course, following, began))
            time.sleep(0.002)
    finally:
        end_all([child for one in rounds for child in one.children])


async def audit(place: str, log: Log) -> dict[str, Any]:
    found = Audit(log.lines())
    found.owners()
    found.effects()
    found.failures()
    async with opened(place, log, pause=1e-6) as app:
        await found.store(app)
    assert not found.details, "\n".join(found.details)
    order = [line.data for line in found.of("round")]
    return {
        "rounds": len(order),
        "zombie_first": order.count("zombie"),
        "stale": len(found.of("stale")),
        **found.counts,
    }


if __name__ == "__main__":
    log = Log(Path(sys.argv[1]))
    play([Round(sys.argv[2], log, number) for number in range(int(sys.argv[3]))])
    report(asyncio.run(audit(sys.argv[2], log)))
