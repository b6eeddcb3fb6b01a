"""CPU milliseconds of ``import taf``, of ``StateGraph`` and of a first app, beyond ``import pydantic, anyio``.

Each time in a fresh interpreter. The engine is loaded with the first ``compile()``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

PROGRAM = """
import time
begin = time.process_time()
import pydantic, anyio
middle = time.process_time()
import taf
end = time.process_time()
from taf import StateGraph
built = time.process_time()
class State(pydantic.BaseModel):
    n: int = 0
graph = StateGraph(State)
graph.add_node("a", lambda state: None)
graph.compile()
whole = time.process_time()
print((middle - begin) * 1e3, (end - middle) * 1e3, (built - middle) * 1e3, (whole - middle) * 1e3)
"""


def main() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # or it times the compiler
    command = [sys.executable, "-c", PROGRAM]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True, env=environment) for _ in range(16)]
    pairs = [tuple(map(float, run.stdout.split())) for run in runs[1:]]  # the first one compiles
    base, beyond, built, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"pydantic and anyio {base:.0f} ms; beyond them `import taf` {beyond:.1f} ms, with StateGraph {built:.0f} ms")
    print(f"and with a state and an app of one node {whole:.0f} ms")


if __name__ == "__main__":
    main()
