"""Holds processes that run ``traveller.py``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.freezing import freeze_aside, thaw

ROOT = Path(__file__).parent.parent.parent
HANG = 30


class CallFailed(Exception):
    """The other process raised; this is the name of the error."""


class Process:
    """One traveller. Its calls may be made side by side."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, name: str, place: str) -> None:
        self.name, self._process, self._folder, self._place = name, process, folder, place
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            number, value, *error = json.loads(line)
            if error:
                self._answers[number].set_exception(CallFailed(error[0]))
            else:
                self._answers[number].set_result(value)

    def call(self, name: str, **arguments: Any) -> asyncio.Task[Any]:
        """Send a call at once; the task has its answer."""
        assert self._process.stdin is not None
        number = len(self._answers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps([number, name, arguments]).encode() + b"\n")
        return asyncio.create_task(self._wait(answer))

    async def _wait(self, answer: asyncio.Future[Any]) -> Any:
        async with asyncio.timeout(HANG):
            return await answer

    def freeze(self) -> None:
        freeze_aside(self._process.pid, self._place)

    def thaw(self) -> None:
        thaw(self._process.pid)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    def open_gate(self) -> None:
        """Let its nodes wait no more."""
        (self._folder / self.name).touch()

    async def at(self, line: str) -> None:
        """Wait until it has come so far."""
        async with asyncio.timeout(HANG):
            while f"{self.name} {line}" not in ledger(self._folder):
                await asyncio.sleep(0.005)


def ledger(folder: Path) -> list[str]:
    path = folder / "ledger"
    return path.read_text().splitlines() if path.exists() else []


@asynccontextmanager
async def processes(
    folder: Path, place: str, *names: str, lease_seconds: float = 3600.0
) -> AsyncIterator[list[Process]]:
    """Start processes, and end them with the block. Who waits for the end of a usual lease does not come back."""
    async with AsyncExitStack() as stack:
        found = list[Process]()
        for name in names:
            process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-W", "error", "-m", "tests.crash.traveller"],
                *[str(folder), name, place, str(lease_seconds)],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            found.append(Process(process, folder, name, place))
            stack.push_async_callback(found[-1].kill)
        yield found
