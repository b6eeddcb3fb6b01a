"""Counting calls and sockets."""

from __future__ import annotations

import pytest

from taf import ConfigError
from taf.server.limits import Limits, Rate, Sockets


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_allowed_and_then_a_rate() -> None:
    clock = Clock()
    rate = Rate(2.0, 3, clock=clock)

    assert [rate.wait("u") for _ in range(4)] == [0, 0, 0, 0.5]
    assert rate.wait("other") == 0
    clock.now += 0.25
    assert rate.wait("u") == 0.25
    clock.now += 0.25
    assert rate.wait("u") == 0
    clock.now += 100
    assert [rate.wait("u") for _ in range(4)] == [0, 0, 0, 0.5]


def test_users_are_not_remembered_without_end() -> None:
    rate = Rate(1.0, 1, users=10, clock=Clock())
    for number in range(100):
        rate.wait(number)

    assert len(rate._left) == 10
    assert rate.wait(99) > 0
    assert rate.wait(0) == 0


def test_sockets_are_counted_for_each_user_and_for_all() -> None:
    sockets = Sockets(Limits(sockets=3, sockets_each=2))

    assert [sockets.take("a"), sockets.take("a"), sockets.take("a")] == [True, True, False]
    assert [sockets.take("b"), sockets.take("c")] == [True, False]
    sockets.give_back("a")
    assert sockets.take("c")
    for user in ("a", "b", "c"):
        sockets.give_back(user)
    assert sockets._open == {}


@pytest.mark.parametrize("name", ["body", "rate", "burst", "sockets", "send_seconds", "frame"])
def test_a_limit_of_nothing_makes_no_sense(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: 0})
