import os
import sys

os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]

# --8<-- [start:agent]
from taf import AgentState, Message, SqliteCheckpointer, StateGraph, emit


async def plan(state: AgentState) -> Message:
    for word in ("I ", "would ", "delete ", "3 ", "files."):
        emit(word)  # shown as it comes
    return Message.text_message("I would delete 3 files.", role="assistant")


async def delete(state: AgentState) -> Message:
    return Message.text_message("Deleted.", role="assistant")


graph = StateGraph().add_node(plan).add_node(delete)
app = graph.compile(SqliteCheckpointer("threads.db"), name="cleaner", interrupt_before=["delete"])
# --8<-- [end:agent]


# --8<-- [start:serve]
from taf.acp import GraphAgent, serve


async def main() -> None:
    async with app.checkpointer, app:
        await serve(GraphAgent(app, deadline=60))  # until the client is gone


# --8<-- [end:serve]

if __name__ == "__main__":
    # --8<-- [start:node]
    from taf import Approve
    from taf.acp import AgentNode

    cleaner = AgentNode("taf acp docs.snippets.agents:app")  # the command of any agent
    review = StateGraph().add_node("cleaner", cleaner).compile()

    question = {"messages": Message.text_message("Clean up, please.")}
    result = review.invoke(question, {"thread_id": "t"})
    print(result.interrupt_reason)  # → Paused before node "delete".

    result = review.resume({"thread_id": "t"}, Approve())  # or the name of an option: "Approve", "Reject"
    print(result.messages[-1].text().split())  # → ['I', 'would', 'delete', '3', 'files.', 'Deleted.']
    # --8<-- [end:node]
