"""Makes an app of a graph that was built, and loads what runs it: who only builds one does not wait for that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

from taf.checkpointer.base import BaseCheckpointer
from taf.checkpointer.journal import Journal
from taf.checkpointer.lineage import Migration
from taf.checkpointer.memory import InMemoryCheckpointer
from taf.errors import ConfigError
from taf.graph.blocking import CompiledGraph
from taf.graph.edge import Branch, Join
from taf.graph.node import Node
from taf.graph.runtime import Options, Runtime
from taf.graph.spec import GraphSpec
from taf.graph.validate import read_lineage, read_renames, validate
from taf.publisher.base import BasePublisher, PublisherLike
from taf.publisher.bus import Bus
from taf.state.schema import StateSchema

Publishers: TypeAlias = PublisherLike | Iterable[PublisherLike]

Branches: TypeAlias = Mapping[str, tuple[Branch, ...]]
Drawn: TypeAlias = tuple[
    StateSchema, Mapping[str, Node], Mapping[str, tuple[str, ...]], Branches, tuple[Join, ...], tuple[str, ...]
]
"""What a builder has collected: state, nodes, edges, branches, joins, and the faults that it found by itself."""


def compiled(
    drawn: Drawn,
    checkpointer: BaseCheckpointer | None,
    publisher: Publishers | None,
    before: Iterable[str],
    after: Iterable[str],
    *,
    name: str,
    tenant: str,
    rename_nodes: Mapping[str, str],
    state_version: int,
    migrations: Mapping[int, Migration],
    **given: Any,
) -> CompiledGraph:
    """Return the app. See ``StateGraph.compile``; ``given`` is what goes into ``Options``."""
    options = _options(**given)
    if checkpointer is not None and not isinstance(cast("object", checkpointer), BaseCheckpointer):
        raise ConfigError(f"The checkpointer has to be a BaseCheckpointer, not {checkpointer!r}.")
    lineage = read_lineage(state_version, migrations)
    schema, nodes, edges, branches, joins, faults = drawn
    renames = read_renames(rename_nodes, nodes)
    spec = GraphSpec(schema, nodes, edges, branches, joins, _names(before), _names(after), renames, state_version)
    validate(spec, faults)
    if not isinstance(cast("object", name), str):
        raise ConfigError(f"The name of a graph is a text, not {name!r}.")
    store = InMemoryCheckpointer() if checkpointer is None else checkpointer
    journal = Journal(store, spec.schema, tenant=tenant, clock=options.clock, graph=name, lineage=lineage)
    runtime = Runtime(spec, journal, Bus(_publishers(publisher)), options)
    return CompiledGraph(runtime, owns_checkpointer=checkpointer is None)


def _names(given: Iterable[str]) -> frozenset[str]:
    return frozenset([given] if isinstance(given, str) else given)


def _publishers(given: Publishers | None) -> list[Any]:
    if given is None:
        return []
    if isinstance(given, BasePublisher) or not isinstance(given, Iterable):
        return [given]
    return list(cast("Iterable[Any]", given))


def _options(**given: Any) -> Options:
    for name in ("max_concurrency", "max_threads"):
        value = given[name]
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ConfigError(f"{name} has to be a whole number of at least 1, not {value!r}.")
    keep = given["keep_superseded"]
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 0:
        raise ConfigError(f"keep_superseded has to be a whole number, not {keep!r}.")
    for name in ("lease_seconds", "stop_grace"):
        if not isinstance(given[name], int | float) or given[name] <= 0:
            raise ConfigError(f"{name} has to be above 0 seconds, not {given[name]!r}.")
    if given["clock"] is None:
        del given["clock"]
    return Options(**given).checked()
