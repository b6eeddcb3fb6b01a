"""Starts and stops at random moments: every thread ends in a status that there is, and goes on."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

from taf import ExecutionStatus, emit
from taf.checkpointer.base import BaseCheckpointer
from tests.stopping.slow import Trail, chain

ROUNDS = 300
AT_REST = {"stopped", "completed"}


async def short(state: Trail) -> dict[str, list[str]]:
    emit("x", key="k")
    await asyncio.sleep(random.random() * 0.002)
    return {"done": ["short"]}


def in_thread(state: Trail) -> dict[str, list[str]]:
    return {"done": ["thread"]}


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_random_stops_on_one_thread_never_wedge_it(store: BaseCheckpointer, kind: str) -> None:
    config = {"thread_id": "t"}
    node = short if kind == "async" else in_thread
    async with asyncio.timeout(120), chain(store, ("a", node), ("b", short), ("c", node)) as app:
        for number in range(ROUNDS):
            given = {} if number % 2 else None
            if number == 0 or (await app.aget_state(config)).status is ExecutionStatus.COMPLETED:
                given = {}
            running = asyncio.create_task(app.ainvoke(given, {**config, "run_id": f"r{number}"}))
            await asyncio.sleep(random.random() * 0.004)
            answer = await app.astop(config)
            result = await running

            assert (answer["ok"], answer["status"] in AT_REST) == (True, True), answer
            assert result.status == answer["status"]
            assert (await app.aget_state(config)).status == result.status

        assert (await app.ainvoke({}, config)).status is ExecutionStatus.COMPLETED
        sequences = [event.sequence async for event in app.aevents(config)]
        assert sequences == list(range(1, len(sequences) + 1))


async def test_a_stop_that_is_answered_never_hits_the_next_run(store: BaseCheckpointer) -> None:
    config = {"thread_id": "t"}
    async with asyncio.timeout(120), chain(store, ("a", short), ("b", short)) as app:
        for _ in range(ROUNDS // 3):
            running = asyncio.create_task(app.ainvoke({}, config))
            await asyncio.sleep(random.random() * 0.003)
            await app.astop(config)
            await running
            assert (await app.ainvoke({}, config)).status is ExecutionStatus.COMPLETED


def test_stops_from_other_threads_never_wedge_a_thread(store: BaseCheckpointer) -> None:
    with chain(store, ("a", short), ("b", in_thread), ("c", short)) as app:
        is_over = threading.Event()
        wrong: list[object] = []

        def stops() -> None:
            while not is_over.is_set():
                for thread_id in ("0", "1", "2"):
                    answer = app.stop({"thread_id": thread_id})
                    if not isinstance(answer["status"], str):
                        wrong.append(answer)

        stopper = threading.Thread(target=stops)
        stopper.start()
        try:
            for number in range(ROUNDS // 2):
                result = app.invoke({}, {"thread_id": str(number % 3)})
                assert result.status in AT_REST
        finally:
            is_over.set()
            stopper.join()
        assert wrong == []
        for thread_id in ("0", "1", "2"):
            assert app.invoke({}, {"thread_id": thread_id}).status is ExecutionStatus.COMPLETED
