"""acpx, a client from npm: it starts a new agent process and loads the session for every prompt."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.acp.client import ROOT, TAF, records

pytestmark = pytest.mark.e2e

ACPX = ROOT / ".npm" / "node_modules" / ".bin" / "acpx"
SECONDS = 120
DENIED = 5
"""How it ends when all that it was asked for was denied."""


class Shell:
    """A person's folder, in which acpx is called."""

    def __init__(self, folder: Path, graph: str) -> None:
        self.folder, self.place = folder, folder / "threads.db"
        self._agent = f"{TAF} acp tests.acp.graphs:{graph}"

    async def acpx(self, *arguments: str, code: int = 0) -> str:
        """Call acpx with our agent, and return what it prints."""
        env = {**os.environ, "HOME": str(self.folder), "PYTHONPATH": str(ROOT), "TAF_ACP_DB": str(self.place)}
        process = await asyncio.create_subprocess_exec(
            # ttl: how long it stays for another prompt
            *(str(ACPX), "--agent", self._agent, "--format", "quiet", "--ttl", "1", *arguments),
            env=env,
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == code, err.decode()
        return out.decode().strip()


async def test_permissions_are_approved_over_processes(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "approving")
    session = await shell.acpx("sessions", "new")
    for _ in range(2):
        assert await shell.acpx("--approve-all", "prompt", "clean up") == "I would delete 3 files.\n\nDeleted."

    assert [record.status for record in await records(shell.place, session)] == ["answered", "answered"]


async def test_permissions_are_denied_over_processes(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "approving")
    session = await shell.acpx("sessions", "new")
    assert await shell.acpx("--deny-all", "prompt", "clean up", code=DENIED) == "I would delete 3 files."

    assert [record.status for record in await records(shell.place, session)] == ["rejected"]
    assert (await shell.acpx("--approve-all", "prompt", "clean up")).endswith("Deleted.")


async def test_a_session_is_remembered_over_processes(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "remembering")
    await shell.acpx("sessions", "new")
    await shell.acpx("prompt", "one")
    await asyncio.sleep(1.5)  # until the process that waits for another prompt has gone
    assert await shell.acpx("prompt", "two") == "You have said: one, two"


async def test_an_open_question_is_answered_over_processes(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "naming")
    await shell.acpx("sessions", "new")
    assert "Who are you?" in await shell.acpx("--approve-all", "prompt", "hello")
    await asyncio.sleep(1.5)
    assert await shell.acpx("prompt", "Ada") == "Hello Ada."
