"""Serves a graph to the process that started this one, over stdin and stdout."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import IO, cast

from acp import run_agent
from acp.interfaces import Agent

from taf.acp.agent import GraphAgent

MAX_LINE = 50 * 1024 * 1024
"""How many bytes a line of a client may have."""


class Channel:
    """The protocol's own ends of stdin and stdout.

    Nothing else may come between the lines of the protocol: from here on, what the graph prints goes to stderr, and
    what it or its child processes read from stdin is empty.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self.reads: IO[bytes] = os.fdopen(os.dup(0), "rb", buffering=0)
        self.writes: IO[bytes] = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)  # what is printed is seen when it is

    async def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the ends as streams of the running loop. Raise ``ValueError`` where they are plain files."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_LINE)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self.reads)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), self.writes
        )
        return reader, asyncio.StreamWriter(transport, protocol, None, loop)


async def serve(agent: GraphAgent, channel: Channel | None = None) -> None:
    """Serve over stdin and stdout until the client is gone. The caller closes the app, which stops what runs."""
    reader, writer = await (channel or Channel()).streams()
    await run_agent(cast("Agent", agent), writer, reader)  # what it does not serve is "method not found"
