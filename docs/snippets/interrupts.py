from taf import AgentState, InMemoryCheckpointer, Message, StateGraph

ran: list[str] = []


def look(state: AgentState) -> Message:
    return Message.text_message("It would delete 3 files.", role="assistant")


def delete(state: AgentState) -> None:
    ran.append("delete")


# --8<-- [start:breakpoint]
graph = StateGraph().add_node(look).add_node(delete)
app = graph.compile(interrupt_before=["delete"])  # interrupt_after=[...] pauses behind a node

result = app.invoke({}, {"thread_id": "t"})
print(result.interrupted, result.current_node)  # → True delete
print(result["interrupt_reason"])  # → Paused before node "delete".

result = app.resume({"thread_id": "t"})  # approve
print(result.status)  # → completed
# --8<-- [end:breakpoint]
assert ran.pop() == "delete"

# --8<-- [start:danger]
config = {"thread_id": "danger"}
app.invoke({}, config)
app.invoke(Message.text_message("DENIED! Do not delete anything!"), config)
print(ran)  # → ['delete']
# --8<-- [end:danger]
ran.clear()

# --8<-- [start:approve_if]
from taf import approve_if

app = graph.compile(interrupt_before=["delete"], decide=approve_if(["yes", "approved"]))

config = {"thread_id": "asked"}
app.invoke({}, config)
result = app.invoke(Message.text_message("Let me think."), config)
print(result.interrupted)  # → True
result = app.invoke(Message.text_message("DENIED: operation cancelled"), config)
print(result.status, ran)  # → completed []
# --8<-- [end:approve_if]

# --8<-- [start:decide]
from typing import Any

from taf import Approve, InterruptRecord, Reject


def decide(given: Any, record: InterruptRecord) -> Approve | Reject | None:
    """Say what plain input means. None: no answer yet; the input is kept and the thread stays paused."""
    if record.is_question or not isinstance(given, dict):
        return None
    verdict = given.get("verdict")
    if verdict == "ok":
        return Approve()
    return Reject("the form said no", goto="look") if verdict == "again" else None


app = graph.compile(interrupt_before=["delete"], decide=decide)
# --8<-- [end:decide]
config = {"thread_id": "form"}
app.invoke({}, config)
print(app.invoke({"verdict": "again"}, config).interrupted, ran)  # → True []
print(app.invoke({"verdict": "ok"}, config).status, ran)  # → completed ['delete']
ran.clear()

# --8<-- [start:reject]
from taf import Edit

config = {"thread_id": "denied"}
app.invoke({}, config)
result = app.resume(config, Reject("not on a Friday"), by="alice")  # delete does not run; the run ends
print(result.status, ran)  # → completed []

config = {"thread_id": "edited"}
app.invoke({}, config)
result = app.resume(config, Edit({"files": ["a.txt"]}), by="alice")  # change the state, then go on
print(result.state.files, ran)  # → ['a.txt'] ['delete']
# --8<-- [end:reject]
ran.clear()

# --8<-- [start:record]
record = app.interrupts({"thread_id": "denied"})[0]
print(record.node, record.kind, record.status)  # → delete before rejected
print(record.answered_by, record.answer)  # → alice not on a Friday
# --8<-- [end:record]

# --8<-- [start:set_interrupt]
from taf import ExecutionStatus


class Payment(AgentState):
    amount: int


async def check(state: Payment) -> Payment:
    if state.amount > 1000:
        state.set_interrupt(
            node="check",
            reason="A large amount",
            status=ExecutionStatus.INTERRUPTED_BEFORE,
            data={"amount": state.amount},
        )
    return state


app = StateGraph(Payment).add_node(check).compile()
result = app.invoke({"amount": 5000}, {"thread_id": "p"})
print(result.interrupt_reason, result.interrupts[0].data)  # → A large amount {'amount': 5000}
print(app.resume({"thread_id": "p"}).status)  # → completed
# --8<-- [end:set_interrupt]

# --8<-- [start:question]
from typing import Literal

from pydantic import BaseModel

from taf import InvalidAnswerError, interrupt, task


class Verdict(BaseModel):
    decision: Literal["ship", "wait"]
    days: int = 0


calls: list[str] = []


def call_the_model(text: str) -> int:
    calls.append(text)
    return len(text)


async def review(state: AgentState) -> dict[str, str]:
    score = await task("score", call_the_model, "a long text")  # recorded once
    verdict = await interrupt("Ship it?", answer=Verdict, data={"score": score})
    return {"plan": f"{verdict.decision} after {verdict.days} days"}


app = StateGraph().add_node(review).compile()
config = {"thread_id": "q"}
result = app.invoke({}, config)
print(result.interrupt_reason, result.interrupts[0].data)  # → Ship it? {'score': 11}
try:
    app.resume(config, {"decision": "perhaps"})
except InvalidAnswerError as error:
    print(error.why)  # → decision: Input should be 'ship' or 'wait'.
result = app.resume(config, {"decision": "wait", "days": 2}, by="alice")
print(result.state.plan, len(calls))  # → wait after 2 days 1
# --8<-- [end:question]

# --8<-- [start:sync]
from taf import interrupt_sync, task_sync


def review_in_a_thread(state: AgentState) -> dict[str, str]:
    score = task_sync("score", call_the_model, "short")
    verdict = interrupt_sync("Ship it?", answer=Verdict, data={"score": score})
    return {"plan": verdict.decision}


# --8<-- [end:sync]
app = StateGraph().add_node(review_in_a_thread).compile()
app.invoke({}, config)
assert app.resume(config, Verdict(decision="ship")).state.plan == "ship"

# --8<-- [start:no]
from taf import InterruptRejectedError


async def polite(state: AgentState) -> dict[str, str]:
    try:
        return {"note": await interrupt("May I?", answer=str)}
    except InterruptRejectedError as no:
        return {"note": f"no: {no.reason}"}


app = StateGraph().add_node(polite).compile()
app.invoke({}, config)
print(app.resume(config, Reject("busy")).state.note)  # → no: busy
# --8<-- [end:no]

# --8<-- [start:twice]
from taf import AlreadyAnsweredError

try:
    app.resume(config, "yes", by="bob")
except AlreadyAnsweredError as error:
    print(error.status, error.by)  # → rejected None
# --8<-- [end:twice]

# --8<-- [start:due]
from datetime import UTC, datetime, timedelta


async def hurry(state: AgentState) -> dict[str, str]:
    by_then = datetime.now(UTC) + timedelta(hours=1)
    return {"note": await interrupt("Today?", answer=str, due_at=by_then)}


# --8<-- [end:due]
app = StateGraph().add_node(hurry).compile(checkpointer=InMemoryCheckpointer())
assert app.invoke({}, config).interrupts[0].due_at is not None
assert app.resume(config, "yes").status == "completed"
