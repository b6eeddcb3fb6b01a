# --8<-- [start:rename]
from taf import AgentState, GraphChangedError, InMemoryCheckpointer, StateGraph

store = InMemoryCheckpointer()  # in a real program a SqliteCheckpointer, and each part below a deployment of its own
config = {"thread_id": "t"}


def graph(*names: str) -> StateGraph:
    built = StateGraph(Order)
    for name in names:
        built.add_node(name, lambda state, name=name: {"note": f"{name} was here"})
    return built


class Order(AgentState):
    note: str = ""
    price: str = "12 EUR"


first = graph("check", "send").compile(store, interrupt_before=["send"])
first.invoke({}, config)  # waits before "send"

try:
    graph("check", "ship").compile(store).invoke(None, config)
except GraphChangedError as error:
    print(error.what)  # → it is at node "send", which the graph does not have

second = graph("check", "ship").compile(store, rename_nodes={"send": "ship"})
print(second.invoke(None, config).state.note)  # → ship was here
# --8<-- [end:rename]

# --8<-- [start:migrate]
from typing import Any


class Order(AgentState):  # type: ignore[no-redef]  # noqa: F811
    note: str = ""
    amount: int
    currency: str


def split_price(values: dict[str, Any]) -> dict[str, Any]:
    amount, currency = values.pop("price").split()
    return {**values, "amount": int(amount), "currency": currency}


third = graph("check", "ship").compile(store, state_version=2, migrations={1: split_price})
print(third.get_state(config).state.amount)  # → 12
print(third.invoke({"note": "again"}, config).state.currency)  # → EUR
# --8<-- [end:migrate]
