"""One run over all the cells that are wanted, and the file of its results."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import footprint
from .measure import median
from .plans import Plan, plans
from .session import Session


def machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "cpu": next((line.split(":")[1].strip() for line in lines if "model name" in line), "?"),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_at_start": os.getloadavg(),
        "when": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


@dataclass(frozen=True)
class Wish:
    """What a run is to measure. An empty set of workloads or of systems means all."""

    size: str
    workloads: frozenset[str]
    stores: tuple[str, ...]
    systems: frozenset[str]

    def plans(self) -> list[Plan]:
        return [p for p in plans(self.size) if not self.workloads or self.workloads & {p.key, p.workload}]

    @property
    def has_footprint(self) -> bool:
        return not self.workloads or "W7" in self.workloads


def run(out: Path, wish: Wish) -> None:
    """Measure, and keep ``results.json`` in ``out`` up to date meanwhile."""
    begin = time.monotonic()
    file = out / "results.json"
    data: dict[str, Any] = {
        "machine": machine(),
        "size": wish.size,
        "plans": [asdict(p) for p in plans(wish.size)],
        "results": [],
    }
    with Session(wish.stores if wish.plans() else ()) as session:
        data["systems"] = session.describe(set(wish.systems))
        for gone in (s for s in data["systems"] if "missing" in s):
            print(f"not installed: {gone['name']} ({gone['missing']})", flush=True)
        present = [s for s in data["systems"] if "missing" not in s]
        try:
            for plan in wish.plans():
                for kind in (k for k in plan.stores if k in wish.stores):
                    for result in session.group(plan, kind, [s for s in present if fits(s, plan, kind)]):
                        data["results"].append(result)
                        cell = f"{plan.key:4}{kind:9}{result['system']:16}"
                        print(f"{time.monotonic() - begin:6.0f}s {cell}{brief(result)}", flush=True)
                    file.write_text(json.dumps(data))
            if wish.has_footprint:
                data["footprint"] = footprint.measure(present, repeats=3 if wish.size == "quick" else 7)
        finally:
            data["took_s"] = round(time.monotonic() - begin, 1)
            data["machine"]["load_at_end"] = os.getloadavg()
            file.write_text(json.dumps(data))


def fits(system: dict[str, Any], plan: Plan, kind: str) -> bool:
    """True when a system takes part in a workload with a kind of store."""
    is_for = not system["only"] or plan.workload in system["only"]
    return kind in system["stores"] and is_for and system["name"] not in plan.leave_out


def brief(result: dict[str, Any]) -> str:
    values = [v for p in result["passes"] for v in p["values"]]
    text = (
        f"median {median(values):.4g} of {len(values)} in {len(result['passes'])} passes, {result['spent_s']} s"
        if values
        else "nothing"
    )
    for key in ("turns", "stored_bytes", "written_bytes", "ended", "stored", "unsupported", "error"):
        if key in result:
            text += f"; {key} {result[key]}"
    return text
