"""The graphs that are simulated, what their nodes do to the world outside, and which steps a pass of each makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel

from taf import END, START, Context, Send, StateGraph, interrupt, task
from taf.state import append
from tests.simulation.database import EFFECT_BEFORE_RECORD

if TYPE_CHECKING:
    from taf import CompiledGraph
    from tests.simulation.world import World


class Trail(BaseModel):
    """What ran, in the order in which it was committed."""

    trail: Annotated[list[str], append] = []


class Flaky(Exception):
    """What a node raises for a reason of its own."""


class Place(NamedTuple):
    """One visit of a node: it is the same one however often the node is run for it."""

    thread: str
    visit: int
    key: str


class Call(NamedTuple):
    """One call of a recorded task's function, with what was on record in the database then."""

    place: Place
    position: int
    head: int
    is_owner: bool


@dataclass
class Outside:
    """The world outside: effects that no store can take back."""

    world: World
    bug: str | None
    heads: Callable[[Context], tuple[int, bool]]
    calls: list[Call] = field(default_factory=list)
    charges: dict[Place, list[str]] = field(default_factory=dict)
    keys: int = 0

    def fresh_key(self) -> str:
        self.keys += 1
        return f"key {self.keys}"

    def charge(self, place: Place, key: str) -> None:
        """Do something under a key: again under the same one, nothing happens."""
        self.world.note(place.thread, f"charge {place.key} {key}")
        done = self.charges.setdefault(place, [])
        if key not in done:
            done.append(key)

    def called(self, context: Context, position: int) -> None:
        head, is_owner = self.heads(context)
        self.calls.append(Call(_place(context), position, head, is_owner))


outside: list[Outside] = []
"""The one of the seed that is being run."""


def _place(context: Context) -> Place:
    return Place(context.running.thread_id, context.running.visit, context.task.key)


async def _nap() -> None:
    """Work for a while, and go wrong at times."""
    world = outside[-1].world
    chance = world.chance.random()
    if chance < 0.9:
        await asyncio.sleep(chance * 0.1)
    else:
        await asyncio.sleep((chance - 0.9) * 40)
    if world.faults.happens("failing node"):
        raise Flaky("something else")


async def _work(name: str, state: Trail) -> dict[str, Any]:
    await _nap()
    return {"trail": [name]}


async def _recorded(context: Context, position: int) -> str:
    outside[-1].called(context, position)
    await _nap()
    return outside[-1].fresh_key()


async def _pay(name: str, state: Trail, ctx: Context) -> dict[str, Any]:
    """Put a key on record, then do under that key what must not be done twice."""
    here = outside[-1]
    if here.bug == EFFECT_BEFORE_RECORD:
        key = here.fresh_key()
        here.charge(_place(ctx), key)
        await task("key", lambda: key)
    else:
        key = await task("key", _recorded, ctx, 0)
        here.charge(_place(ctx), key)
    await _nap()
    receipt = await task("receipt", _recorded, ctx, 1)
    return {"trail": [f"{name} {key} {receipt}"]}


async def _ask(name: str, state: Trail, ctx: Context) -> dict[str, Any]:
    key = await task("before", _recorded, ctx, 0)
    answer = await interrupt(f"{name}?", answer=int)
    await _nap()
    return {"trail": [f"{name} {key} answer {answer}"]}


async def _ask_twice(name: str, state: Trail, ctx: Context) -> dict[str, Any]:
    first = await interrupt(f"{name} first?", answer=int)
    await task("between", _recorded, ctx, 1)
    second = await interrupt(f"{name} second?", answer=int)
    return {"trail": [f"{name} answer {first} answer {second}"]}


Steps = Sequence[Sequence[str]]


class Kind(NamedTuple):
    """A graph, what ``compile`` is told, and the nodes of each step of its passes; those of its subgraph too."""

    graph: StateGraph[Any]
    steps: Steps
    inner_steps: Steps = ()
    before: Sequence[str] = ()
    after: Sequence[str] = ()
    inner: CompiledGraph | None = None


def _row(**nodes: Callable[..., Any]) -> StateGraph[Any]:
    graph = StateGraph(Trail)
    for name, node in nodes.items():
        graph.add_node(name, partial(node, name))
    return graph


def _chain() -> Kind:
    return Kind(_row(a=_work, b=_work, c=_work, d=_work), [["a"], ["b"], ["c"], ["d"]])


def _gates() -> Kind:
    graph = _row(a=_work, b=_work, c=_work)
    return Kind(graph, [["a"], ["b"], ["c"]], before=["b", "c"], after=["b", "c"])


def _question() -> Kind:
    return Kind(_row(a=_work, ask=_ask, twice=_ask_twice, b=_work), [["a"], ["ask"], ["twice"], ["b"]])


def _paying() -> Kind:
    return Kind(_row(a=_work, pay=_pay, b=_work), [["a"], ["pay"], ["b"]])


def _diamond() -> Kind:
    graph = _row(a=_work, left=_pay, middle=_ask, right=_ask, d=_work)
    graph.add_edge(START, "a")
    for name in ("left", "middle", "right"):
        graph.add_edge("a", name)
        graph.add_edge(name, "d")
    graph.add_edge("d", END)
    return Kind(graph, [["a"], ["left", "middle", "right"], ["d"]])


def _sending() -> Kind:
    graph = _row(a=_work, worker=_pay, d=_work)
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", lambda state: [Send("worker", {"trail": [f"for {n}"]}) for n in range(3)])
    graph.add_edge("worker", "d")
    graph.add_edge("d", END)
    return Kind(graph, [["a"], ["worker", "worker", "worker"], ["d"]])


def _subgraph() -> Kind:
    inner = _row(in_work=_work, in_ask=_ask, in_pay=_pay).compile()
    graph = StateGraph(Trail)
    graph.add_node("a", partial(_work, "a"))
    graph.add_node("inner", inner)
    graph.add_node("b", partial(_work, "b"))
    steps = [["a"], ["inner"], ["b"]]
    return Kind(graph, steps, [["in_work"], ["in_ask"], ["in_pay"]], inner=inner)


KINDS = {
    "chain": _chain(),
    "gates": _gates(),
    "question": _question(),
    "paying": _paying(),
    "diamond": _diamond(),
    "sending": _sending(),
    "subgraph": _subgraph(),
}
