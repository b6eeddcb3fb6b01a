# --8<-- [start:reducers]
from operator import add
from typing import Annotated

from taf import AgentState, Message, StateGraph, append, merge, replace


class Research(AgentState):
    question: str  # replaced by each write; the input has to give it
    notes: Annotated[list[str], append] = []  # one item, or a list of them, at the end
    pages: Annotated[list[int], add] = []  # operator.add works too
    sources: Annotated[dict[str, str], merge] = {}  # keys laid over
    mood: Annotated[str, replace] = "calm"  # parallel nodes may both write: the last in order wins
    best: Annotated[int, max] = 0  # any callable (current, update) -> new


def read(state: Research) -> dict[str, object]:
    return {"notes": "water is wet", "pages": [1, 2], "sources": {"a": "b"}, "best": 7}


app = StateGraph(Research).add_node(read).compile()
state = app.invoke({"question": "What is water?"}).state
print(state.notes, state.pages, state.best)  # → ['water is wet'] [1, 2] 7
# --8<-- [end:reducers]


# --8<-- [start:returns]
def a_dict(state: Research) -> dict[str, object]:
    return {"notes": "each field goes through its reducer"}


def the_state(state: Research) -> Research:
    state.notes.append("changed in place")  # what differs is set, never reduced twice
    return state


def a_message(state: Research) -> Message:
    return Message.text_message("goes to the messages", role="assistant")


def nothing(state: Research) -> None:
    """Changes nothing."""


# --8<-- [end:returns]
chain = StateGraph(Research).add_node(a_dict).add_node(the_state).add_node(a_message).add_node(nothing)
with chain.compile() as app:
    found = app.invoke({"question": "?"})
print(found.state.notes)  # → ['each field goes through its reducer', 'changed in place']
print(found.messages[-1].content)  # → goes to the messages

# --8<-- [start:messages]
hello = Message.text_message("hello")
print(hello.role, hello.content, hello.text())  # → user hello hello

chat = StateGraph().add_node("answer", lambda state: Message.text_message("hi", role="assistant")).compile()
result = chat.invoke({"messages": [hello]}, {"thread_id": "chat"})
result = chat.invoke(Message.text_message("again"), {"thread_id": "chat"})  # short for {"messages": [...]}
print([message.text() for message in result.messages])  # → ['hello', 'hi', 'again', 'hi']
print(result.state.messages is result.state.context)  # → True
# --8<-- [end:messages]

# --8<-- [start:unknown]
from taf import InvalidInputError

print(chat.invoke({"input_data": [1, 2]}).state.input_data)  # → [1, 2]
strict = StateGraph(Research).add_node(read).compile()
try:
    strict.invoke({"question": "?", "note": "x"})
except InvalidInputError as error:
    print(str(error).startswith('The input has "note", which is no field of Research. Did you mean "notes"?'))  # → True
# --8<-- [end:unknown]


# --8<-- [start:meta]
def look(state: AgentState) -> dict[str, object]:
    meta = state.execution_meta
    return {"seen": f"{meta.status} step {meta.step} of {meta.thread_id}"}


paused = StateGraph().add_node(look).add_node(nothing).compile(interrupt_before=["nothing"])
result = paused.invoke({}, {"thread_id": "t"})
print(result.state.seen)  # → running step 0 of t
meta = result.state.execution_meta
print(meta.is_interrupted(), meta.interrupted_node, meta.status)  # → True nothing interrupted_before
# --8<-- [end:meta]
