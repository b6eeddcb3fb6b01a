"""A node asks a person only when it is not sure: ``state.set_interrupt``, and ``interrupt()`` for a typed answer."""

from __future__ import annotations

import asyncio
from typing import Literal

from pydantic import BaseModel

from taf import AgentState, ExecutionStatus, InvalidAnswerError, StateGraph, interrupt


class Ticket(AgentState):
    """A support ticket."""

    text: str
    confidence: float = 0.0
    department: str = ""


class Decision(BaseModel):
    """What a person has to say."""

    department: Literal["billing", "technical"]


def classify(state: Ticket) -> Ticket:
    """Guess the department. Below 0.7 somebody has to look before the ticket goes on."""
    is_clear = "invoice" in state.text
    state.department = "billing" if is_clear else "technical"
    state.confidence = 0.95 if is_clear else 0.4
    if state.confidence < 0.7:
        state.set_interrupt(
            node="classify",
            reason=f"Low confidence ({state.confidence:.2f})",
            status=ExecutionStatus.INTERRUPTED_AFTER,
            data={"guess": state.department},
        )
    return state


async def assign(state: Ticket) -> dict[str, str]:
    """Ask for the department by a typed question, where the guess was weak."""
    if state.confidence >= 0.7:
        return {}
    decision = await interrupt("Which department?", answer=Decision, data={"text": state.text})
    return {"department": decision.department}


async def main() -> None:
    async with StateGraph(Ticket).add_node(classify).add_node(assign).compile() as app:
        clear = await app.ainvoke({"text": "my invoice is wrong"})
        print(f"clear ticket:   {clear.status}, {clear.state.department}")

        config = {"thread_id": "t-2"}
        paused = await app.ainvoke({"text": "it does not work"}, config)
        print(f"unclear ticket: {paused.interrupt_reason}, guess: {paused.interrupts[0].data['guess']}")

        asked = await app.aresume(config, by="alice")
        print(f"then it asks:   {asked.interrupt_reason}")
        try:
            await app.aresume(config, {"department": "marketing"})
        except InvalidAnswerError as error:
            print(f"wrong answer:   {error.why}")
        done = await app.aresume(config, Decision(department="billing"), by="alice")
        print(f"right answer:   {done.status}, {done.state.department}")
        for record in await app.ainterrupts(config):
            print(f"on record:      {record.reason!r} {record.status} by {record.answered_by}")


if __name__ == "__main__":
    asyncio.run(main())
