"""The builder: collects nodes and edges, and compiles them into an app."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import BaseModel

from taf.errors import ConfigError, GraphError
from taf.graph.command import END, START
from taf.graph.deciding import Decide, approve_breakpoints
from taf.graph.edge import Branch, Join
from taf.graph.node import Embeddable, Node, RetryPolicy, is_async_callable, read_call
from taf.state.agent_state import AgentState
from taf.state.schemas import schema_of

if TYPE_CHECKING:
    from taf.checkpointer.base import BaseCheckpointer
    from taf.checkpointer.lineage import Migration
    from taf.graph.blocking import CompiledGraph
    from taf.graph.compiling import Drawn, Publishers
    from taf.graph.intake import WhilePaused
    from taf.graph.multitask import MultitaskStrategy
    from taf.graph.runtime import Clock


class StateGraph:
    """A graph of functions over a state. Without any edges, its nodes run in the order in which they were added."""

    def __init__(self, state: type[BaseModel] = AgentState) -> None:
        self.schema = schema_of(state)
        self._nodes: dict[str, Node] = {}
        self._edges: dict[str, list[str]] = {}
        self._branches: dict[str, list[Branch]] = {}
        self._joins: list[Join] = []
        self._faults: list[str] = []

    # -- nodes -------------------------------------------------------------------------------------

    def add_node(
        self,
        name: str | Callable[..., Any],
        fn: Callable[..., Any] | CompiledGraph | None = None,
        *,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
    ) -> Self:
        """Add a node: ``add_node(name, fn)``, or ``add_node(fn)`` under the function's own name.

        ``fn`` is async or sync and takes ``(state)``, and if it likes ``config`` and ``ctx: Context``; or it is a
        compiled graph. ``timeout`` is in seconds, for each attempt. Raise ``GraphError`` for what cannot be called.
        """
        if not isinstance(name, str):
            return self.add_node(_name_of(name), name, retry=retry, timeout=timeout)
        if fn is None:
            raise GraphError(f'Node "{name}" has no function: add_node("{name}", fn).')
        if timeout is not None and timeout <= 0:
            raise ConfigError(f'The timeout of node "{name}" has to be above 0 seconds, not {timeout}.')
        if name in (START, END) or not name:
            self._faults.append(f'"{name}" cannot be the name of a node.')
        elif name in self._nodes:
            self._faults.append(f'Two nodes are called "{name}". Give one of them another name.')
        self._nodes[name] = _node(name, fn, retry, timeout)
        return self

    def add_sequence(self, nodes: Iterable[Callable[..., Any] | tuple[str, Callable[..., Any]]]) -> Self:
        """Add nodes that run one after the other, each a function or a pair of name and function."""
        names: list[str] = []
        for node in nodes:
            name, fn = cast("tuple[str, Any]", node) if isinstance(node, tuple) else (_name_of(node), node)
            self.add_node(name, fn)
            names.append(name)
        for source, target in pairwise(names):
            self.add_edge(source, target)
        return self

    # -- edges -------------------------------------------------------------------------------------

    def add_edge(self, source: str | Sequence[str], target: str) -> Self:
        """Lead from one node to another. From a list of nodes: ``target`` runs once, after all of them have run."""
        if isinstance(source, str):
            targets = self._edges.setdefault(source, [])
            if target not in targets:
                targets.append(target)
        elif len(source) == 1:
            self.add_edge(source[0], target)
        else:
            self._joins.append(Join(tuple(source), target))
        return self

    def add_conditional_edges(
        self,
        source: str,
        router: Callable[..., Any],
        path_map: Mapping[Any, str] | Sequence[str] | None = None,
    ) -> Self:
        """Let ``router`` say what follows a node: a name, several, END, or ``Send``s.

        It sees the state as the node left it, and the config; it is sync (and quick) or async. ``path_map``
        translates its answers, or lists the names that it may give.
        """
        mapping = _path_map(path_map)
        branch = Branch(source, read_call(router, f'The router behind "{source}"'), mapping)
        self._branches.setdefault(source, []).append(branch)
        return self

    def set_entry_point(self, name: str) -> Self:
        """Begin with a node."""
        return self.add_edge(START, name)

    def set_finish_point(self, name: str) -> Self:
        """End behind a node."""
        return self.add_edge(name, END)

    # -- compiling ---------------------------------------------------------------------------------

    def compile(
        self,
        checkpointer: BaseCheckpointer | None = None,
        publisher: Publishers | None = None,
        interrupt_before: Iterable[str] = (),
        interrupt_after: Iterable[str] = (),
        *,
        name: str = "",
        decide: Decide = approve_breakpoints,
        while_paused: WhilePaused = "resume",
        multitask_strategy: MultitaskStrategy = "reject",
        keep_superseded: int = 5,
        max_concurrency: int | None = None,
        max_threads: int = 64,
        lease_seconds: float = 15.0,
        stop_grace: float = 1.0,
        tenant: str = "",
        clock: Clock | None = None,
        rename_nodes: Mapping[str, str] | None = None,
        state_version: int = 1,
        migrations: Mapping[int, Migration] | None = None,
    ) -> CompiledGraph:
        """Freeze the graph and return an app.

        ``name``: under which its threads are listed, pruned and recovered, in a store that several graphs share.
        ``checkpointer``: where threads are kept (None: in memory, by this app alone). ``publisher``: one, or several,
        that get every event. ``interrupt_before`` and ``interrupt_after``: names of nodes to pause at. ``decide``: what
        plain input means to an open interrupt. ``multitask_strategy``: what new input does to a thread that is busy;
        ``keep_superseded``: of how many runs that were cut short a thread keeps what they left.
        ``max_concurrency``: how many branches of a step run at once; ``max_threads``: how many sync nodes.
        ``lease_seconds``: after how long a silent owner counts as dead. ``stop_grace``: how many seconds a node has to
        leave once it is stopped. ``rename_nodes``: old names of nodes, under which threads may be stored, and their new
        ones. ``state_version``: of the state model; ``migrations``: by version, what leads from a dict of plain values
        to that of the next version.

        Raise ``GraphValidationError`` with all faults of the graph at once.
        """
        from taf.graph.compiling import compiled  # who only builds a graph does not load what runs it

        return compiled(
            self._drawn(),
            checkpointer,
            publisher,
            interrupt_before,
            interrupt_after,
            name=name,
            tenant=tenant,
            rename_nodes=rename_nodes or {},
            state_version=state_version,
            migrations=migrations or {},
            decide=decide,
            while_paused=while_paused,
            multitask_strategy=multitask_strategy,
            keep_superseded=keep_superseded,
            max_concurrency=max_concurrency,
            max_threads=max_threads,
            lease_seconds=lease_seconds,
            stop_grace=stop_grace,
            clock=clock,
        )

    def _drawn(self) -> Drawn:
        branches = {source: tuple(found) for source, found in self._branches.items()}
        return self.schema, dict(self._nodes), self._onward(), branches, tuple(self._joins), tuple(self._faults)

    def _onward(self) -> dict[str, tuple[str, ...]]:
        """Return the plain edges; where there are no edges of any kind, those of a row."""
        if self._nodes and not (self._edges or self._branches or self._joins):
            return {source: (target,) for source, target in pairwise((START, *self._nodes, END))}
        return {source: tuple(targets) for source, targets in self._edges.items()}


def _node(name: str, fn: Any, retry: RetryPolicy | None, timeout: float | None) -> Node:
    if isinstance(fn, Embeddable):
        return Node(name, fn.as_call(), True, retry, timeout, fn)
    return Node(name, read_call(fn, f'Node "{name}"'), is_async_callable(fn), retry, timeout)


def _name_of(fn: Any) -> str:
    name = getattr(fn, "__name__", None)
    if not callable(fn) or not isinstance(name, str) or name == "<lambda>":
        raise GraphError(f"{fn!r} has no name of its own: add_node(name, fn).")
    return name


def _path_map(given: Mapping[Any, str] | Sequence[str] | None) -> Mapping[Hashable, str] | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        return dict(given)
    return {name: name for name in given}
