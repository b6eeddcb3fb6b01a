"""A publisher as users write it: a console that says more about pauses."""

# ruff: noqa: I001 - the part between the fmt marks stays as its user wrote it
import pytest

from taf.publisher import Bus, Event
from taf.testing.publisher import make_event

# fmt: off
from taf.publisher import ConsolePublisher
from taf.publisher.events import EventType

class InterruptMonitor(ConsolePublisher):
    def publish(self, event):
        if event.event_type == EventType.INTERRUPTED:
            print(f"🛑 Execution paused at {event.node_name}")
            print(f"   Reason: {event.metadata.get('status', 'Unknown')}")
            print(f"   Interrupt type: {event.data.get('interrupted', 'Unknown')}")

        super().publish(event)
# fmt: on


def interrupted(sequence: int, kind: str) -> Event:
    return make_event(
        sequence,
        EventType.INTERRUPTED,
        node_name="SENSITIVE_ACTION",
        content=f"Paused {kind} SENSITIVE_ACTION.",
        data={"interrupted": kind},
        metadata={"status": f"Waiting for a human {kind} SENSITIVE_ACTION."},
    )


async def test_the_monitor_prints_pauses_and_every_event(capsys: pytest.CaptureFixture[str]):
    bus = Bus([InterruptMonitor()])

    bus.publish([make_event(1, EventType.STARTED, node_name=None, content="")])
    bus.publish([interrupted(2, "before"), interrupted(3, "after")])
    await bus.settle()

    assert capsys.readouterr().out.splitlines() == [
        "[t] step 1 started",
        "🛑 Execution paused at SENSITIVE_ACTION",
        "   Reason: Waiting for a human before SENSITIVE_ACTION.",
        "   Interrupt type: before",
        "[t] step 2 interrupted SENSITIVE_ACTION: Paused before SENSITIVE_ACTION.",
        "🛑 Execution paused at SENSITIVE_ACTION",
        "   Reason: Waiting for a human after SENSITIVE_ACTION.",
        "   Interrupt type: after",
        "[t] step 3 interrupted SENSITIVE_ACTION: Paused after SENSITIVE_ACTION.",
    ]
    await bus.aclose()


def test_the_monitor_does_without_facts_it_does_not_find(capsys: pytest.CaptureFixture[str]):
    InterruptMonitor().publish(make_event(1, EventType.INTERRUPTED, data={}, metadata={}))

    assert "   Reason: Unknown\n   Interrupt type: Unknown\n" in capsys.readouterr().out
