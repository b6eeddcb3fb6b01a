"""Where the threads of subgraphs are, and what they are called: after their parent's thread, the node and the visit."""

from __future__ import annotations

from collections.abc import Iterator

from taf.checkpointer.base import ThreadKey
from taf.checkpointer.journal import Journal
from taf.graph.runtime import Runtime
from taf.graph.spec import GraphSpec
from taf.state.channel import Op
from taf.state.facts import Forked, Started

INNER = "\x1f"
"""Stands between the parts of an inner thread's name, and behind a tenant for the threads that are not its own."""


def inner_tenant(tenant: str) -> str:
    """Return where the threads of subgraphs are kept: apart, so that nobody lists or runs them by themselves."""
    return tenant if tenant.endswith(INNER) else tenant + INNER


def inner_journal(parent: Journal, own: Runtime) -> Journal:
    """Return the journal of a subgraph's threads in its parent's store."""
    return Journal(
        parent.store,
        own.spec.schema,
        tenant=inner_tenant(parent.tenant),
        clock=parent.clock,
        graph=own.journal.graph,
        lineage=own.journal.lineage,
    )


def inner_names(thread_id: str, keys: tuple[str, ...], visit: int, born: str) -> Iterator[str]:
    """Yield the names that the thread of a task's visit may have: under the key that the task has, and that it had."""
    for key in keys:
        yield f"{thread_id}{INNER}{key}@{visit}.{born}"


def former_keys(spec: GraphSpec, node: str, key: str) -> tuple[str, ...]:
    """Return the key of a node's task, and behind it those from before the node was renamed."""
    return tuple(old + key[len(node) :] for old in spec.former(node)) if key.startswith(node) else (key,)


async def inner_thread(journal: Journal, names: Iterator[str]) -> str | None:
    """Return the first of these inner threads that there is."""
    tenant = inner_tenant(journal.tenant)
    for name in names:
        if await journal.store.load(ThreadKey(tenant, name)) is not None:
            return name
    return None


async def given_to(journal: Journal, thread_id: str) -> tuple[Op, ...]:
    """Return the changes that an inner thread began with; none where they are in the form of another version."""
    first = await journal.store.read(journal.key(thread_id), limit=1)
    fact = journal.reading.fact_to_show(thread_id, first[0]) if first else None
    if isinstance(fact, Started):
        version, given = fact.version, tuple(fact.ops)
    elif isinstance(fact, Forked):
        version, given = fact.run.edition.version, fact.given
    else:
        return ()
    return given if version == journal.lineage.version else ()
