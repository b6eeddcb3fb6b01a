"""Which workloads there are, with their parameters, and how long to go on sampling each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STORES = ("none", "memory", "sqlite", "postgres")
SIZES = ("quick", "default", "full")


@dataclass(frozen=True)
class Plan:
    """One workload with its parameters, and how long to go on sampling it."""

    key: str
    workload: str
    title: str
    unit: str
    params: dict[str, Any]
    least: int  # passes over all systems, whatever the time
    most: int
    seconds: float  # for all systems together, once ``least`` is reached
    each: float  # for one system; a slower one sits out the later passes
    limit: float = 60  # for one sample
    stores: tuple[str, ...] = STORES
    higher_is_better: bool = False
    leave_out: tuple[str, ...] = ()


def plans(size: str) -> list[Plan]:
    """``quick`` is a smoke test, ``default`` takes about a quarter of an hour on two quiet
    cores, ``full`` lets the slow systems finish their thousand turns."""
    quick = size == "quick"
    least, most, seconds = (2, 6, 4) if quick else (7, 40, 12)
    short = {"sample_s": 0.02}
    cap = {"quick": 4, "default": 9, "full": 150}[size]
    return [
        Plan(
            "W1",
            "steps",
            "step overhead, chain of 100 nodes",
            "µs/step",
            {"shape": "chain", "n": 100, **short},
            least,
            most,
            seconds,
            8,
        ),
        Plan(
            "W1b",
            "steps",
            "step overhead, one node looped 100 times",
            "µs/step",
            {"shape": "loop", "n": 100, **short},
            least,
            most,
            seconds * 0.6,
            8,
            stores=("none", "memory"),
        ),
        Plan("W2", "pause", "pause before node 2 of 3, resume, finish", "ms/cycle", short, least, most, seconds, 8),
        Plan(
            "W3",
            "chat",
            "one chat thread, two messages and two nodes a turn",
            "ms/turn",
            {"turns": 100 if quick else 1000, "chunk": 10},
            1,
            1000,
            1e9,
            cap,
            limit=120,
            leave_out=() if size == "full" else ("langgraph-async",),
        ),
        Plan(
            "W4",
            "crowd",
            "many threads at once, five yielding nodes each",
            "runs/s",
            {"n": 5, "threads": 100 if quick else 1000},
            2,
            5,
            seconds,
            5,
            limit=45,
            higher_is_better=True,
        ),
        Plan(
            "W5",
            "fan",
            "one node to many branches to a join",
            "ms",
            {"n": 100 if quick else 1000, **short},
            2,
            15,
            seconds * 0.6,
            6,
        ),
        Plan(
            "W6",
            "stop",
            "stop a run whose node sleeps 10 s",
            "ms",
            {"sleep": 10, "patience": 2},
            2,
            4 if quick else 12,
            3 if quick else 10,
            5,
        ),
    ]
