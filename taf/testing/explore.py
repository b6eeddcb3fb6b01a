"""Explorers: they run a graph once for every place where it can be cut, and say where the end is another.

A cut is a crash at an append of the store, or a stop, or one more breakpoint. Behind it a fresh app goes on, as another
process would, until the thread rests. Then its end is compared with that of an undisturbed run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from taf.checkpointer.base import BaseCheckpointer
from taf.checkpointer.memory import InMemoryCheckpointer
from taf.errors import ConfigError
from taf.graph import StateGraph
from taf.graph.context import running_loop
from taf.state.interrupts import InterruptKind
from taf.state.renaming import gate_reason
from taf.testing.cuts import CutStore, Watch
from taf.testing.human import Answers
from taf.testing.report import Failure, Report
from taf.testing.scenario import (
    CONFIG,
    Broken,
    Build,
    Explorer,
    MakeStore,
    Scenario,
    history_of,
    require_acknowledged,
    require_kept,
    require_linear,
    require_not_repeated,
    require_same,
)

PATIENCE = 30.0
"""How many seconds a run may take that was cut."""


async def acrash_at(
    graph: StateGraph | Build,
    input: Any = None,
    *,
    answers: Answers | None = None,
    store: MakeStore = InMemoryCheckpointer,
    fresh: Callable[[], object] | None = None,
    world: Callable[[], Any] | None = None,
    same: Callable[[Any], Any] | None = None,
    check: bool = True,
) -> Report:
    """Crash a run at every append of its store: before it is written, and when only its answer is lost.

    ``graph`` is compiled with each store, or a function does so. ``answers`` are those of a ``FakeHuman``. ``store``
    makes an empty store for each run. ``fresh`` is called before each run and ``world`` after it: what it returns, as
    what the nodes did outside, has to be the same at the end. ``same`` takes the state and returns what of it counts.

    Raise ``BrokenInvariantError``; with ``check=False`` only the report says so. What the undisturbed run raises is
    raised as it is.
    """
    search = _Search(Scenario(graph, input, answers, store, fresh, world, same))
    appends = await search.undisturbed()
    for at, kinds in enumerate(appends, 1):
        await search.try_out(f"crash before append {at} ({kinds})", search.crash(at, is_behind=False))
        await search.try_out(f"crash behind append {at} ({kinds})", search.crash(at, is_behind=True))
    return search.report(check=check)


async def ainterrupt_at(
    graph: StateGraph | Build,
    input: Any = None,
    *,
    answers: Answers | None = None,
    store: MakeStore = InMemoryCheckpointer,
    fresh: Callable[[], object] | None = None,
    world: Callable[[], Any] | None = None,
    same: Callable[[Any], Any] | None = None,
    check: bool = True,
) -> Report:
    """Interrupt a run at every node: by a breakpoint before and after it, and by a stop as it begins and as it ends.

    And stop it at each question that it asks. The nodes of subgraphs are not looked into. See ``acrash_at``.
    """
    search = _Search(Scenario(graph, input, answers, store, fresh, world, same))
    await search.undisturbed()
    for node, visits in search.ran.items():
        for kind in (InterruptKind.BEFORE, InterruptKind.AFTER):
            await search.try_out(f'breakpoint {kind.value} "{node}"', search.pause(kind, node))
        for visit in range(1, visits + 1):
            for is_done, when in ((False, "begins"), (True, "ends")):
                watch = Watch(node, visit, is_done)
                await search.try_out(f'stop as "{node}" {when}, visit {visit}', search.stop_node(watch))
    for number in range(search.questions):
        await search.try_out(f"stop at question {number + 1}", search.stop_pause(number))
    return search.report(check=check)


def crash_at(
    graph: StateGraph | Build,
    input: Any = None,
    *,
    answers: Answers | None = None,
    store: MakeStore = InMemoryCheckpointer,
    fresh: Callable[[], object] | None = None,
    world: Callable[[], Any] | None = None,
    same: Callable[[Any], Any] | None = None,
    check: bool = True,
) -> Report:
    """Do what ``acrash_at`` does, in a sync program."""
    return _run(
        "crash_at",
        lambda: acrash_at(graph, input, answers=answers, store=store, fresh=fresh, world=world, same=same, check=check),
    )


def interrupt_at(
    graph: StateGraph | Build,
    input: Any = None,
    *,
    answers: Answers | None = None,
    store: MakeStore = InMemoryCheckpointer,
    fresh: Callable[[], object] | None = None,
    world: Callable[[], Any] | None = None,
    same: Callable[[Any], Any] | None = None,
    check: bool = True,
) -> Report:
    """Do what ``ainterrupt_at`` does, in a sync program."""
    return _run(
        "interrupt_at",
        lambda: ainterrupt_at(
            graph, input, answers=answers, store=store, fresh=fresh, world=world, same=same, check=check
        ),
    )


def _run(name: str, explore: Callable[[], Coroutine[Any, Any, Report]]) -> Report:
    if running_loop() is not None:
        raise ConfigError(f"{name}() was called inside a running event loop. Use a{name}() there.")
    return asyncio.run(explore())


@dataclass
class _Search:
    """Makes the cuts of one scenario, and collects what it finds."""

    scenario: Scenario
    cuts: list[str] = field(default_factory=list[str])
    failures: list[Failure] = field(default_factory=list[Failure])

    async def undisturbed(self) -> list[str]:
        """Run without a cut, and return what each of its appends wrote. Raise what the run raises."""
        scenario, watch, human = self.scenario, Watch(), Explorer(self.scenario.answers)
        async with scenario.begun() as store:
            counting = CutStore(store)
            async with scenario.app(counting, watch) as app:
                spec = app.runtime.spec
                self.guarded = {InterruptKind.BEFORE: spec.before, InterruptKind.AFTER: spec.after}
                await scenario.go_on(app, human)
                self.plain = await scenario.outcome(app, human)
        require_linear(self.plain)
        self.ran, self.questions = dict(watch.ran), len(human.asked)
        return counting.written

    async def try_out(self, cut: str, run: Coroutine[Any, Any, bool]) -> None:
        """Make one cut. It counts if the run came to it."""
        try:
            async with asyncio.timeout(PATIENCE):
                was_made = await run
        except Broken as broken:
            self._note(cut, broken.invariant, broken.what)
        except TimeoutError:
            self._note(cut, "rest", f"the thread did not come to rest within {PATIENCE:g} s")
        except Exception as error:
            self._note(cut, "rest", f"the thread cannot go on: {type(error).__name__}: {error}")
        else:
            self.cuts += [cut] if was_made else []

    def _note(self, cut: str, invariant: str, what: str) -> None:
        self.cuts.append(cut)
        self.failures.append(Failure(cut, invariant, what))

    def report(self, *, check: bool) -> Report:
        found = Report(tuple(self.cuts), tuple(self.failures))
        return found.check() if check else found

    # -- the cuts ----------------------------------------------------------------------------------

    async def crash(self, at: int, *, is_behind: bool) -> bool:
        """Let the store fail at one append."""
        scenario, watch, human = self.scenario, Watch(), Explorer(self.scenario.answers)
        async with scenario.begun() as store:
            failing = CutStore(store, at, is_behind=is_behind)
            async with scenario.app(failing, watch) as app:
                try:
                    await scenario.go_on(app, human)
                except Exception:  # whatever the nodes made of it
                    if not failing.is_down:
                        raise
            if failing.is_down:
                await require_acknowledged(failing.acknowledged, store)
                await self._compare(store, watch, human, is_crash=True)
        return failing.is_down

    async def pause(self, kind: InterruptKind, node: str) -> bool:
        """Run with one more breakpoint."""
        if node in self.guarded[kind]:
            return False
        scenario, watch = self.scenario, Watch()
        human = Explorer(scenario.answers, planted=gate_reason(kind, node))
        async with scenario.begun() as store, scenario.app(CutStore(store), watch, **{kind.value: node}) as app:
            await scenario.go_on(app, human)
            require_same(self.plain, await scenario.outcome(app, human), is_crash=False)
        return True

    async def stop_node(self, watch: Watch) -> bool:
        """Stop the thread when a node begins or ends."""
        scenario, human = self.scenario, Explorer(self.scenario.answers)
        async with scenario.begun() as store:
            async with scenario.app(CutStore(store), watch) as app:
                watch.stop = lambda: app.astop(CONFIG, "explored")
                await scenario.go_on(app, human)
                await watch.until_answered()
            if watch.has_stopped:
                await self._compare(store, watch, human)
        return watch.has_stopped

    async def stop_pause(self, number: int) -> bool:
        """Stop the thread while it waits for an answer."""
        scenario, watch = self.scenario, Watch()
        human = Explorer(scenario.answers, hold=number)
        async with scenario.begun() as store:
            async with scenario.app(CutStore(store), watch) as app:
                await scenario.go_on(app, human)
                await app.astop(CONFIG, "explored")
            if human.held is not None:
                await self._compare(store, watch, human)
        return human.held is not None

    async def _compare(self, store: BaseCheckpointer, watch: Watch, human: Explorer, *, is_crash: bool = False) -> None:
        """Go on behind the cut with a fresh app, and compare the end."""
        scenario = self.scenario
        async with scenario.app(CutStore(store), watch) as app:
            before, ran = await history_of(app), watch.tasks.copy()
            await scenario.go_on(app, human)
            found = await scenario.outcome(app, human)
        require_kept(before, found)
        require_not_repeated(before, found, watch.tasks - ran)
        require_same(self.plain, found, is_crash=is_crash)
