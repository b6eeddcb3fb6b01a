"""A dangerous request waits for a person, in a file that outlives this process.

    python examples/approval_workflow.py --db approval.db
    python examples/approval_workflow.py --db approval.db --resume THREAD --approve
    python examples/approval_workflow.py --db approval.db --resume THREAD --deny "not on a Friday"

Press Ctrl-C or Ctrl-D at the question, or kill the process at any moment: the request waits in the file.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from typing import Any

from taf import (
    AgentState,
    Approve,
    CompiledGraph,
    ExecutionStatus,
    Message,
    Reject,
    RunResult,
    SqliteCheckpointer,
    StateGraph,
    TafError,
    approve_if,
)
from taf.checkpointer import BaseCheckpointer

YES = ("yes", "y", "approve", "approved")
NO = ("no", "n", "not", "never", "deny", "denied", "cancel")


class Cleanup(AgentState):
    """What is to be deleted, and what was."""

    request: str
    seconds: float = 0.0
    found: list[str] = []
    deleted: list[str] = []


async def analyze(state: Cleanup) -> dict[str, Any]:
    found = ["customers.db", "invoices.db", "backup.tar"]
    print(f"  analyze:  {state.request!r} would delete {', '.join(found)}")
    return {"found": found, "messages": Message.text_message(f"{len(found)} files would be gone.", role="assistant")}


def delete(state: Cleanup) -> dict[str, Any]:
    print(f"  delete:   deleting {len(state.found)} files ...", flush=True)
    time.sleep(state.seconds)
    return {"deleted": state.found}


async def report(state: Cleanup) -> Message:
    print(f"  report:   {len(state.deleted)} files deleted")
    return Message.text_message(f"Deleted: {', '.join(state.deleted)}.", role="assistant")


# --8<-- [start:compile]
def build(checkpointer: BaseCheckpointer) -> CompiledGraph:
    graph = StateGraph(Cleanup)
    graph.add_node("analyze", analyze)
    graph.add_node("delete", delete)
    graph.add_node("report", report)
    return graph.compile(
        checkpointer=checkpointer,
        interrupt_before=["delete"],
        decide=approve_if(YES, deny=NO),  # without it, any message approves, also "no"
    )


# --8<-- [end:compile]


def ask(question: str) -> str | None:
    """Return what the person typed, or None when there is nobody."""
    try:
        return input(question)
    except (EOFError, KeyboardInterrupt):
        print()
        return None


def decide_in_the_terminal(app: CompiledGraph, result: RunResult) -> RunResult:
    """Put the question until the answer is a yes or a no. Return the paused result when nobody answers."""
    config = {"thread_id": result.thread_id}
    while result.interrupted:
        print(f"\n{result.interrupt_reason} {result.messages[-1].text()}")
        answer = ask("Delete them? (yes/no) ")
        if answer is None:
            break
        if answer.strip():
            result = app.invoke(Message.text_message(answer), config)
    return result


def python() -> str:
    """Return how this Python is called from here: by its path, when it belongs to this folder."""
    path = os.path.relpath(sys.executable)
    return "python" if path.startswith("..") else path


def tell(result: RunResult, db: str) -> None:
    """Say how the thread stands, and if it waits, how to go on from any process."""
    if result.interrupted:
        command = shlex.join([python(), "examples/approval_workflow.py", "--db", db, "--resume", result.thread_id])
        print(f"Thread {result.thread_id} waits in {db}. To go on, now or after a restart:")
        print(f"  {command} --approve\n  {command} --deny")
    elif result.status is ExecutionStatus.COMPLETED:
        print("Done." if result.state.deleted else "Denied: nothing was deleted.")
    else:
        print(f"Thread {result.thread_id} is {result.status}.")


def resume(app: CompiledGraph, thread_id: str, options: argparse.Namespace) -> RunResult:
    """Answer the question of a thread that was left earlier, or let a thread go on whose process was killed."""
    config = {"thread_id": thread_id}
    if options.approve:
        return app.resume(config, Approve(), by=options.by)
    if options.deny is not None:
        return app.resume(config, Reject(options.deny), by=options.by)
    if app.get_state(config).status.is_interrupted:
        return decide_in_the_terminal(app, app.join(config))
    return decide_in_the_terminal(app, app.resume(config))


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", default="approval.db", help="the SQLite file that keeps the threads")
    parser.add_argument("--request", default="Delete all production data")
    parser.add_argument("--thread", help="name the new thread")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long the deletion takes, to kill it meanwhile")
    parser.add_argument("--resume", metavar="THREAD", help="go on with a thread")
    parser.add_argument("--by", help="who decides, for the record")
    answer = parser.add_mutually_exclusive_group()
    answer.add_argument("--approve", action="store_true", help="with --resume: delete them")
    answer.add_argument("--deny", metavar="REASON", nargs="?", const="", help="with --resume: delete nothing")
    options = parser.parse_args(arguments)
    if not options.resume and (options.approve or options.deny is not None):
        parser.error("--approve and --deny need --resume THREAD")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = read_options(arguments)
    with SqliteCheckpointer(options.db) as store, build(store) as app:
        try:
            if options.resume:
                result = resume(app, options.resume, options)
            else:
                config = {"thread_id": options.thread} if options.thread else {}
                result = app.invoke({"request": options.request, "seconds": options.seconds}, config)
                result = decide_in_the_terminal(app, result)
        except TafError as error:
            print(error)
            return 1
        tell(result, options.db)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
