"""The threads of which golden rows are kept: how each came to be, how it goes on, and what it is seen to be.

What is here made the rows, so it stays as it is: a new kind of thread is a new entry. The state is that of
``tests/crash/luggage.py``, with a value of every type that is kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel

from taf import (
    END,
    BaseCheckpointer,
    CompiledGraph,
    Edit,
    ExecutionStatus,
    Message,
    Reject,
    StateGraph,
    interrupt,
    task,
)
from taf.state import append
from tests.crash.luggage import PACKED, Luggage
from tests.serialization.values import shape


class Trip(Luggage):
    """Where a thread has been, beside what it carries."""

    trail: Annotated[list[str], append] = []
    ballast: str = ""


class Ticket(BaseModel):
    seat: int
    name: str = ""


MENDED: set[str] = set()
"""What is in it does not fail any more."""


async def pack(state: Trip) -> dict[str, Any]:
    return {"price": PACKED["price"], "colors": PACKED["colors"], "trail": ["pack"]}


async def pack_all(state: Trip) -> dict[str, Any]:
    return {**PACKED, "trail": ["pack_all"]}


async def travel(state: Trip) -> dict[str, Any]:
    return {"trail": ["travel"], "context": [Message.text_message("on the way", role="assistant")]}


async def breaks_down(state: Trip) -> dict[str, Any]:
    if "engine" not in MENDED:
        raise LookupError("no spark")
    return {"trail": ["breaks_down"]}


async def asks(state: Trip) -> dict[str, Any]:
    paid = await task("pay", pay)
    ticket = await interrupt("which seat?", answer=Ticket, data={1: {b"\x00"}, "at": PACKED["moments"]})
    return {"trail": [f"asks {paid} {ticket.seat}"]}


async def asks_too(state: Trip) -> dict[str, Any]:
    return {"trail": [f"asks_too {await interrupt('really?', answer=bool)}"]}


async def pay() -> str:
    return "paid"


async def wants_a_guard(state: Trip) -> dict[str, Any]:
    state.set_interrupt("wants_a_guard", "are you sure?", ExecutionStatus.INTERRUPTED_AFTER, {"bytes": b"\x00\xff"})
    return {"trail": [*state.trail, "wants_a_guard"][-1:]}


async def loads(state: Trip) -> dict[str, Any]:
    return {"trail": ["loads"], "ballast": f"{len(state.trail)}" * 400}


def row(*nodes: Any) -> StateGraph:
    """Nodes in a row, the first of which packs."""
    graph = StateGraph(Trip)
    for node in (pack, *nodes):
        graph.add_node(node.__name__, node)
    return graph


def side_by_side() -> StateGraph:
    graph = StateGraph(Trip)
    for node in (pack, asks, asks_too, travel):
        graph.add_node(node.__name__, node)
    graph.set_entry_point("pack")
    for name in ("asks", "asks_too"):
        graph.add_edge("pack", name).add_edge(name, "travel")
    return graph.add_edge("travel", END)


def looping() -> StateGraph:
    graph = StateGraph(Trip).add_node("loads", loads).set_entry_point("loads")
    return graph.add_conditional_edges("loads", lambda state: "loads" if len(state.trail) % 8 else END, ["loads", END])


def outer() -> StateGraph:
    return StateGraph(Trip).add_node("pack", pack).add_node("inner", row(asks).compile()).add_node("travel", travel)


Do = Callable[[CompiledGraph, dict[str, Any]], Awaitable[Any]]


async def begin(app: CompiledGraph, config: dict[str, Any]) -> Any:
    return await app.ainvoke({"context": [Message.text_message("go")]}, config)


async def go_on(app: CompiledGraph, config: dict[str, Any]) -> Any:
    return await app.ainvoke(None, config)


async def again(app: CompiledGraph, config: dict[str, Any]) -> Any:
    return await app.ainvoke({"trail": ["again"]}, config)


async def answer(app: CompiledGraph, config: dict[str, Any]) -> Any:
    return await app.aresume(config, {"seat": 7}, by="alice")


async def answer_the_first(app: CompiledGraph, config: dict[str, Any]) -> Any:
    await begin(app, config)
    (one,) = [record for record in await app.ainterrupts(config) if record.node == "asks"]
    return await app.aresume(config, {"seat": 1}, by="alice", interrupt_id=one.id)


async def say_yes(app: CompiledGraph, config: dict[str, Any]) -> Any:
    return await app.aresume(config, True, by="bob")


async def reject(app: CompiledGraph, config: dict[str, Any]) -> Any:
    await begin(app, config)
    return await app.aresume(config, Reject("not today"), by="carol")


async def edit(app: CompiledGraph, config: dict[str, Any]) -> Any:
    await begin(app, config)
    return await app.aresume(config, Edit({"trail": ["edited"]}), by="dan")


async def stop(app: CompiledGraph, config: dict[str, Any]) -> Any:
    await begin(app, config)
    return await app.astop(config)


async def fail(app: CompiledGraph, config: dict[str, Any]) -> Any:
    with suppress(LookupError):
        await begin(app, config)


async def mend(app: CompiledGraph, config: dict[str, Any]) -> Any:
    MENDED.add("engine")
    try:
        return await go_on(app, config)
    finally:
        MENDED.clear()


async def fork(app: CompiledGraph, config: dict[str, Any]) -> Any:
    origin = {"thread_id": f"origin of {config['thread_id']}"}
    await begin(app, origin)
    middle = next(one for one in await app.aget_history(origin) if one.next == ("travel",))
    await app.afork({**origin, "checkpoint_id": middle.checkpoint_id}, thread_id=config["thread_id"])


async def prune(app: CompiledGraph, config: dict[str, Any]) -> Any:
    await begin(app, config)
    await again(app, config)
    await app.aprune(config, keep_last=2)


@dataclass(frozen=True)
class Journey:
    """One thread: ``make`` made its rows, ``proceed`` is what is done with them today."""

    graph: StateGraph
    make: Do
    proceed: Do
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def app(self, store: BaseCheckpointer) -> CompiledGraph:
        """Compile its graph."""
        return self.graph.compile(store, interrupt_before=self.before, interrupt_after=self.after)


JOURNEYS = {
    "paused before": Journey(row(travel), begin, go_on, before=("travel",)),
    "paused after": Journey(row(travel), begin, go_on, after=("pack",)),
    "paused by set_interrupt": Journey(row(wants_a_guard, travel), begin, go_on),
    "paused by a question": Journey(row(pack_all, asks, travel), begin, answer),
    "one of two answered": Journey(side_by_side(), answer_the_first, say_yes),
    "paused in a subgraph": Journey(outer(), begin, answer),
    "rejected": Journey(row(travel), reject, again, before=("travel",)),
    "edited": Journey(row(travel), edit, again, before=("travel",)),
    "stopped": Journey(row(travel), stop, go_on, before=("travel",)),
    "completed": Journey(row(pack_all, travel), begin, again),
    "failed": Journey(row(breaks_down, travel), fail, mend),
    "with snapshots": Journey(looping(), begin, again),
    "forked": Journey(row(travel), fork, go_on),
    "pruned": Journey(looping(), prune, again),
    "\x00 \U0001f600": Journey(row(travel), begin, again),
}


async def seen(app: CompiledGraph, config: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be seen of a thread, in JSON's types."""
    found = await app.aget_state(config)
    records = await app.ainterrupts(config)
    events = [event async for event in app.aevents(config)]
    return {
        "status": found.status.value,
        "next": list(found.next),
        "step": found.step,
        "state": ascii(shape({key: value for key, value in found.state if key != "context"})),
        "messages": [[message.role, message.text()] for message in found.state.context],
        "interrupts": [
            [
                *(r.node, r.kind.value, r.reason, r.status.value, list(r.path), r.answered_by),
                *(ascii(shape(r.answer)), ascii(shape(r.data)), r.version),
            ]
            for r in records
        ],
        "events": [[event.sequence, event.event_type.value, event.node_name] for event in events],
        "history": [[one.status.value, one.step, list(one.next)] for one in await app.aget_history(config)],
    }
