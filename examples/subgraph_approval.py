"""A compiled graph as a node of another one. Its question is a question of the outer thread, and is answered there."""

from __future__ import annotations

from taf import END, START, AgentState, CompiledGraph, Message, Reject, StateGraph, interrupt_sync


class Order(AgentState):
    """Both graphs share these fields, so they are handed in and back."""

    item: str
    price: int
    paid_by: str = ""


def check(state: Order) -> Message:
    return Message.text_message(f"{state.item} costs {state.price}.", role="assistant")


def pay(state: Order) -> dict[str, str]:
    account = interrupt_sync(f"Which account pays {state.price}?", answer=str)
    return {"paid_by": account}


def ship(state: Order) -> Message:
    return Message.text_message(f"{state.item} is on its way.", role="assistant")


def build() -> CompiledGraph:
    payment = StateGraph(Order).add_node("check", check).add_node("pay", pay).compile(interrupt_before=["pay"])
    shop = StateGraph(Order).add_node("payment", payment).add_node("ship", ship)
    shop.add_edge(START, "payment")
    shop.add_conditional_edges("payment", lambda order: "ship" if order.paid_by else END, ["ship", END])
    return shop.compile()


def main() -> None:
    with build() as app:
        config = {"thread_id": "order-1"}
        result = app.invoke({"item": "A chair", "price": 80}, config)
        print(f"waits at {' > '.join(result.interrupts[0].path)}: {result.interrupt_reason}")
        result = app.resume(config)
        print(f"waits at {' > '.join(result.interrupts[0].path)}: {result.interrupt_reason}")
        result = app.resume(config, "savings", by="alice")
        print(f"{result.status}: paid by {result.state.paid_by}; {result.messages[-1].text()}")

        refused = app.invoke({"item": "A boat", "price": 90_000}, {"thread_id": "order-2"})
        refused = app.resume({"thread_id": "order-2"}, Reject("too expensive"), by="alice")
        print(f"{refused.status}: paid by {refused.state.paid_by or 'nobody'}; {refused.messages[-1].text()}")


if __name__ == "__main__":
    main()
