"""Processes, one clock, and lines to the database; the seed decides whose turn it is, and what fails."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import random
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any, TypeVar

from taf.checkpointer.outcome import Outcome
from tests.simulation.faults import Faults
from tests.simulation.loop import SimulatedLoop

T = TypeVar("T")

TURN_LIMIT = 400_000
"""How many callbacks a seed may take before it counts as wedged."""

QUICK, SLOW = (0.0005, 0.02), (0.05, 3.0)
"""How many seconds a message is on its way, and how long until a lost one is given up."""


class Gone(BaseException):
    """Raised where a process that is dead calls out."""


class Process:
    """One operating-system process. Killed, it never runs again; paused, all of it stands still."""

    def __init__(self, world: World, slot: int, number: int) -> None:
        self.world, self.slot, self.number = world, slot, number
        self.name = f"p{slot}.{number}"
        self.is_alive, self.is_paused, self.cut_off_until = True, False, 0.0
        self.wall_offset = 0.0
        self.loop = SimulatedLoop(world.clock, self._complain)
        self.tasks: list[asyncio.Task[Any]] = []

    def _complain(self, what: str) -> None:
        if self.is_alive:
            self.world.violate("complaints", f"{self.name}: {what}")

    def wall_clock(self) -> float:
        """Return seconds since 1970, as this machine has it."""
        return 1.7e9 + self.world.now + self.wall_offset

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin a task in this process."""
        task = self.loop.create_task(work)
        self.tasks.append(task)
        return task

    def post(self, callback: Callable[[], object]) -> None:
        """Have something arrive here: if it is paused, once it goes on; if it is dead, never."""
        if self.is_alive:
            self.loop.call_soon(callback)


class World:
    """Everything there is, in one OS thread. ``boot`` starts what a new process runs."""

    def __init__(self, seed: int) -> None:
        self.seed, self.now, self.turns = seed, 0.0, 0
        self.chance = random.Random(seed)
        self.faults = Faults(self.chance)
        self.processes: list[Process] = []
        self.violations: list[tuple[str, str]] = []
        self.trace: list[tuple[float, str, str]] = []
        self.on_kill: Callable[[Process], None] = lambda process: None
        self.on_restart: Callable[[int], None] = lambda slot: None
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers, self._process_numbers = count(), count()
        self._schedule = bytearray()

    def clock(self) -> float:
        """Return the one time that goes at the same pace for all."""
        return self.now

    # -- what is written down ----------------------------------------------------------------------

    def note(self, who: str, what: str) -> None:
        """Write down what happened."""
        self.trace.append((self.now, who, what))

    def violate(self, invariant: str, what: str) -> None:
        """Write down that an invariant does not hold."""
        self.violations.append((invariant, what))
        self.note("!!", f"{invariant}: {what}")

    def digest(self) -> str:
        """Return a hash of all that happened, in its order."""
        lines = "\n".join(f"{now:.9f} {who} {what}" for now, who, what in self.trace)
        return hashlib.sha256(bytes(self._schedule) + lines.encode()).hexdigest()[:16]

    # -- processes ---------------------------------------------------------------------------------

    def start(self, slot: int) -> Process:
        """Start a process in a slot."""
        process = Process(self, slot, next(self._process_numbers))
        self.processes.append(process)
        self.note(process.name, "starts")
        return process

    def kill(self, process: Process) -> None:
        """End a process between two of its turns. Its slot gets another one, some time later."""
        process.is_alive = False
        self.note(process.name, "is killed")
        self.processes.remove(process)
        self.on_kill(process)
        process.loop.vanish()
        self.at(self.chance.uniform(0.05, 4.0), lambda: self.on_restart(process.slot))

    def pause(self, process: Process, seconds: float) -> None:
        """Let a process stand still."""
        process.is_paused = True
        self.note(process.name, f"pauses for {seconds:.3f}")

        def go_on() -> None:
            process.is_paused = False
            self.note(process.name, "goes on")

        self.at(seconds, go_on)

    def _strike(self, process: Process, kind: str) -> None:
        chance = self.chance
        if kind == "kill":
            self.kill(process)
        elif kind == "pause":
            self.pause(process, chance.uniform(0.1, 6.0))
        elif kind == "partition":
            process.cut_off_until = self.now + chance.uniform(0.1, 6.0)
            self.note(process.name, f"is cut off until {process.cut_off_until:.3f}")
        else:
            process.wall_offset = chance.uniform(-1e6, 1e6)
            self.note(process.name, f"clock jumps by {process.wall_offset:.0f}")

    def end(self) -> None:
        """Throw away what is left."""
        for process in self.processes:
            process.is_alive = False
            process.loop.vanish()

    # -- time --------------------------------------------------------------------------------------

    def at(self, delay: float, callback: Callable[[], object]) -> None:
        """Have something happen outside of all processes."""
        heapq.heappush(self._events, (self.now + delay, next(self._numbers), callback))

    def run(self, is_over: Callable[[], bool], *, until: float) -> bool:
        """Go on until it is over. Return False when it is not by then, or never will be."""
        while not is_over():
            if self.now > until or self.turns > TURN_LIMIT or not self._go_on():
                return False
        return True

    def _go_on(self) -> bool:
        ready = [process for process in self.processes if process.loop._ready and not process.is_paused]
        if not ready:
            return self._pass_time()
        process = ready[0] if len(ready) == 1 else ready[int(self.chance.random() * len(ready))]
        self.turns += 1
        kind = self.faults.strike()
        if kind is None:
            self._schedule.append(process.number & 255)
            process.loop.turn()
        else:
            self._strike(process, kind)
        return True

    def _pass_time(self) -> bool:
        waking = [process.loop for process in self.processes if not process.is_paused]
        times = [when for loop in waking if (when := loop.next_timer()) is not None]
        if self._events:
            times.append(self._events[0][0])
        if not times:
            return False
        self.now = max(self.now, min(times))
        while self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()
        for process in self.processes:
            if not process.is_paused:
                process.loop.wake_timers(self.now)
        return True

    # -- messages ----------------------------------------------------------------------------------

    def delay(self) -> float:
        """Return how long a message is on its way."""
        return self.chance.uniform(*QUICK)


