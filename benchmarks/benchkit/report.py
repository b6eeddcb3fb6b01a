"""Markdown tables, and the ratios that the targets are set in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .measure import median, percentile
from .targets import TARGETS, Target

Result = dict[str, Any]


def number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2g}" if value < 1 else f"{value:.2f}"


def size(value: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"


def pooled(result: Result, key: str = "values") -> list[float]:
    return [v for p in result["passes"] for v in p.get(key, ())]


def turn_time(result: Result, turn: int, key: str = "values") -> float:
    """Median over a few turns around ``turn`` (1-based)."""
    values = pooled(result, key)
    return median(values[max(0, turn - 6) : min(len(values), turn + 5)])


def growth(result: Result) -> float:
    """The exponent of the turn time between a quarter of the way and the end.

    0 is a constant turn; 1 is O(n) a turn, O(n²) for the thread. CPU time, for it is the steadier.
    """
    n = result["turns"]
    early, late = turn_time(result, n // 4, "cpu"), turn_time(result, n, "cpu")
    return math.log(late / early) / math.log(4)


def whole(result: Result, turns: int) -> float:
    """Seconds for all the turns of a thread that was cut off: a straight line through its turns, carried on."""
    values = pooled(result)
    n = len(values)
    mean_x, mean_y = (n - 1) / 2, sum(values) / n
    slope = sum((i - mean_x) * (v - mean_y) for i, v in enumerate(values)) / sum((i - mean_x) ** 2 for i in range(n))
    return (sum(values) + sum(mean_y + slope * (i - mean_x) for i in range(n, turns))) / 1e3


class Report:
    def __init__(self, path: Path):
        self.data = json.loads(path.read_text())
        self.plans = {p["key"]: p for p in self.data["plans"]}
        self.order = [s["name"] for s in self.data["systems"]]
        self.cells: dict[tuple[str, str, str], Result] = {
            (r["plan"], r["store"], r["system"]): r for r in self.data["results"]
        }

    def good(self, plan: str, store: str, system: str) -> Result | None:
        result = self.cells.get((plan, store, system))
        return result if result and pooled(result) and "error" not in result else None

    def why(self, plan: str, store: str, system: str) -> str:
        result = self.cells.get((plan, store, system), {})
        return result.get("unsupported") or result.get("error", "")

    def stores(self, plan: str) -> list[str]:
        return [s for s in self.plans[plan]["stores"] if any(k[:2] == (plan, s) for k in self.cells)]

    def systems(self, plan: str) -> list[str]:
        return [n for n in self.order if any(k[0] == plan and k[2] == n for k in self.cells)]

    def ratios(self, plan: str, store: str, a: str, b: str, b_store: str | None = None) -> list[float]:
        """a divided by b (so less is better), one for each pass in which both took part."""
        x, y = self.good(plan, store, a), self.good(plan, b_store or store, b)
        if not x or not y:
            return []
        if plan == "W3":
            at = min(x["turns"], y["turns"])
            return [turn_time(x, at) / turn_time(y, at)]
        pairs = zip(x["passes"], y["passes"], strict=False)
        quotients = [median(p["values"]) / median(q["values"]) for p, q in pairs if p["values"] and q["values"]]
        return [1 / q for q in quotients] if self.plans[plan]["higher_is_better"] else quotients

    def ratio(self, plan: str, store: str, a: str, b: str) -> float | None:
        found = self.ratios(plan, store, a, b)
        return median(found) if found else None

    # -- tables -----------------------------------------------------------
    def grid(self, plan: str, key: str = "values") -> list[str]:
        stores = self.stores(plan)
        lines = [f"| system | {' | '.join(stores)} |", "|---|" + "---|" * len(stores)]
        for system in self.systems(plan):
            row = []
            for store in stores:
                result = self.good(plan, store, system)
                if not result:
                    why = self.why(plan, store, system)
                    row.append(f"– ({why})" if why else "")
                    continue
                values = pooled(result, key)
                if not values:
                    row.append("")
                    continue
                cell = f"{number(median(values))} / {number(percentile(values, 0.95))}"
                if key == "values" and system != "floor" and (against := self.ratio(plan, store, system, "floor")):
                    cell += f" (×{number(against)})"
                row.append(cell)
            if any(row):
                lines.append(f"| {system} | {' | '.join(row)} |")
        return lines

    def chat(self) -> list[str]:
        turns = max((r.get("asked", 0) for k, r in self.cells.items() if k[0] == "W3"), default=0)
        marks = [m for m in (10, 100, 1000) if m <= turns]
        head = [f"turn {m}, ms" for m in marks]
        lines = [
            f"| store | system | turns done | total, s | {' | '.join(head)}"
            " | growth | stored | stored / payload | written |",
            "|---|---|---|---|" + "---|" * len(head) + "---|---|---|---|",
        ]
        for store in self.stores("W3"):
            for system in self.systems("W3"):
                r = self.good("W3", store, system)
                if not r:
                    if why := self.why("W3", store, system):
                        lines.append(f"| {store} | {system} | – ({why}) |" + " |" * (len(head) + 5))
                    continue
                done = r["turns"]
                total = number(sum(pooled(r)) / 1e3)
                if done < turns:
                    total += f" (cut; about {number(whole(r, turns))} for all)"
                at = [number(turn_time(r, m)) if done >= m else "" for m in marks]
                stored, written = r.get("stored_bytes"), r.get("written_bytes")
                lines.append(
                    f"| {store} | {system} | {done} | {total} | {' | '.join(at)} | n^{growth(r):.2f}"
                    f" | {size(stored) if stored else ''} | {number(stored / (done * 400)) if stored else ''}"
                    f" | {size(written) if written else ''} |"
                )
        return lines

    def crowd(self) -> list[str]:
        lines = [
            "| store | system | runs/s (share of the floor) | p99, ms | peak memory growth | peak memory |",
            "|---|---|---|---|---|---|",
        ]
        for store in self.stores("W4"):
            for system in self.systems("W4"):
                r = self.good("W4", store, system)
                if not r:
                    if why := self.why("W4", store, system):
                        lines.append(f"| {store} | {system} | – ({why}) | | | |")
                    continue
                share = self.ratio("W4", store, system, "floor") if system != "floor" else None
                lines.append(
                    f"| {store} | {system} | {number(median(pooled(r)))}{f' (1/{number(share)})' if share else ''} | "
                    f"{number(median(pooled(r, 'p99_ms')))} | {size(max(pooled(r, 'peak_growth_kib')) * 1024)} | "
                    f"{size(max(pooled(r, 'peak_kib')) * 1024)} |"
                )
        return lines

    def stop(self) -> list[str]:
        lines = [
            "| store | system | from a task, ms | the run call | from a thread, ms | the run call"
            " | stored afterwards |",
            "|---|---|---|---|---|---|---|",
        ]
        for store in self.stores("W6"):
            for system in self.systems("W6"):
                r = self.cells.get(("W6", store, system))
                if not r:
                    continue
                if "ended" not in r:
                    lines.append(f"| {store} | {system} | – ({self.why('W6', store, system)}) | | | | |")
                    continue
                row = []
                for how, key in (("task", "values"), ("thread", "thread")):
                    values = pooled(r, key)
                    row += [
                        f"{number(median(values))} / {number(percentile(values, 0.95))}" if values else "–",
                        r["ended"].get(how, ""),
                    ]
                lines.append(f"| {store} | {system} | {' | '.join(row)} | {r.get('stored', '')} |")
        return lines

    def footprint(self) -> list[str]:
        rows = self.data.get("footprint", [])
        if not rows:
            return ["not measured"]
        bare = rows[0]
        lines = [
            "| system | import, ms (best) | memory after import, MiB | modules | distributions"
            " | with SQLite and Postgres |",
            "|---|---|---|---|---|---|",
        ]
        for r in rows:
            both = r.get("distributions_with_stores") or r.get("distributions") or []
            lines.append(
                f"| {r['name']} {r.get('version', '')}: `{r['import_line']}`"
                f" | {number(r['ms'])} ({number(r['ms_best'])})"
                f" | {r['rss_mib']:.0f} (+{r['rss_mib'] - bare['rss_mib']:.0f}) | {r['modules']}"
                f" | {len(r.get('distributions', []))} | {len(both)} |"
            )
        return lines

    def targets(self) -> list[str]:
        lines = ["| workload | store | goal | now | quartiles | met |", "|---|---|---|---|---|---|"]
        for t in TARGETS:
            now = self.measure(t)
            met = "" if now is None else ("yes" if now <= t.at_most else "NO")
            found = [] if t.plan == "W7" or t.figure != "time" else self.times(t)
            spread = f"{number(percentile(found, 0.25))} to {number(percentile(found, 0.75))}" if len(found) > 1 else ""
            shown = "" if now is None else number(now)
            lines.append(f"| {t.plan} | {t.store} | {t.words()} | {shown} | {spread} | {met} |")
        return lines

    def times(self, t: Target) -> list[float]:
        """The ratios of a goal about time, pass by pass."""
        return self.ratios(t.plan, t.store, t.system, t.against, t.against_store)

    def measure(self, t: Target) -> float | None:
        """Where a system stands on one goal; None when a part of it was not measured."""
        system = t.system
        if t.plan == "W7":
            rows = {r["name"]: r for r in self.data.get("footprint", [])}
            if system not in rows or t.against not in rows:
                return None
            if t.figure == "distributions":
                return float(len(rows[system]["distributions"]))
            mine, theirs = (rows[n][t.figure] - rows["python"][t.figure] for n in (system, t.against))
            return mine / theirs
        if t.figure == "time":
            found = self.times(t)
            return median(found) if found else None
        x = self.good(t.plan, t.store, system)
        if not x:
            return None
        if t.figure == "growth":
            return growth(x)
        y = self.good(t.plan, t.against_store or t.store, t.against)
        if not y:
            return None
        if t.figure == "bytes":
            return (x["stored_bytes"] / x["turns"]) / (y["stored_bytes"] / y["turns"])
        if t.figure == "memory":  # later bursts reuse what the first one took
            return max(pooled(x, "peak_growth_kib")) / max(pooled(y, "peak_growth_kib"))
        key = {"thread": "thread", "p99": "p99_ms"}[t.figure]
        mine, theirs = pooled(x, key), pooled(y, key)
        return median(mine) / median(theirs) if mine and theirs else None


def render(path: Path) -> str:
    r = Report(path)
    d, m = r.data, r.data["machine"]
    spins = [p["spin"] * 1e3 for x in d["results"] for p in x["passes"]]
    versions = {s["distribution"]: s["version"] for s in d["systems"] if s.get("distribution")}
    out = [
        f"Machine: {m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, Python {m['python']}. {m['when']}, "
        f"size {d['size']}, {d.get('took_s', '?')} s, load average {m['load_at_start'][0]:.1f} at the start.",
        "",
        f"Noise: a fixed piece of Python took {number(min(spins))} ms at best, {number(median(spins))} in the median, "
        f"{number(percentile(spins, 0.95))} at p95 ({len(spins)} times, before each sample)."
        if spins
        else "",
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "",
    ]
    for key, plan in r.plans.items():
        if not any(k[0] == key for k in r.cells):
            continue
        out += [f"## {key}: {plan['title']} ({plan['unit']})", ""]
        if key == "W3":
            out += r.chat()
        elif key == "W4":
            out += r.crowd()
        elif key == "W6":
            out += ["median / p95", "", *r.stop()]
        else:
            out += ["median / p95 (times the floor with the same store, the median over the passes)", "", *r.grid(key)]
        if key in ("W1", "W1b"):
            out += ["", "CPU time of the process alone, all threads:", "", *r.grid(key, "cpu")]
        if key == "W2":
            out += ["", "The resume alone:", "", *r.grid(key, "resume_only")]
        out.append("")
    return "\n".join([*out, "## W7: footprint", "", *r.footprint(), "", "## Goals for taf", "", *r.targets(), ""])
