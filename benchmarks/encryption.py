"""What encryption costs: a step, and the reading of a thread, with and without it, in one run."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from taf import BaseCheckpointer, EncryptedCheckpointer, InMemoryCheckpointer, Keys, SqliteCheckpointer, StateGraph
from taf.state import append

NODES, RUNS, SAMPLES = 100, 5, 15
KEYS = Keys(Keys.new())


class Chat(BaseModel):
    counter: int = 0
    said: Annotated[list[str], append] = Field(default_factory=list[str])


async def bump(state: Chat) -> dict[str, Any]:
    return {"counter": state.counter + 1}


async def say(state: Chat) -> dict[str, Any]:
    return {"counter": state.counter + 1, "said": ["word " * 200]}


async def measure(store: BaseCheckpointer, node: Any, sample: int) -> tuple[float, float]:
    """Return CPU microseconds of a step, and of reading one step back, with nothing warm."""
    graph = StateGraph(Chat)
    for number in range(NODES):
        graph.add_node(f"n{number}", node)
    async with graph.compile(checkpointer=store) as app, graph.compile(checkpointer=store) as reader:
        gc.collect()
        begin = time.process_time()
        for run in range(RUNS):
            await app.ainvoke({}, {"thread_id": f"{sample}-{run}"})
        written = time.process_time()
        for run in range(RUNS):
            found = await reader.aget_state({"thread_id": f"{sample}-{run}"})
            assert found.state.counter == NODES
        read = time.process_time()
    return (written - begin) / (RUNS * NODES) * 1e6, (read - written) / (RUNS * NODES) * 1e6


async def main() -> None:
    for name, node in (("a number", bump), ("1 kB of text", say)):
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("memory", "sqlite"):
                made = [
                    InMemoryCheckpointer() if kind == "memory" else SqliteCheckpointer(Path(folder) / n) for n in "ab"
                ]
                async with made[0] as clear, EncryptedCheckpointer(made[1], KEYS) as sealed:
                    # In turns, so that both meet the same moods of the machine.
                    samples = [[await measure(store, node, n) for store in (clear, sealed)] for n in range(SAMPLES)]
                (write, read), (write_sealed, read_sealed) = (
                    tuple(min(sample[which][part] for sample in samples) for part in (0, 1)) for which in (0, 1)
                )
                print(
                    f"{kind}, {name} a step: written {write:.1f} µs, encrypted {write_sealed:.1f} µs, ratio"
                    f" {write_sealed / write:.2f}; read {read:.1f} µs, encrypted {read_sealed:.1f} µs, ratio"
                    f" {read_sealed / read:.2f}"
                )


if __name__ == "__main__":
    asyncio.run(main())
