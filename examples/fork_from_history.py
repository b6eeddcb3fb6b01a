"""Every step is kept: look back, and begin another thread where this one was earlier."""

from __future__ import annotations

from typing import Annotated

from taf import AgentState, StateGraph, append


class Story(AgentState):
    """A story that grows."""

    hero: str
    lines: Annotated[list[str], append] = []


def begin(state: Story) -> dict[str, str]:
    return {"lines": f"{state.hero} left home."}


def meet(state: Story) -> dict[str, str]:
    return {"lines": f"{state.hero} met a dragon."}


def end(state: Story) -> dict[str, str]:
    return {"lines": f"{state.hero} came home."}


def main() -> None:
    with StateGraph(Story).add_node(begin).add_node(meet).add_node(end).compile() as app:
        config = {"thread_id": "original"}
        app.invoke({"hero": "Ada"}, config)
        history = app.get_history(config)
        for snapshot in history:
            print(f"checkpoint {snapshot.checkpoint_id}: {len(snapshot.state.lines)} lines, next {snapshot.next}")

        early = next(snapshot for snapshot in history if snapshot.next == ("meet",))
        fork = app.fork(early.config, thread_id="what-if")
        app.update_state(fork, {"hero": "Grace"})
        retold = app.resume(fork)
        print("original:", app.get_state(config).state.lines)
        print("what-if: ", retold.state.lines)


if __name__ == "__main__":
    main()
