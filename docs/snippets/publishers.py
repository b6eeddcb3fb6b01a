import warnings

from taf import AgentState, StateGraph

warnings.simplefilter("ignore", RuntimeWarning)  # one publisher below is broken on purpose

# --8<-- [start:own]
from taf.publisher import BasePublisher, CollectingPublisher, ConsolePublisher, Event


class Pager(BasePublisher):
    """Tells somebody when a run waits for a human, or failed."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def publish(self, event: Event) -> None:  # or a plain def: it runs in a worker thread
        if event.event_type in ("interrupted", "error"):
            self.sent.append(f"{event.thread_id}: {event.metadata['status']}")


pager, collected = Pager(), CollectingPublisher()
graph = StateGraph().add_node("look", lambda state: None).add_node("act", lambda state: None)

with graph.compile(publisher=[pager, collected], interrupt_before=["act"]) as app:
    app.invoke({}, {"thread_id": "t"})

print(pager.sent)  # → ['t: Paused before node "act".']
print([event.event_type.value for event in collected.events])  # → ['started', 'node_completed', 'interrupted']
# --8<-- [end:own]
assert ConsolePublisher


# --8<-- [start:function]
def broken(event: Event) -> None:
    raise RuntimeError("no network")


with graph.compile(publisher=broken) as app:  # any function that takes an event
    print(app.invoke().status)  # → completed
# --8<-- [end:function]
assert AgentState
