import functools
from typing import Any

import pytest

from taf.errors import ConfigError
from taf.publisher import (
    BasePublisher,
    Bus,
    CallablePublisher,
    CollectingPublisher,
    ConsolePublisher,
    Event,
    as_publisher,
)
from taf.testing.publisher import make_events


class Closing(CollectingPublisher):
    closed = 0

    def close(self) -> None:
        self.closed += 1


class Later:
    """An object with an async call."""

    def __init__(self) -> None:
        self.got: list[int] = []

    async def __call__(self, event: Event) -> None:
        self.got.append(event.sequence)


def test_a_publisher_is_taken_as_it_is():
    publisher = CollectingPublisher()

    assert as_publisher(publisher) is publisher


async def test_a_function_that_takes_an_event_is_a_publisher():
    got: list[Event] = []
    events = make_events(3)
    bus = Bus([got.append])

    bus.publish(events)
    await bus.aclose()

    assert got == events


async def test_an_async_function_is_a_publisher():
    got: list[int] = []

    async def hear(event: Event) -> None:
        got.append(event.sequence)

    later = Later()

    async def hear_with(where: list[int], event: Event) -> None:
        where.append(event.sequence)

    partly: list[int] = []
    bus = Bus([hear, later, functools.partial(hear_with, partly)])

    bus.publish(make_events(3))
    await bus.aclose()

    assert got == later.got == partly == [1, 2, 3]


async def test_a_function_that_returns_an_awaitable_has_it_awaited():
    later = Later()

    def hear(event: Event) -> object:
        return later(event)

    bus = Bus([hear])

    bus.publish(make_events(3))
    await bus.aclose()

    assert later.got == [1, 2, 3]


async def test_what_a_function_returns_does_not_matter():
    assert CallablePublisher(lambda event: event.sequence).publish(make_events(1)[0]) is None


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (ConsolePublisher, r"ConsolePublisher is a class, not a publisher: pass ConsolePublisher\(\.\.\.\)"),
        (None, "type NoneType is no publisher"),
        ("console", "type str is no publisher: derive str from BasePublisher, pass a function"),
        ([CollectingPublisher()], "type list .*CompositePublisher"),
        (lambda: None, "has to take one event"),
        (lambda one, two: None, "has to take one event .*missing a required argument: 'two'"),
    ],
)
def test_anything_else_is_an_error_that_says_what_is_wrong(wrong: Any, what: str):
    with pytest.raises(ConfigError, match=what):
        as_publisher(wrong)


async def test_aclose_calls_close_where_only_that_is_written():
    publisher = Closing()

    await publisher.aclose()

    assert publisher.closed == 1


def test_a_publisher_has_to_say_how_it_publishes():
    with pytest.raises(TypeError, match="publish"):
        BasePublisher()
