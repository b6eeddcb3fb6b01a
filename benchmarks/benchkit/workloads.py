"""The workloads. Each runs inside one worker process, against one system and one store.

A workload prepares once, then hands out samples one at a time: the runner asks
all systems in turn, so that a noisy moment hits all of them alike.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from .measure import Timer, clock, peak_kib, percentile, reset_peak, rss_kib
from .protocol import System, Unsupported

Sample = dict[str, Any]
"""``values`` (the figures), ``cpu`` (the same in CPU time), and anything else."""

WORDS = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=3 + i % 8)) for i in range(600)]


def text(seed: int, size: int = 200) -> str:
    """``size`` bytes of word-like text: neither random noise nor one repeated byte."""
    pick = random.Random(seed)
    out: list[str] = []
    length = 0
    while length < size:
        word = pick.choice(WORDS)
        out.append(word)
        length += len(word) + 1
    return " ".join(out)[:size]


def check(got: Any, want: Any) -> None:
    if got != want:
        raise AssertionError(f"wrong result: got {got!r}, want {want!r}")


class Workload:
    def __init__(self, system: System, params: dict[str, Any]):
        self.system, self.p = system, params
        self.count = 0

    async def prepare(self) -> None: ...

    async def sample(self) -> Sample:
        raise NotImplementedError

    async def finish(self) -> dict[str, Any]:
        return {}

    async def repeat(self, once: Callable[[str], Awaitable[Timer]], scale: float) -> Sample:
        """One or more runs, so that a sample of a fast system is not a handful of microseconds."""
        timers: list[Timer] = []
        begin = clock()
        while not timers or clock() - begin < self.p["sample_s"]:
            self.count += 1
            timers.append(await once(f"t{self.count}"))
        return {"values": [t.wall * scale for t in timers], "cpu": [t.cpu * scale for t in timers]}


class Steps(Workload):
    """W1: microseconds per step of a run of ``n`` no-op nodes on a fresh thread."""

    async def prepare(self) -> None:
        self.run = await self.system.steps(self.p["shape"], self.p["n"])
        await self.once("warm1")
        await self.once("warm2")

    async def once(self, thread: str) -> Timer:
        with Timer() as t:
            result = await self.run(thread)
        check(result, self.p["n"])
        return t

    async def sample(self) -> Sample:
        return await self.repeat(self.once, 1e6 / self.p["n"])


class Pause(Workload):
    """W2: milliseconds for start -> pause before node 2 -> resume -> end."""

    async def prepare(self) -> None:
        self.driver = await self.system.pause_resume()
        self.halves: list[float] = []
        await self.once("warm1")
        await self.once("warm2")

    async def once(self, thread: str) -> Timer:
        with Timer() as t:
            await self.driver.pause(thread)
            middle = clock()
            result = await self.driver.resume(thread)
        self.halves.append((clock() - middle) * 1e3)
        check(result, 3)
        return t

    async def sample(self) -> Sample:
        self.halves.clear()
        sample = await self.repeat(self.once, 1e3)
        return {**sample, "resume_only": list(self.halves)}


class Chat(Workload):
    """W3: one thread growing by two messages a turn. A sample is a few turns."""

    async def prepare(self) -> None:
        self.driver = await self.system.chat()
        self.lines = [(text(2 * i), text(2 * i + 1)) for i in range(self.p["turns"])]
        for _ in range(3):
            await self.driver.turn("warm", "hello", "hello")

    async def sample(self) -> Sample:
        timers: list[Timer] = []
        for user, assistant in self.lines[self.count : self.count + self.p["chunk"]]:
            with Timer() as t:
                await self.driver.turn("chat", user, assistant)
            timers.append(t)
        self.count += len(timers)
        return {
            "values": [t.wall * 1e3 for t in timers],
            "cpu": [t.cpu * 1e3 for t in timers],
            "done": self.count == len(self.lines),
        }

    async def finish(self) -> dict[str, Any]:
        length = await self.driver.length("chat")
        if length >= 0:
            check(length, 2 * self.count)
        return {"turns": self.count, "asked": len(self.lines), "rss_kib": rss_kib()}


class Crowd(Workload):
    """W4: ``threads`` fresh threads at once on one loop, ``n`` nodes each. A sample is one burst."""

    async def prepare(self) -> None:
        self.run = await self.system.yielding(self.p["n"])
        await self.burst("warm", 20)

    async def burst(self, tag: str, threads: int) -> tuple[Timer, list[float]]:
        async def one(i: int) -> float:
            check(await self.run(f"{tag}-{i}"), self.p["n"])
            return clock() - start

        with Timer() as t:
            start = clock()
            done = await asyncio.gather(*(one(i) for i in range(threads)))
        return t, done

    async def sample(self) -> Sample:
        self.count += 1
        before = rss_kib()
        reset_peak()
        threads = self.p["threads"]
        t, done = await self.burst(f"crowd{self.count}", threads)
        return {
            "values": [threads / t.wall],
            "cpu": [threads / t.cpu],
            "p99_ms": [percentile(done, 0.99) * 1e3],
            "peak_growth_kib": [peak_kib() - before],
            "peak_kib": [peak_kib()],
        }


class Fan(Workload):
    """W5: milliseconds for 1 -> n -> join."""

    async def prepare(self) -> None:
        self.run = await self.system.fan_out(self.p["n"])
        await self.once("warm")

    async def once(self, thread: str) -> Timer:
        with Timer() as t:
            result = await self.run(thread)
        check(result, self.p["n"] * (self.p["n"] - 1) // 2)
        return t

    async def sample(self) -> Sample:
        return await self.repeat(self.once, 1e3)


class Stop(Workload):
    """W6: milliseconds from the stop call to the end of the run call, from a task and from a thread."""

    async def prepare(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.inside = asyncio.Event()
        self.driver = await self.system.sleeper(self.p["sleep"], self.started)
        self.ended: dict[str, str] = {}
        self.stored = ""

    def started(self) -> None:
        # a system may run its nodes on a loop or thread of its own
        self.loop.call_soon_threadsafe(self.inside.set)

    async def once(self, how: str) -> float | None:
        """Run, stop, and return how long that took; None when it did not work, with ``ended`` saying why."""
        self.inside = asyncio.Event()
        thread_id = f"{how}{self.count}"
        over: list[float] = []
        run = asyncio.create_task(self.watched(how, thread_id, over))
        await asyncio.wait_for(self.inside.wait(), 10)
        await asyncio.sleep(0.02)
        start = clock()
        trouble, stopping = self.stop(how, thread_id)
        await asyncio.wait({run}, timeout=self.p["patience"])
        late = not run.done()
        if late:
            run.cancel()
            await asyncio.wait({run}, timeout=self.p["sleep"] + 2)
        if stopping is not None:
            await asyncio.gather(stopping, return_exceptions=True)
        if trouble:
            self.ended[how] = f"the stop call raised {type(trouble[0]).__name__}: {trouble[0]}"
        elif late:
            self.ended[how] = f"still running after {self.p['patience']} s"
        did_work = not trouble and not late
        if how == "task" and not (did_work and self.stored):
            self.stored = await self.driver.stored(thread_id)
        return (over[0] - start) * 1e3 if did_work else None

    async def watched(self, how: str, thread_id: str, over: list[float]) -> None:
        try:
            await self.driver.run(thread_id)
            self.ended[how] = "returned"
        except asyncio.CancelledError:
            self.ended[how] = "CancelledError"
        except BaseException as error:  # the point is to see how it ends
            self.ended[how] = f"raised {type(error).__name__}"
        over.append(clock())

    def stop(self, how: str, thread_id: str) -> tuple[list[BaseException], asyncio.Task[None] | None]:
        trouble: list[BaseException] = []
        if how == "task":
            return trouble, asyncio.create_task(self.driver.stop(thread_id))

        def from_thread() -> None:
            try:
                self.driver.stop_from_thread(thread_id)
            except BaseException as error:
                trouble.append(error)

        threading.Thread(target=from_thread, daemon=True).start()
        return trouble, None

    async def sample(self) -> Sample:
        out: Sample = {"values": [], "cpu": [], "thread": []}
        for how, into in (("task", "values"), ("thread", "thread")):
            if how in self.ended and self.count and not self.ended[how].startswith(("returned", "raised", "Cancelled")):
                continue  # it did not work the first time
            try:
                value = await self.once(how)
                if value is not None:
                    out[into].append(value)
            except Unsupported as why:
                self.ended[how] = f"the stop call is unsupported: {why}"
        self.count += 1
        out["done"] = not out["values"] and not out["thread"]
        return out

    async def finish(self) -> dict[str, Any]:
        return {"ended": self.ended, "stored": self.stored}


WORKLOADS: dict[str, type[Workload]] = {
    "steps": Steps,
    "pause": Pause,
    "chat": Chat,
    "crowd": Crowd,
    "fan": Fan,
    "stop": Stop,
}
