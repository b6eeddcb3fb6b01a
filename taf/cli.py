"""The command line.

``taf check-upgrade`` says, before a graph is deployed, which threads it could not go on with. ``taf acp`` serves a
graph as an agent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from taf.checkpointer.base import BaseCheckpointer, Listing, ThreadRow
from taf.checkpointer.journal import Journal
from taf.checkpointer.sqlite import SqliteCheckpointer
from taf.errors import GraphChangedError, TafError
from taf.graph.blocking import CompiledGraph
from taf.graph.compatibility import Fit
from taf.graph.state_graph import StateGraph
from taf.graph.upgrade import verdict_of
from taf.state.execution import ExecutionStatus

GOES_ON = tuple(s.value for s in ExecutionStatus if s not in (ExecutionStatus.IDLE, ExecutionStatus.COMPLETED))
PAGE = 200


class UsageError(Exception):
    """The command was not given what it needs."""


class Finding(NamedTuple):
    """How one thread fits, and why it does not."""

    thread_id: str
    status: str
    fit: Fit
    reason: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return 0 when all is well, 1 when a thread cannot go on, 2 for a wrong call."""
    parsed = _parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], int] = parsed.run
        return run(parsed)
    except (UsageError, TafError) as error:
        print(f"taf: {error}", file=sys.stderr)
        return 2


def _check_upgrade(parsed: argparse.Namespace) -> int:
    app = load_app(parsed.graph)
    findings = asyncio.run(_check(app, parsed))
    lost = [finding for finding in findings if finding.fit is Fit.IMPOSSIBLE]
    counts = Counter(finding.fit for finding in findings)
    print(_as_json(lost, counts) if parsed.json else _as_text(lost, counts))
    return 1 if lost else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="taf", description="Graphs of functions with a human in the loop.")
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser(
        "check-upgrade",
        help="say which stored threads a graph cannot go on with",
        description="List the threads that are paused, stopped, running or failed, and that this graph cannot go on "
        "with. Nothing is changed. The exit status is 1 when there are any.",
    )
    check.add_argument("graph", help="module:name of a StateGraph, a compiled graph, or a function that returns one")
    where = check.add_mutually_exclusive_group(required=True)
    where.add_argument("--sqlite", metavar="PATH", help="the file of a SqliteCheckpointer")
    where.add_argument("--dsn", help="the database of a PgCheckpointer")
    check.add_argument("--tenant", default=None, help="whose threads (default: the compiled graph's)")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.set_defaults(run=_check_upgrade)
    _add_acp(commands)
    return parser


def _add_acp(commands: Any) -> None:
    acp = commands.add_parser(
        "acp",
        help="serve a graph as an agent of the Agent Client Protocol, over stdin and stdout",
        description="Serve a graph to the client that started this process. A session is a thread of the graph's "
        "checkpointer. Needs the extra: pip install 'taf-graph[acp]'.",
    )
    acp.add_argument("graph", help="module:name of a StateGraph, a compiled graph, or a function that returns one")
    acp.add_argument("--name", default=None, help="what clients show (default: the compiled graph's name)")
    acp.add_argument("--deadline", type=float, default=240.0, metavar="SECONDS", help="to answer a question (240)")
    acp.set_defaults(run=_serve_acp)


def _serve_acp(parsed: argparse.Namespace) -> int:
    try:
        from taf.acp import GraphAgent, serve
        from taf.acp.stdio import Channel
    except ImportError as error:
        raise UsageError(f"taf.acp could not be loaded, pip install 'taf-graph[acp]' brings it: {error}") from error
    channel = Channel()  # before the graph is loaded, as its module may print
    agent_of = partial(GraphAgent, name=parsed.name, deadline=parsed.deadline)

    async def run(app: CompiledGraph) -> None:
        async with app.checkpointer, app:
            serving = asyncio.ensure_future(serve(agent_of(app), channel))
            with contextlib.suppress(NotImplementedError):  # not on every system
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
            with contextlib.suppress(asyncio.CancelledError):  # told to end: what runs is stopped, on record
                await serving

    try:
        asyncio.run(run(load_app(parsed.graph)))
    except ValueError as error:
        raise UsageError(f"stdin and stdout have to be pipes: {error}") from error
    except KeyboardInterrupt:
        return 130
    return 0