class Answer(Outcome[T]):
    """What comes of a request."""

    drivers = (ConnectionError,)


class Line:
    """A process's line to the database. Messages may overtake each other, get lost, and come twice."""

    def __init__(self, process: Process) -> None:
        self._process, self._world = process, process.world

    async def call(
        self, what: str, work: Callable[[], T], after: Callable[[T], object] | None = None, *, may_double: bool = False
    ) -> T:
        """Have the database do something, and wait for the answer. Raise ``StoreUnavailableError`` if none comes.

        ``after`` is called in the process with the answer, though the caller be cancelled meanwhile.
        """
        outcome: Answer[T] = Answer(what, self._process.loop)

        def answer(results: Sequence[T], error: Exception | None) -> None:
            if error is None:
                if after is not None:
                    after(results[0])
                outcome.result = results[0]
            else:
                outcome.fail(error)
            outcome.wake()

        self.send(what, work, lambda results, error: self._process.post(lambda: answer(results, error)), may_double)
        return await outcome.wait()

    def send(
        self,
        what: str,
        work: Callable[[], T],
        answer: Callable[[Sequence[T], Exception | None], object] = lambda results, error: None,
        may_double: bool = False,
    ) -> None:
        """Send a request, and have ``answer`` called with a result or an error, unless the process is dead."""
        process, world = self._process, self._world
        if not process.is_alive:
            raise Gone
        faults, chance, who = world.faults, world.chance, process.name
        lost = next((kind for kind in ("lost request", "lost answer", "late request") if faults.happens(kind)), None)
        if world.now < process.cut_off_until:
            lost = "lost request" if chance.random() < 0.5 else "lost answer"

        def do(answers: bool) -> None:
            results, error = _done(work)
            world.note(who, f"{what}: {error!r}" if error else what)
            if answers:
                world.at(world.delay(), lambda: answer(results, error))

        if lost is not None:
            world.note(who, f"{lost}: {what}")
            patience = chance.uniform(*SLOW)
            world.at(patience, lambda: answer((), ConnectionError(lost)))
            if lost != "lost request":
                world.at(world.delay() + (patience if lost == "late request" else 0), lambda: do(False))
            return
        world.at(world.delay(), lambda: do(True))
        if may_double and faults.happens("doubled request"):
            world.at(chance.uniform(0.0, 0.5), lambda: do(False))


def _done(work: Callable[[], T]) -> tuple[Sequence[T], Exception | None]:
    try:
        return (work(),), None
    except Exception as error:
        return (), error
