"""Searches that take real time and find one thing after another, as real ones do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from typing_extensions import TypedDict


class Offer(TypedDict):
    """Something that was found. ``price`` is in whole euros."""

    name: str
    destination: str
    price: int


FLIGHTS = ("Polar Air", "Lotus Lines", "Cloud Nine", "Blue Swan")
HOTELS = ("Grand Hotel", "The Anchor", "Garden Inn", "Station Rooms")


def offer(name: str, destination: str) -> Offer:
    """Return an offer whose price depends on nothing but the two names."""
    return {"name": name, "destination": destination, "price": 80 + sum(map(ord, name + destination)) % 400}


async def search_flights(destination: str, pace: float) -> AsyncIterator[Offer]:
    """Yield flights, one every ``pace`` seconds: a client that waits for a network."""
    for name in FLIGHTS:
        await asyncio.sleep(pace)
        yield offer(name, destination)


def search_hotels(destination: str, pace: float) -> Iterator[Offer]:
    """Yield hotels, one every ``pace`` seconds: a client that blocks its thread."""
    for name in HOTELS:
        time.sleep(pace)
        yield offer(name, destination)
