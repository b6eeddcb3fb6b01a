# --8<-- [start:node]
from taf import AgentState, StateGraph


def fail(state: AgentState) -> None:
    raise ValueError("the tool broke")


with StateGraph().add_node(fail).compile() as app:
    try:
        app.invoke({}, {"thread_id": "t"})
    except ValueError as error:  # the node's own exception, as it is
        print(error.thread_id, error.node)  # type: ignore[attr-defined]  # → t fail
    print(app.get_state({"thread_id": "t"}).status)  # → error
    # app.invoke({}, {"thread_id": "t"}) runs the node again.
# --8<-- [end:node]

# --8<-- [start:tree]
from taf import TafError

with StateGraph().add_node("a", lambda state: None).compile() as app:
    try:
        app.resume({"thread_id": "nobody"})
    except TafError as error:  # the root of the tree
        print(error)  # → There is no thread "nobody" in this checkpointer.
# --8<-- [end:tree]
