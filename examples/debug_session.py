"""Look at a run after every step, and repair a value before it goes on: ``interrupt_after`` and ``Edit``."""

from __future__ import annotations

from taf import AgentState, Edit, RunResult, StateGraph


class Pipeline(AgentState):
    """A row of numbers, and what becomes of it."""

    raw: list[float] = []
    clean: list[float] = []
    mean: float | None = None


def preprocess(state: Pipeline) -> dict[str, list[float]]:
    return {"clean": [number for number in state.raw if number == number]}  # without what is not a number


def infer(state: Pipeline) -> dict[str, float]:
    return {"mean": sum(state.clean) / len(state.clean)}


def postprocess(state: Pipeline) -> dict[str, float]:
    assert state.mean is not None
    return {"mean": round(state.mean, 2)}


def show(result: RunResult) -> None:
    print(f"paused after {result.current_node}: clean={result.state.clean} mean={result.state.mean}")


def main() -> None:
    graph = StateGraph(Pipeline)
    graph.add_node(preprocess).add_node(infer).add_node(postprocess)
    config = {"thread_id": "debug"}
    with graph.compile(interrupt_after=["preprocess", "infer"]) as app:
        result = app.invoke({"raw": [1.0, 2.0, float("nan"), 9000.0]}, config)
        while result.interrupted:
            show(result)
            if 9000.0 in result.state.clean and result.current_node == "preprocess":
                print("  9000 is a typing error: take it out, then go on")
                result = app.resume(config, Edit({"clean": [1.0, 2.0]}))
            else:
                result = app.invoke({}, config)
        print(f"{result.status}: mean={result.state.mean}")


if __name__ == "__main__":
    main()
