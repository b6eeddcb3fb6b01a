from datetime import UTC, datetime, timedelta

import pytest

from taf import ConfigError, InterruptExpiredError, StateGraph, interrupt
from taf.testing import ManualClock


def test_a_clock_stands_still() -> None:
    clock = ManualClock(100.0)

    assert (clock(), clock()) == (100.0, 100.0)


def test_a_clock_goes_on_when_it_is_told() -> None:
    clock = ManualClock(100.0)

    assert clock.advance(2.5) == clock() == 102.5
    assert clock.advance(0) == 102.5


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_clock_does_not_go_back_by_itself(seconds: float) -> None:
    clock = ManualClock(100.0)

    with pytest.raises(ConfigError, match="set"):
        clock.advance(seconds)

    assert clock() == 100.0
    clock.set(50.0)
    assert clock() == 50.0


async def test_an_app_lives_by_its_clock() -> None:
    clock = ManualClock()
    due_at = datetime.fromtimestamp(clock(), UTC) + timedelta(hours=1)

    async def ask(state):
        await interrupt("in time?", due_at=due_at)

    async with StateGraph().add_node("ask", ask).compile(clock=clock) as app:
        result = await app.ainvoke({}, {"thread_id": "t"})
        assert result.interrupts[0].created_at == due_at - timedelta(hours=1)
        clock.advance(3601)
        with pytest.raises(InterruptExpiredError):
            await app.aresume({"thread_id": "t"}, "yes")