def load_app(name: str) -> CompiledGraph:
    """Return the compiled graph that ``module:name`` stands for. Raise ``UsageError``."""
    module, colon, attribute = name.partition(":")
    if not (colon and module and attribute):
        raise UsageError(f'"{name}" names no graph: write module:name.')
    if "" not in sys.path:
        sys.path.insert(0, "")  # as python -m does: the caller's own folder
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        if not isinstance(found, StateGraph | CompiledGraph) and callable(found):
            found = found()
    except Exception as error:  # whatever the module raises
        raise UsageError(f'"{name}" could not be loaded: {type(error).__name__}: {error}') from error
    if isinstance(found, StateGraph):
        found = found.compile()
    if not isinstance(found, CompiledGraph):
        raise UsageError(f'"{name}" is {type(found).__name__}, not a StateGraph or a compiled graph.')
    return found


def _open(parsed: argparse.Namespace) -> BaseCheckpointer:
    if parsed.sqlite is not None:
        if not Path(parsed.sqlite).is_file():
            raise UsageError(f"There is no file {parsed.sqlite}.")
        return SqliteCheckpointer(parsed.sqlite)
    try:
        from taf.checkpointer.postgres import PgCheckpointer
    except ImportError as error:
        raise UsageError(f"PgCheckpointer could not be loaded: {error}") from error
    return PgCheckpointer(parsed.dsn)


async def _check(app: CompiledGraph, parsed: argparse.Namespace) -> list[Finding]:
    own = app.runtime.journal
    tenant = own.tenant if parsed.tenant is None else parsed.tenant
    async with app, _open(parsed) as store:
        journal = Journal(store, own.schema, tenant=tenant, clock=own.clock, graph=own.graph, lineage=own.lineage)
        return [finding async for finding in check(app, journal)]


async def check(app: CompiledGraph, journal: Journal) -> AsyncGenerator[Finding, None]:
    """Yield how each thread of a store that may go on fits a graph. Nothing is acquired or changed."""
    listing, after = Listing(status=GOES_ON, graph=journal.graph or None), ""
    while rows := await journal.store.threads(journal.tenant, listing, after=after, limit=PAGE):
        for row in rows:
            found = await _finding(app, journal, row)
            if found is not None:
                yield found
        after = rows[-1].cursor or rows[-1].thread_id


async def _finding(app: CompiledGraph, journal: Journal, row: ThreadRow) -> Finding | None:
    try:
        read = await journal.read(row.thread_id)
        if read is None:  # it was deleted meanwhile
            return None
        run, stored = read
        verdict = await verdict_of(journal, app.runtime.spec, run, stored.born)
        verdict.require(row.thread_id)
    except GraphChangedError as error:
        return Finding(row.thread_id, row.status, Fit.IMPOSSIBLE, str(error))
    except TafError as error:  # what the store holds of it is broken: nobody goes on with it
        return Finding(row.thread_id, row.status, Fit.IMPOSSIBLE, f"{type(error).__name__}: {error}")
    return Finding(row.thread_id, row.status, verdict.fit)


def _as_text(lost: Sequence[Finding], counts: Counter[Fit]) -> str:
    lines = [f"{finding.thread_id} ({finding.status}): {finding.reason}" for finding in lost]
    return "\n".join([*lines, ", ".join(f"{fit}: {counts[fit]}" for fit in Fit)])


def _as_json(lost: Sequence[Finding], counts: Counter[Fit]) -> str:
    listed = [{"thread_id": f.thread_id, "status": f.status, "reason": f.reason} for f in lost]
    return json.dumps({"counts": {str(fit): counts[fit] for fit in Fit}, "impossible": listed})
