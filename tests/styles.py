"""The ways in which a thread is run. Whichever is taken, the thread ends up the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from taf import CompiledGraph
from taf.graph import RunResult

STYLES = ("invoke", "ainvoke", "stream", "astream")


async def run(app: CompiledGraph, style: str, input: Any, config: Mapping[str, Any], **options: Any) -> RunResult:
    """Run a thread until it rests, in one of the ``STYLES``. Raise what the call raises.

    The sync styles run in an OS thread, as a plain program would.
    """
    if style == "invoke":
        return await asyncio.to_thread(app.invoke, input, config, **options)
    if style == "ainvoke":
        return await app.ainvoke(input, config, **options)
    if style == "stream":
        await asyncio.to_thread(lambda: list(app.stream(input, config, **options)))
    else:
        async for _ in app.astream(input, config, **options):
            pass
    return await app.ajoin(config)
