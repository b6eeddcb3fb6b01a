"""What people do to the threads of one seed, from several processes; and how all is brought to rest in the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from taf import CompiledGraph, Context
from taf.checkpointer.base import Change, ThreadKey
from taf.checkpointer.watches import Place as Moment
from taf.errors import (
    AnswerError,
    NothingToResumeError,
    StaleOwnerError,
    StoreUnavailableError,
    ThreadBusyError,
    UnknownThreadError,
)
from taf.graph.result import RunResult
from taf.state import ExecutionStatus
from tests.simulation.database import Database
from tests.simulation.graphs import KINDS, Flaky, Outside
from tests.simulation.judge import Judge
from tests.simulation.store import SimulatedCheckpointer
from tests.simulation.world import Line, Process, World

LEASE_SECONDS = 2.0
BUSY_SECONDS = 12.0
"""For how many seconds faults come and people act."""
LATE_SECONDS = 5.0
"""How long a request may be on its way after its caller has given up: what is looked at then stays as it is."""

REST_SECONDS = 120.0
"""Within how many seconds of quiet everything has to be at rest."""
ATTEMPTS = 60

EXPECTED = (
    AnswerError,
    Flaky,
    NothingToResumeError,
    StaleOwnerError,
    StoreUnavailableError,
    ThreadBusyError,
    UnknownThreadError,
)
"""What a call may raise in a world like this: a node's own error, and taf's."""

Act = Callable[["Agent"], Awaitable[None]]


class Scenario:
    """One graph in several processes, which share a database."""

    def __init__(self, world: World, bug: str | None) -> None:
        chance = world.chance
        self.world, self.name = world, chance.choice(list(KINDS))
        self.kind = KINDS[self.name]
        self.judge = Judge(world)
        self.database = Database(world.clock, observer=self.judge, bug=bug)
        self.database.announce = self._announce
        self.outside = Outside(world, bug, self._head)
        self.threads = [f"t{number}" for number in range(chance.choice((1, 1, 2)))]
        self.slots = chance.choice((2, 3))
        self.apps: dict[Process, CompiledGraph] = {}
        self.stores: dict[Process, SimulatedCheckpointer] = {}
        self.is_healing = False
        self.answers: dict[int, tuple[str, bool]] = {}
        self.acts: Counter[str] = Counter()
        self.stops: Counter[tuple[Process, str]] = Counter()
        self.done: list[tuple[str, str]] = []
        self.kept: list[tuple[str, str]] = []
        self.seen: dict[str, dict[str, tuple[str, ...]]] = {}
        self._numbers = 0
        world.on_kill, world.on_restart = self._killed, self._restarted

    def number(self) -> int:
        """Return a number that was not there before."""
        self._numbers += 1
        return self._numbers

    # -- processes ---------------------------------------------------------------------------------

    def boot(self, slot: int, agents: int = 2) -> Process:
        """Start a process: its store with a heartbeat, its app, and those who use it."""
        process = self.world.start(slot)
        store = SimulatedCheckpointer(self.database, Line(process), process.name, process.wall_clock)
        self.stores[process] = store
        self.apps[process] = self.kind.graph.compile(
            store,
            interrupt_before=self.kind.before,
            interrupt_after=self.kind.after,
            lease_seconds=LEASE_SECONDS,
            clock=process.wall_clock,
        )
        process.loop.call_soon(lambda: process.loop.create_task(store.beat()))
        for _ in range(agents):
            process.spawn(Agent(self, process).live())
        return process

    def _killed(self, process: Process) -> None:
        del self.apps[process], self.stores[process]
        self.judge.dead.add(process.name)
        if self.world.chance.random() < 0.5:  # its connection breaks; otherwise only its lease tells
            self.world.at(self.world.delay(), lambda: self.database.disconnect(process.name))

    def _restarted(self, slot: int) -> None:
        self.boot(slot, 0 if self.is_healing else 2)

    def _announce(self, key: ThreadKey, place: Moment, change: Change) -> None:
        world, faults = self.world, self.world.faults
        for process, store in self.stores.items():
            is_wanted = store.watches.wants(key, has_signals=bool(change.signals))
            if not is_wanted or faults.happens("lost notification"):
                continue
            delays = [world.delay()]
            if faults.happens("late notification"):
                delays = [world.chance.uniform(0.1, 3.0)]
            if faults.happens("doubled notification"):
                delays.append(world.chance.uniform(0.0, 1.0))
            for delay in delays:
                tell = _telling(store, key, place, change)
                world.at(delay, lambda process=process, tell=tell: process.post(tell))

    def _head(self, context: Context) -> tuple[int, bool]:
        ledger: Any = context.host._ledger
        row = self.database.rows.get(ledger.key)
        return (0, False) if row is None else (row.head, row.epoch == ledger._epoch)

    # -- from the first call to the rest -----------------------------------------------------------

    def play(self) -> None:
        """Let people act and things fail; then let nothing fail, and bring every thread to its end."""
        world = self.world
        for slot in range(self.slots):
            self.boot(slot)
        world.run(lambda: False, until=BUSY_SECONDS)
        self.is_healing = True
        world.faults.end()
        for process in world.processes:
            process.cut_off_until = 0.0
        if not world.run(self._all_are_back, until=world.now + REST_SECONDS):
            hanging = [process.name for process in world.processes for task in process.tasks if not task.done()]
            world.violate("liveness", f"calls do not come back in {hanging}")
            return
        world.run(lambda: False, until=world.now + LATE_SECONDS)
        closer = Agent(self, self.boot(self.slots, 0))
        tasks = [closer.process.spawn(closer.bring_to_rest(thread)) for thread in self.threads]
        if not world.run(lambda: all(task.done() for task in tasks), until=world.now + REST_SECONDS):
            world.violate("liveness", f"{self.threads} cannot be brought to rest")
        for process in [*world.processes]:
            tasks = [process.spawn(Agent(self, process).compare(thread)) for thread in self.threads]
            if not world.run(lambda tasks=tasks: all(task.done() for task in tasks), until=world.now + REST_SECONDS):
                world.violate("liveness", f"{process.name} cannot read")

    def _all_are_back(self) -> bool:
        slots = {process.slot for process in self.world.processes if not process.is_paused}
        return len(slots) == self.slots and all(t.done() for p in self.world.processes for t in p.tasks)


def _telling(store: SimulatedCheckpointer, key: ThreadKey, place: Moment, change: Change) -> Callable[[], None]:
    return lambda: store.watches.tell(key, place, change)


class Agent:
    """Somebody who uses an app in one process, one call after another."""

    def __init__(self, scenario: Scenario, process: Process) -> None:
        self.scenario, self.process, self.app = scenario, process, scenario.apps[process]
        self.chance, self.world = scenario.world.chance, scenario.world

    async def live(self) -> None:
        """Act at random until the time is over."""
        while not self.scenario.is_healing:
            await asyncio.sleep(self.chance.uniform(0.0, 1.2))
            name = self.chance.choices(list(ACTS), WEIGHTS)[0]
            await self.act(name, self.chance.choice(self.scenario.threads))

    async def act(self, name: str, thread: str) -> None:
        """Do one thing, and see that only the expected comes of it."""
        self.scenario.acts[name] += 1
        self.world.note(self.process.name, f"{name} {thread}")
        try:
            outcome = await ACTS[name](self, thread)
        except EXPECTED as error:
            outcome = type(error).__name__
        except Exception as error:
            if not self.process.is_alive:
                raise
            outcome = repr(error)
            self.world.violate("errors", f"{name} {thread}: {error!r}")
        self.world.note(self.process.name, f"{name} {thread}: {outcome}")

    def config(self, thread: str) -> dict[str, Any]:
        return {"thread_id": thread, "run_id": f"r{self.scenario.number()}"}

    def _told(self, result: RunResult) -> str:
        """Remember what a call said, to hold it against what is stored."""
        status = result.status.value
        if result.run_id:  # otherwise it was stopped before it began
            self.scenario.done.append((result.run_id, status))
        return status

    # -- acts --------------------------------------------------------------------------------------

    def given(self) -> dict[str, Any]:
        return {"trail": [f"input {self.scenario.number()}"]}

    async def invoke(self, thread: str) -> str:
        given, config = self.given(), self.config(thread)
        result = await self.app.ainvoke(given, config)
        if result.run_id == config["run_id"]:  # otherwise it was stopped before it began
            self.scenario.kept.append((thread, given["trail"][0]))
        return self._told(result)

    async def go_on(self, thread: str) -> str:
        return self._told(await self.app.ainvoke(None, self.config(thread)))

    async def lose_patience(self, thread: str) -> str:
        try:
            async with asyncio.timeout(self.chance.uniform(0.01, 1.0)):
                return self._told(await self.app.ainvoke(self.given(), self.config(thread)))
        except TimeoutError:
            return "timeout"

    async def submit(self, thread: str) -> str:
        given, stops = self.given(), self.scenario.stops[self.process, thread]
        receipt = await self.app.asubmit(given, self.config(thread))
        if stops == self.scenario.stops[self.process, thread]:  # otherwise it may have been stopped before it began
            self.scenario.kept.append((thread, given["trail"][0]))
        return f"joined {(await self.app.ajoin({'thread_id': thread}, receipt.run_id)).status.value}"

    async def stream(self, thread: str) -> str:
        """Read a stream, and perhaps not to its end. All that it tells is stored by then."""
        left, key = self.chance.choice((1, 3, 100)), ThreadKey("", thread)
        async for event in self.app.astream(self.given(), self.config(thread)):
            row = self.scenario.database.rows.get(key)
            if event.committed and (row is None or row.head < event.sequence):
                self.world.violate("durability", f"{event} was told before it was stored")
            left -= 1
            if not left:
                break
        return "read"

    async def answer(self, thread: str) -> str:
        snapshot = await self.app.aget_state({"thread_id": thread})
        if not snapshot.interrupts:
            return "nothing asked"
        record, number = self.chance.choice(snapshot.interrupts), self.scenario.number()
        self.scenario.answers[number] = (record.id, False)
        given = {"answer": number} if record.is_question else {}
        result = await self.app.aresume(self.config(thread), interrupt_id=record.id, by=self.process.name, **given)
        self.scenario.answers[number] = (record.id, record.is_question)
        return self._told(result)

    async def stop(self, thread: str) -> str:
        self.scenario.stops[self.process, thread] += 1
        status = await self.app.astop({"thread_id": thread})
        if status["ok"] and status["run_id"] is not None:
            self.scenario.judge.stopped.add(status["run_id"])
        return f"{status['ok']} {status['status']} {status['reason']}"

    async def recover(self, thread: str) -> str:
        outcome = await self.app.arecover()
        for error in outcome.failed.values():
            if not isinstance(error, EXPECTED):
                self.world.violate("errors", f"recover {thread}: {error!r}")
        return f"{len(outcome.results)} went on"

    # -- the end -----------------------------------------------------------------------------------

    async def bring_to_rest(self, thread: str) -> None:
        """Do what it takes until the thread is complete."""
        for _ in range(ATTEMPTS):
            row = self.scenario.database.rows.get(ThreadKey("", thread))
            if row is None or not row.head or row.status == ExecutionStatus.COMPLETED:
                return
            if row.status == ExecutionStatus.RUNNING:
                await self.act("recover", thread)
            else:
                await self.act("answer" if row.status.startswith("interrupted") else "go_on", thread)
            await asyncio.sleep(0.25)
        self.world.violate("liveness", f"{thread} is still {row.status}")

    async def compare(self, thread: str) -> None:
        """See that this process has the thread as the others have it, whatever it remembers."""
        row = self.scenario.database.rows.get(ThreadKey("", thread))
        if row is None or not row.head:
            return
        snapshot = await self.app.aget_state({"thread_id": thread})
        trail = tuple(snapshot.state.trail)
        self.scenario.seen.setdefault(thread, {})[self.process.name] = trail


ACTS: dict[str, Any] = {
    "invoke": Agent.invoke,
    "go_on": Agent.go_on,
    "lose_patience": Agent.lose_patience,
    "submit": Agent.submit,
    "stream": Agent.stream,
    "answer": Agent.answer,
    "stop": Agent.stop,
    "recover": Agent.recover,
}
WEIGHTS = (6, 3, 1, 2, 1, 8, 2, 2)
