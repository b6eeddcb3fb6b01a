"""Changing a thread that rests, from outside."""

from __future__ import annotations

from typing import Any

from taf.errors import ConfigError
from taf.graph.config import RunConfig
from taf.graph.engine import Engine
from taf.graph.routing import out_of
from taf.graph.runtime import Runtime
from taf.graph.telling import events_of
from taf.graph.upgrade import updated
from taf.state.facts import Updated


async def update(runtime: Runtime, config: RunConfig, given: Any, as_node: str | None) -> None:
    """Change its state, and with ``as_node`` where it is. Raise what ``aupdate_state`` raises."""
    spec, journal, thread_id = runtime.spec, runtime.journal, config.thread_id
    if as_node is not None and as_node not in spec.nodes:
        raise ConfigError(f'as_node="{as_node}" is no node of this graph.')
    ledger = await journal.acquire(thread_id, lease_seconds=runtime.options.lease_seconds)
    assert ledger is not None
    try:
        run = ledger.run
        base = run.values if run.sequence else spec.schema.apply({}, spec.schema.default_ops())
        changes, values = spec.schema.merge(base, [("the update", spec.schema.wanted(given, "The update has"))])
        ops = (*(() if run.sequence else spec.schema.default_ops()), *changes[0])
        frontier = None
        if as_node is not None:
            frontier = await out_of(spec, Engine(runtime, config), as_node, run, values)
        ledger.stage_all(await updated(journal, spec, ledger, Updated(ops, as_node, frontier)))
    finally:
        if ledger.is_open:
            await ledger.save(release=True)
            runtime.bus.publish(events_of(thread_id, ledger.told))
            await runtime.bus.settle()
