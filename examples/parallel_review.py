"""Two reviewers are asked at the same time; what follows waits for both. Answering one re-runs nothing of the other."""

from __future__ import annotations

import asyncio
from typing import Annotated

from pydantic import BaseModel

from taf import START, AgentState, AmbiguousResumeError, StateGraph, append, interrupt, task


class Verdict(BaseModel):
    """What a reviewer answers."""

    accepts: bool
    remark: str = ""


class Article(AgentState):
    """An article and its reviews."""

    text: str
    reviews: Annotated[list[str], append] = []
    is_published: bool = False


def count_words(text: str) -> int:
    print("  (the words are counted)")
    return len(text.split())


async def review_style(state: Article) -> dict[str, str]:
    words = await task("count", count_words, state.text)  # once, though the node runs again for its answer
    verdict = await interrupt(f"Style: are {words} words fine?", answer=Verdict)
    return {"reviews": f"style: {verdict.accepts} {verdict.remark}".strip()}


async def review_facts(state: Article) -> dict[str, str]:
    verdict = await interrupt("Facts: is it true?", answer=Verdict)
    return {"reviews": f"facts: {verdict.accepts} {verdict.remark}".strip()}


async def publish(state: Article) -> dict[str, bool]:
    return {"is_published": all("True" in review for review in state.reviews)}


# --8<-- [start:graph]
def build() -> StateGraph:
    graph = StateGraph(Article)
    graph.add_node(review_style).add_node(review_facts).add_node(publish)
    graph.add_edge(START, "review_style").add_edge(START, "review_facts")
    graph.add_edge(["review_style", "review_facts"], "publish")  # once, after both
    return graph


# --8<-- [end:graph]


async def main() -> None:
    config = {"thread_id": "article"}
    async with build().compile() as app:
        result = await app.ainvoke({"text": "Water is wet."}, config)
        for record in result.interrupts:
            print(f"open: {record.reason}")
        try:
            await app.aresume(config, Verdict(accepts=True))
        except AmbiguousResumeError as error:
            print(f"an answer has to name one of {len(error.interrupt_ids)}")

        style, facts = result.interrupts
        result = await app.aresume(config, Verdict(accepts=True), by="bob", interrupt_id=facts.id)
        print(f"bob answered; still open: {[record.reason for record in result.interrupts]}")
        result = await app.aresume(config, Verdict(accepts=True, remark="nice"), by="alice", interrupt_id=style.id)
        print(f"{result.status}: {result.state.reviews}, published: {result.state.is_published}")


if __name__ == "__main__":
    asyncio.run(main())
