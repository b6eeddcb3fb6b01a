"""Where the time of one cell goes: cProfile, grouped by package and by function."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import time
from collections import defaultdict
from dataclasses import replace
from typing import Any

from . import systems
from .plans import Plan, plans
from .protocol import Store
from .session import Session
from .workloads import WORKLOADS


def package(file: str) -> str:
    """A short owner for a code file: the distribution's folder, the standard library module, or <builtin>."""
    if "site-packages/" in file:
        parts = file.split("site-packages/")[1].split("/")
        return "/".join(parts[:3]) if len(parts) > 2 else "/".join(parts)
    if file.startswith("~") or file.startswith("<"):
        return "<built-in functions>"
    if "benchkit" in file:
        return "benchkit (the nodes and the harness)"
    parts = file.split("/")
    return "stdlib " + "/".join(parts[-2:] if parts[-2] in ("asyncio", "json", "concurrent") else parts[-1:])


async def go(store: Store, system: Any, plan: Plan, passes: int, profiler: cProfile.Profile) -> tuple[int, float]:
    """Return how many values ``passes`` samples gave, and the seconds they took."""
    subject = system(store, plan.params.get("threads", 1))
    await subject.open()
    workload = WORKLOADS[plan.workload](subject, plan.params)
    await workload.prepare()
    values = 0
    begin = time.perf_counter()
    profiler.enable()
    for _ in range(passes):
        sample = await workload.sample()
        values += len(sample["values"])
        if sample.get("done"):
            break
    profiler.disable()
    took = time.perf_counter() - begin
    await workload.finish()
    await subject.close()
    return values, took


def profile(name: str, key: str, kind: str, passes: int, rows: int) -> None:
    """Profile one cell, and print where its time went."""
    with Session((kind,)) as session:
        found = next(s for s in session.describe({name}) if s["name"] == name)
        plan = next(p for p in plans("default") if p.key == key)
        plan = replace(plan, params=plan.params | {"sample_s": 0})
        folder = session.scratch / "profile"
        folder.mkdir()
        profiler = cProfile.Profile()
        store = session.store(kind, folder)
        values, took = asyncio.run(go(store, systems.find(found["module"], name), plan, passes, profiler))
    print(f"{name}, {key}, {kind}: {values} values in {took:.2f} s under cProfile (which slows calls down)\n")
    show(profiler, values, rows)


def show(profiler: cProfile.Profile, values: int, rows: int) -> None:
    """Print own time by owner, and functions by cumulative time."""
    stats: Any = pstats.Stats(profiler)
    total = sum(v[2] for v in stats.stats.values())
    owners: dict[str, float] = defaultdict(float)
    for (file, _, _), (_, _, own, _, _) in stats.stats.items():
        owners[package(file)] += own
    print("own time by owner:")
    for owner, own in sorted(owners.items(), key=lambda kv: -kv[1])[:rows]:
        print(f"  {own / total:6.1%}  {owner}")
    print("\nfunctions by own time (calls per value):")
    ranked = sorted(stats.stats.items(), key=lambda kv: -kv[1][2])
    for (file, line, function), (_, calls, own, cumulative, _) in ranked[: rows * 2]:
        shares = f"{own / total:6.1%} own {cumulative / total:6.1%} cum {calls / max(1, values):9.1f} calls"
        print(f"  {shares}  {package(file)}:{line} {function}")
