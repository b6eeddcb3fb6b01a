"""W7: what a system costs before it does anything."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from .measure import median

# what taf cannot do without: its two base libraries, and one model class
FLOOR = "import asyncio, anyio, pydantic; pydantic.create_model('M', x=(int, 0))"

PROBE = """
import sys, time
start = time.perf_counter()
{line}
took = time.perf_counter() - start
rss = next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS'))
print(took, rss, len(sys.modules))
"""


def probe(line: str) -> tuple[float, float, int]:
    """Milliseconds, MiB and modules of one import in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROBE.format(line=line)], capture_output=True, text=True, check=True
    )
    took, rss, modules = done.stdout.split()
    return float(took) * 1e3, int(rss) / 1024, int(modules)


class CleanEnvironment:
    """Asks pip what it would put into an empty environment (resolved, not installed)."""

    def __init__(self, root: str):
        venv.create(root, with_pip=True)
        self.root = Path(root)

    def distributions(self, names: list[str]) -> list[str]:
        report = self.root / "report.json"
        argv = [str(self.root / "bin" / "python"), "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        done = subprocess.run([*argv, "--report", str(report), *names], check=False, capture_output=True, text=True)
        if done.returncode:
            return []
        return sorted(item["metadata"]["name"] for item in json.loads(report.read_text())["install"])


def measure(present: list[dict[str, Any]], repeats: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"name": "python", "import_line": "pass", "distribution": ""},
        {"name": "floor", "import_line": FLOOR, "distribution": "pydantic", "extras": ("anyio", "asyncpg")},
    ]
    seen: set[str] = set()
    for system in present:
        if system["module"] in seen or system["baseline"]:
            continue
        seen.add(system["module"])
        rows.append({k: system[k] for k in ("name", "import_line", "distribution", "source", "extras", "version")})
    samples: dict[str, list[tuple[float, float, int]]] = {row["name"]: [] for row in rows}
    for turn in range(repeats + 1):
        for row in rows:
            sample = probe(row["import_line"])
            if turn:  # the first fills the page cache
                samples[row["name"]].append(sample)
    for row in rows:
        took = [s[0] for s in samples[row["name"]]]
        row |= {
            "ms": median(took),
            "ms_best": min(took),
            "rss_mib": median([s[1] for s in samples[row["name"]]]),
            "modules": samples[row["name"]][0][2],
        }
        print(f"       W7 {row['name']:16} {row['ms']:.0f} ms {row['rss_mib']:.0f} MiB", flush=True)
    with tempfile.TemporaryDirectory() as root:
        clean = CleanEnvironment(root)
        for row in rows:
            if row["distribution"]:
                wanted = row.get("source") or row["distribution"]
                row["distributions"] = clean.distributions([wanted])
                if row.get("extras"):
                    row["distributions_with_stores"] = clean.distributions([wanted, *row["extras"]])
    return rows
