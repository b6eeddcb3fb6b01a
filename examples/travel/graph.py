"""The graph: who is asked, what they find, and what the user is told of it."""

from __future__ import annotations

import re
from typing import Any

from examples.travel.tools import Offer, search_flights, search_hotels
from taf import AgentState, BaseCheckpointer, CompiledGraph, Context, Message, StateGraph, emit

FLIGHT_WORDS = re.compile(r"\b(flights?|fly|flying)\b", re.IGNORECASE)
HOTEL_WORDS = re.compile(r"\b(hotels?|stay|rooms?)\b", re.IGNORECASE)
PLACE = re.compile(r"\b(?:to|in|for|about)\s+([A-Z]\w+)")


class Trip(AgentState):
    """What the user wants, and what was found."""

    intent: str = ""
    destination: str = ""
    flights: list[Offer] = []
    hotels: list[Offer] = []


def intent_of(text: str) -> str:
    """Return ``flight``, ``hotel``, ``both`` or nothing."""
    wants_flight, wants_hotel = bool(FLIGHT_WORDS.search(text)), bool(HOTEL_WORDS.search(text))
    return "both" if wants_flight and wants_hotel else "flight" if wants_flight else "hotel" if wants_hotel else ""


# --8<-- [start:router]
async def router(state: Trip) -> dict[str, Any]:
    """Read the message. What it leaves out is taken from the task that it interrupted, or from what was said before."""
    said = [message.text() for message in state.messages if message.role == "user"]
    before = said[:-1][::-1]
    intent = intent_of(said[-1]) or next(filter(None, map(intent_of, before)), "")
    places = [found[1] for text in [said[-1], *before] if (found := PLACE.search(text))]
    return {"intent": intent, "destination": places[0] if places else "", "flights": [], "hotels": []}


def agents(state: Trip) -> list[str]:
    """Both agents run in one step, side by side, when both are wanted."""
    if not state.destination or not state.intent:
        return ["response"]
    return ["flight", "hotel"] if state.intent == "both" else [state.intent]


# --8<-- [end:router]


class Agents:
    """The two agents. ``pace``: how many seconds each offer takes."""

    def __init__(self, pace: float) -> None:
        self.pace = pace

    # --8<-- [start:agents]
    async def flight(self, state: Trip) -> dict[str, Any]:
        """Search on the event loop: an interruption ends it where it waits."""
        found: list[Offer] = []
        async for offer in search_flights(state.destination, self.pace):
            found.append(offer)
            emit(found, key="flights")  # shown at once, and kept if the task is interrupted
        return {"flights": found}

    def hotel(self, state: Trip, ctx: Context) -> dict[str, Any]:
        """Search in a thread, which nobody can end from outside: it has to look."""
        found: list[Offer] = []
        for offer in search_hotels(state.destination, self.pace):
            if ctx.stopping:
                break
            found.append(offer)
            emit(found, key="hotels")
        return {"hotels": found}

    # --8<-- [end:agents]


# --8<-- [start:response]
async def response(state: Trip) -> Message:
    """Tell what was found, and what an interrupted task had found for the same place by then."""
    if not state.destination or not state.intent:
        return Message.text_message("Where do you want to go, by plane or to a hotel?", role="assistant")
    lines = _lines({"flights": state.flights, "hotels": state.hotels}, state.destination, "")
    lines += _lines(left_by_the_interrupted(state), state.destination, " so far")
    return Message.text_message("\n".join(lines), role="assistant")


def left_by_the_interrupted(state: Trip) -> dict[str, list[Offer]]:
    """Return what the task that was interrupted last had found and this one did not look for."""
    found = {kind: offers for shown in state.partial_results.values() for kind, offers in shown.items()}
    mine = {"flights": state.flights, "hotels": state.hotels}
    return {kind: offers for kind, offers in found.items() if not mine[kind]}


def _lines(found: dict[str, list[Offer]], destination: str, how_far: str) -> list[str]:
    here = {kind: [one for one in offers if one["destination"] == destination] for kind, offers in found.items()}
    return [
        f"{kind.capitalize()} in {destination}{how_far}: {_cheapest_first(offers)}."
        for kind, offers in here.items()
        if offers
    ]


def _cheapest_first(offers: list[Offer]) -> str:
    return "; ".join(f"{one['name']} at {one['price']}" for one in sorted(offers, key=lambda one: one["price"]))


# --8<-- [end:response]


def build(store: BaseCheckpointer | None = None, *, pace: float = 0.3) -> CompiledGraph:
    """Return the app: a message to a user who has a task under way takes its place."""
    work = Agents(pace)
    graph = StateGraph(Trip).add_node(router).add_node("flight", work.flight).add_node("hotel", work.hotel)
    graph.add_node(response).set_entry_point("router")
    graph.add_conditional_edges("router", agents, ["flight", "hotel", "response"])
    graph.add_edge("flight", "response").add_edge("hotel", "response").set_finish_point("response")
    return graph.compile(store, name="travel", multitask_strategy="interrupt")
