"""An agent as a process: started in a group of its own, and ended with all that it started."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from weakref import WeakSet

from taf.errors import AgentError

MAX_LINE = 50 * 1024 * 1024
"""How many bytes a line of an agent may have."""


class AgentProcess:
    """A child process that speaks over its stdin and stdout; its stderr is ours."""

    def __init__(self, command: Sequence[str], process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.command, self._process = command, process
        self.asks: asyncio.StreamWriter = process.stdin
        self.answers: asyncio.StreamReader = process.stdout
        _running.add(self)

    @classmethod
    async def start(cls, command: Sequence[str], *, cwd: str, env: Mapping[str, str] | None = None) -> AgentProcess:
        """Start a command. Raise ``AgentError``."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                limit=MAX_LINE,
                start_new_session=True,  # a group of its own
            )
        except (OSError, ValueError) as error:
            raise AgentError(command, f"it could not be started: {error}") from error
        return cls(command, process)

    @property
    def pid(self) -> int:
        """The process, which leads its group."""
        return self._process.pid

    async def end(self, grace: float) -> None:
        """Close its stdin; after ``grace`` seconds tell its group to end, after as many more, or cancelled, kill it."""
        try:
            self.asks.close()
            if not await self._has_left(grace):
                self._signal(signal.SIGTERM)
                await self._has_left(grace)
        finally:
            self.kill()
            await self._process.wait()

    async def _has_left(self, seconds: float) -> bool:
        waiting = asyncio.ensure_future(self._process.wait())
        done, _ = await asyncio.wait({waiting}, timeout=seconds)
        waiting.cancel()
        return bool(done)

    def kill(self) -> None:
        """Kill what is left of its group, at once."""
        self._signal(signal.SIGKILL)
        _running.discard(self)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


_running: WeakSet[AgentProcess] = WeakSet()


@atexit.register
def _kill_all() -> None:
    for process in list(_running):
        process.kill()
