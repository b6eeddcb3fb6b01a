"""Timing, percentiles, memory, and sizes on disk."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType

clock = time.perf_counter


def percentile(values: list[float], q: float) -> float:
    """Linear interpolation between closest ranks; q in 0..1."""
    ordered = sorted(values)
    at = (len(ordered) - 1) * q
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def median(values: list[float]) -> float:
    return percentile(values, 0.5)


def spin() -> float:
    """Seconds for a fixed piece of pure-Python work: how noisy is the machine now?"""
    start = clock()
    total = 0
    for i in range(100_000):
        total += i & 7
    return clock() - start


class Timer:
    """Wall time, and the CPU time of this whole process (all its threads)."""

    def __enter__(self) -> Timer:
        self.cpu = -time.process_time()
        self.wall = -clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall += clock()
        self.cpu += time.process_time()


def status_kib(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def rss_kib() -> int:
    return status_kib("VmRSS")


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peak_kib() -> int:
    return status_kib("VmHWM")


def file_bytes(path: str) -> int:
    """The SQLite database with its journal files."""
    return sum(os.path.getsize(path + s) for s in ("", "-wal", "-journal") if os.path.exists(path + s))


def written_bytes() -> int:
    """Bytes this process sent to files so far, by the kernel's own accounting."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0
