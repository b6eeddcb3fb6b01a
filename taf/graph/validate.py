"""Looks for the faults of a graph: all of them at once, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from taf.checkpointer.lineage import Lineage, Migration
from taf.errors import ConfigError, GraphValidationError, nearest
from taf.graph.command import END, START
from taf.graph.edge import Branch, Join
from taf.graph.spec import GraphSpec


def validate(spec: GraphSpec, faults: Iterable[str] = ()) -> None:
    """Raise ``GraphValidationError`` with the faults given and those found in the graph."""
    found = [*faults, *_faults(spec)]
    if found:
        raise GraphValidationError(found)


def read_renames(renames: Mapping[str, str], nodes: Iterable[str]) -> dict[str, str]:
    """Return old names of nodes, each with the name that it has now, through all its renamings.

    Raise ``ConfigError`` where that is not certain: an old name that is a node's again, a circle, a name of no node.
    """
    known, found = list(nodes), dict[str, str]()
    for old in renames:
        if old in known:
            what = f'rename_nodes renames "{old}", which is a node of this graph'
            raise ConfigError(f"{what}: a thread at it could mean either. Give one of them another name.")
        seen, name = {old}, renames[old]
        while name in renames and name not in seen:
            seen.add(name)
            name = renames[name]
        if name in seen:
            raise ConfigError(f'rename_nodes leads from "{old}" in a circle.')
        if name not in known:
            raise ConfigError(f'rename_nodes leads from "{old}" to "{name}", which is no node.{nearest(name, known)}')
        found[old] = name
    return found


def read_lineage(version: int, migrations: Mapping[int, Migration]) -> Lineage:
    """Return the versions of a state. Raise ``ConfigError`` for a version that is none, or a gap between migrations."""
    numbers = [version, *migrations]
    wrong = next((n for n in numbers if type(n) is not int or n < 1), None)
    if wrong is not None:
        raise ConfigError(f"A state_version is a whole number from 1 on, not {wrong!r}.")
    first = min(migrations, default=version)
    steps = range(first, version)
    if set(migrations) != set(steps):
        listed = ", ".join(map(str, steps)) or "none"
        raise ConfigError(
            f"The migrations have to lead to state_version {version} step by step, each from its version to the next: "
            f"from {listed}, not from {', '.join(map(str, sorted(migrations)))}."
        )
    lost = next((n for n, fn in migrations.items() if not callable(fn)), None)
    if lost is not None:
        raise ConfigError(f"The migration from version {lost} is {migrations[lost]!r}, which cannot be called.")
    return Lineage(version, dict(migrations))


def _faults(spec: GraphSpec) -> Iterator[str]:
    if not spec.nodes:
        yield "It has no nodes. Add some with add_node()."
        return
    known = list(spec.nodes)
    yield from _edge_faults(spec.edges, known)
    yield from _join_faults(spec.joins, known)
    yield from _branch_faults(spec.branches, known)
    if not set(spec.edges.get(START, ())) - {END} and START not in spec.branches:
        yield f"Nothing starts: add_edge(START, {known[0]!r}) or set_entry_point({known[0]!r})."
    for word, names in (("interrupt_before", spec.before), ("interrupt_after", spec.after)):
        for name in sorted(names - set(known)):
            yield _unknown(name, known, f"{word} names")


def _edge_faults(edges: Mapping[str, tuple[str, ...]], known: list[str]) -> Iterator[str]:
    for source, targets in edges.items():
        if source not in (*known, START):
            yield _unknown(source, known, "An edge starts at")
        for target in targets:
            if target not in (*known, END):
                yield _unknown(target, known, f"The edge from {source!r} leads to")


def _join_faults(joins: Iterable[Join], known: list[str]) -> Iterator[str]:
    for join in joins:
        if not join.sources:
            yield f"A join to {join.target!r} waits for no node. Name those that it waits for."
        for name in join.sources:
            if name not in known:
                yield _unknown(name, known, f"A join to {join.target!r} waits for")
        if join.target not in (*known, END):
            yield _unknown(join.target, known, "A join leads to")


def _branch_faults(branches: Mapping[str, tuple[Branch, ...]], known: list[str]) -> Iterator[str]:
    for source, found in branches.items():
        if source not in (*known, START):
            yield _unknown(source, known, "A conditional edge starts at")
        for name in (name for branch in found for name in (branch.path_map or {}).values()):
            if name not in (*known, END):
                yield _unknown(name, [*known, END], f"The path_map of the conditional edge from {source!r} leads to")


def _unknown(name: str, known: Iterable[str], where: str) -> str:
    if name in (START, END):
        return f"{where} {'START' if name == START else 'END'}. Name a node there."
    listed = ", ".join(str(one) for one in known if one not in (START, END))
    return f'{where} "{name}", which is no node.{nearest(str(name), known)} The nodes: {listed}.'
