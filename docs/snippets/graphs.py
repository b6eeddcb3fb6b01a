# --8<-- [start:edges]
from typing import Annotated

from taf import END, START, AgentState, Command, StateGraph, append


class Essay(AgentState):
    topic: str
    drafts: Annotated[list[str], append] = []
    score: int = 0


def write(essay: Essay) -> dict[str, str]:
    return {"drafts": f"draft {len(essay.drafts) + 1} about {essay.topic}"}


async def grade(essay: Essay) -> dict[str, int]:
    return {"score": 4 * len(essay.drafts)}


def is_good(essay: Essay) -> str:
    return END if essay.score > 5 else "write"


graph = StateGraph(Essay)
graph.add_node(write)
graph.add_node("judge", grade)
graph.add_edge(START, "write")
graph.add_edge("write", "judge")
graph.add_conditional_edges("judge", is_good, ["write", END])

app = graph.compile()
result = app.invoke({"topic": "rain"})
print(result.state.drafts)  # → ['draft 1 about rain', 'draft 2 about rain']
# --8<-- [end:edges]


# --8<-- [start:command]
def triage(essay: Essay) -> Command:
    return Command(update={"score": 1}, goto="write")  # instead of the node's own edges


# --8<-- [end:command]

jump = StateGraph(Essay).add_node(triage).add_node("skipped", grade).add_node(write)
jump.add_edge(START, "triage").add_edge("triage", "skipped")
print(jump.compile().invoke({"topic": "snow"}).state.score)  # → 1


# --8<-- [start:send]
from taf import Send


class Shop(AgentState):
    urls: list[str]
    url: str = ""
    sizes: Annotated[list[int], append] = []


def fan_out(shop: Shop) -> list[Send]:
    return [Send("measure", {"url": url}) for url in shop.urls]


def measure(shop: Shop) -> dict[str, int]:
    return {"sizes": len(shop.url)}  # only what a branch returns is kept


shops = StateGraph(Shop).add_node(measure)
shops.add_conditional_edges(START, fan_out, ["measure"])
print(shops.compile().invoke({"urls": ["a.org", "bb.org"]}).state.sizes)  # → [5, 6]
# --8<-- [end:send]


# --8<-- [start:retry]
from taf import Context, NodeTimeoutError, RetryPolicy

attempts: list[int] = []


async def fetch(state: AgentState, ctx: Context) -> dict[str, str]:
    attempts.append(ctx.attempt)
    if ctx.attempt < 3:
        raise ConnectionError("try again")
    return {"page": "<html>"}


web = StateGraph()
web.add_node("fetch", fetch, timeout=5, retry=RetryPolicy(max_attempts=4, initial_interval=0.01))
print(web.compile().invoke().status)  # → completed
print(attempts)  # → [1, 2, 3]
# --8<-- [end:retry]
assert issubclass(NodeTimeoutError, Exception)


# --8<-- [start:config]
def who(state: AgentState, config: dict[str, object]) -> dict[str, object]:
    return {"user": config["user_id"], "language": config["language"]}


result = StateGraph().add_node(who).compile().invoke({}, {"user_id": "u1", "language": "de"})
print(result.state.user, result.state.language)  # → u1 de
# --8<-- [end:config]

# --8<-- [start:faults]
from taf import GraphValidationError

broken = StateGraph().add_node("draft", write).add_edge(START, "darft")
try:
    broken.compile(interrupt_before=["publish"])
except GraphValidationError as error:
    for fault in error.faults:
        print(fault)
# → The edge from '__start__' leads to "darft", which is no node. Did you mean "draft"? The nodes: draft.
# → interrupt_before names "publish", which is no node. The nodes: draft.
# --8<-- [end:faults]

# --8<-- [start:parallel]
from taf import UpdateConflictError


class Trip(AgentState):
    hotel: str = ""
    prices: Annotated[dict[str, int], lambda current, update: current | update] = {}


def ask_alice(trip: Trip) -> dict[str, object]:
    return {"prices": {"alice": 80}}


def ask_bob(trip: Trip) -> dict[str, object]:
    return {"prices": {"bob": 70}}


def choose(trip: Trip) -> dict[str, str]:
    return {"hotel": min(trip.prices, key=trip.prices.__getitem__)}


trips = StateGraph(Trip).add_node(ask_alice).add_node(ask_bob).add_node(choose)
trips.add_edge(START, "ask_alice").add_edge(START, "ask_bob")  # both run in one step
trips.add_edge(["ask_alice", "ask_bob"], "choose")  # once, after both
print(trips.compile().invoke().state.hotel)  # → bob
# --8<-- [end:parallel]
assert issubclass(UpdateConflictError, Exception)

# --8<-- [start:runs]
from taf import NothingToResumeError

config = {"thread_id": "essay-7"}
first = app.invoke({"topic": "sun"}, config)
again = app.invoke({"topic": "wind"}, config)  # a new pass, on the state that is there
print(len(again.state.drafts), again["status"])  # → 3 completed
try:
    app.invoke(None, config)
except NothingToResumeError as error:
    print(error)  # → Thread "essay-7" is completed: there is nothing to resume. Pass new input to start a pass.
# --8<-- [end:runs]
