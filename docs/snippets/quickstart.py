# --8<-- [start:program]
from taf import AgentState, SqliteCheckpointer, StateGraph, interrupt


class Order(AgentState):
    item: str
    price: int
    paid_by: str = ""
    note: str = ""


async def pay(order: Order) -> dict[str, str]:
    name = await interrupt(f"{order.item} costs {order.price}. Who pays?", answer=str)
    return {"paid_by": name}


def ship(order: Order) -> dict[str, str]:
    return {"note": f"{order.item} is on its way, paid by {order.paid_by}."}


graph = StateGraph(Order).add_node(pay).add_node(ship)
app = graph.compile(checkpointer=SqliteCheckpointer("orders.db"))
config = {"thread_id": "order-1"}

result = app.invoke({"item": "A chair", "price": 80}, config)
print(result.interrupt_reason)  # → A chair costs 80. Who pays?

result = app.resume(config, "Alice")  # here, or in another process, tomorrow
print(result.status)  # → completed
print(result.state.note)  # → A chair is on its way, paid by Alice.
# --8<-- [end:program]
app.close()
app.checkpointer.close()
