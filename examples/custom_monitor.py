"""Observers: one that prints every pause, and one that counts what happens. Neither can slow or break a run."""

from __future__ import annotations

from collections import Counter

from taf import AgentState, BasePublisher, ConsolePublisher, Event, EventType, Message, StateGraph


class PauseMonitor(ConsolePublisher):
    """Prints pauses in its own words; everything else as ``ConsolePublisher`` does."""

    def publish(self, event: Event) -> None:
        if event.event_type is EventType.INTERRUPTED:
            print(f"!! {event.node_name} waits: {event.metadata['status']} (kind: {event.data['interrupted']})")
        else:
            super().publish(event)


class Counting(BasePublisher):
    """Counts events by type."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    async def publish(self, event: Event) -> None:
        self.counts[event.event_type.value] += 1


def broken(event: Event) -> None:
    """Fail at each event: it is reported once, and the run goes on."""
    raise RuntimeError("this observer is broken")


def look(state: AgentState) -> Message:
    return Message.text_message("It looks fine.", role="assistant")


def act(state: AgentState) -> Message:
    return Message.text_message("Done.", role="assistant")


def main() -> None:
    counting = Counting()
    graph = StateGraph().add_node("LOOK", look).add_node("SENSITIVE_ACTION", act)
    app = graph.compile(publisher=[PauseMonitor(), counting, broken], interrupt_before=["SENSITIVE_ACTION"])
    with app:
        app.invoke(Message.text_message("go"), {"thread_id": "watched"})
        app.invoke({}, {"thread_id": "watched"})
    print("counted:", dict(counting.counts))


if __name__ == "__main__":
    main()
