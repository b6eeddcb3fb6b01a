# --8<-- [start:human]
from taf import AgentState, StateGraph, interrupt, task
from taf.testing import FakeHuman


async def order(state: AgentState) -> dict:
    return {"count": await interrupt("how many?", answer=int)}


async def pay(state: AgentState) -> dict:
    return {"paid": await task("charge", shop.charge, state.count)}


graph = StateGraph().add_node("order", order).add_node("pay", pay)


def test_an_order_is_paid() -> None:
    human = FakeHuman({"how many?": 3})
    with graph.compile(interrupt_before=["pay"]) as app:
        result = human.run(app)  # until the thread rests

    assert result.state.paid == 3
    assert human.reasons == ["how many?", 'Paused before node "pay".']


# --8<-- [end:human]


class Shop:
    """Charges, and charges again when it is asked again."""

    def __init__(self) -> None:
        self.charges: list[int] = []

    def charge(self, count: int) -> int:
        self.charges.append(count)
        return count


shop = Shop()
test_an_order_is_paid()

# --8<-- [start:clock]
from taf.testing import ManualClock

clock = ManualClock()
app = graph.compile(clock=clock)
clock.advance(3600)  # an hour later: what is due by then is late
# --8<-- [end:clock]
app.close()

# --8<-- [start:explore]
from taf.testing import BrokenInvariantError, crash_at, interrupt_at

interrupt_at(graph, answers={"how many?": 3})  # a stop and a breakpoint at every node: all end the same

try:
    crash_at(graph, answers={"how many?": 3}, fresh=shop.charges.clear, world=lambda: sum(shop.charges))
except BrokenInvariantError as error:
    print(error)
# → 1 of 12 cuts broke an invariant:
# →   crash before append 5 (task_recorded): the world is 6, and undisturbed 3
# --8<-- [end:explore]

# --8<-- [start:store]
from taf import SqliteCheckpointer
from taf.testing import CheckpointerContract


class TestMyStore(CheckpointerContract):
    def make_store(self) -> SqliteCheckpointer:  # empty, and your own
        return SqliteCheckpointer(self.tmp_path / "threads.db")

    def reopen_store(self) -> SqliteCheckpointer:  # a second object on the same data
        return SqliteCheckpointer(self.tmp_path / "threads.db")


# --8<-- [end:store]

# --8<-- [start:publisher]
from taf.publisher import CollectingPublisher
from taf.testing import PublisherContract


class TestMyPublisher(PublisherContract):
    def make_publisher(self) -> CollectingPublisher:
        return CollectingPublisher()

    def received(self, publisher: CollectingPublisher) -> list[int]:  # what got through
        return [event.sequence for event in publisher.events]


# --8<-- [end:publisher]
