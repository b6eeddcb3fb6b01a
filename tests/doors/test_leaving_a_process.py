"""How a process ends: interrupted, or without a word. Each case is a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PREAMBLE = """
import asyncio, logging, signal, sys, threading, time
from taf import AgentState, Context, InMemoryCheckpointer, SqliteCheckpointer, StateGraph

store = SqliteCheckpointer(sys.argv[1]) if len(sys.argv) > 1 else InMemoryCheckpointer()
config = {"thread_id": "t"}
entered = threading.Event()
signal.signal(signal.SIGINT, signal.default_int_handler)  # who was started in the background ignores it
logging.getLogger("asyncio").setLevel("ERROR")  # a busy machine is no fault: it would be told of as a slow callback

def quick(state): return None

async def waits(state):
    print("entered", flush=True)
    entered.set()
    await asyncio.sleep(60)

def waits_in_thread(state, ctx: Context):
    print("entered", flush=True)
    entered.set()
    while not ctx.stopping:
        time.sleep(0.005)
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", PREAMBLE + code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, error = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, error


@pytest.fixture(params=["memory", "sqlite"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    return [] if request.param == "memory" else [str(tmp_path / "t.db")]


@pytest.mark.parametrize("node", ["waits", "waits_in_thread"])
@pytest.mark.parametrize("call", ["app.invoke({}, config)", "list(app.stream({}, config))"])
def test_an_interrupt_from_the_keyboard_stops_the_run(path: list[str], node: str, call: str) -> None:
    process = python(
        f"""
app = StateGraph().add_node("quick", quick).add_node("slow", {node}).compile(store)
try:
    {call}
except KeyboardInterrupt:
    found = app.get_state(config)
    print(found.status, found.next)
app.close()
""",
        *path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "entered\n"
    process.send_signal(signal.SIGINT)
    assert ended(process) == (0, "stopped ('slow',)\n", "")


@pytest.mark.parametrize("node", ["waits", "waits_in_thread"])
def test_an_interrupt_of_an_async_program_stops_the_run(tmp_path: Path, node: str) -> None:
    process = python(
        f"""
app = StateGraph().add_node("slow", {node}).compile(store)

async def main():
    # Any handler has asyncio woken by signals. Without one, it notices a SIGINT that comes just before it falls asleep
    # when it wakes for something else: here, never.
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)
    await app.ainvoke({{}}, config)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print(asyncio.run(app.aget_state(config)).status)
""",
        str(tmp_path / "t.db"),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "entered\n"
    process.send_signal(signal.SIGINT)
    assert ended(process) == (0, "stopped\n", "")


def test_a_process_that_never_closes_its_app_ends_quietly(path: list[str]) -> None:
    process = python(
        """
app = StateGraph().add_node("quick", quick).compile(store)
print(app.invoke({}, config).status)
print(asyncio.run(app.ainvoke({}, config)).status)
""",
        *path,
    )
    assert ended(process) == (0, "completed\ncompleted\n", "")


@pytest.mark.parametrize("node", ["waits", "waits_in_thread"])
def test_a_process_ends_though_a_run_is_under_way(path: list[str], node: str) -> None:
    process = python(
        f"""
app = StateGraph().add_node("slow", {node}).compile(store)
app.submit({{}}, config)
entered.wait(20)
print("left")
""",
        *path,
    )
    assert ended(process) == (0, "entered\nleft\n", "")


def test_the_run_that_was_under_way_is_stopped_and_goes_on_in_the_next_process(tmp_path: Path) -> None:
    path = str(tmp_path / "t.db")
    first = python(
        """
app = StateGraph().add_node("quick", quick).add_node("slow", waits_in_thread).compile(store)
app.submit({}, config)
entered.wait(20)
""",
        path,
    )
    assert ended(first) == (0, "entered\n", "")
    second = python(
        """
app = StateGraph().add_node("quick", quick).add_node("slow", quick).compile(store)
print(app.get_state(config).status)
print(app.invoke(None, config).status)
""",
        path,
    )
    assert ended(second) == (0, "stopped\ncompleted\n", "")


def test_a_daemon_thread_that_streams_does_not_keep_the_process(path: list[str]) -> None:
    process = python(
        """
app = StateGraph().add_node("slow", waits_in_thread).compile(store)
threading.Thread(target=lambda: list(app.stream({}, config)), daemon=True).start()
entered.wait(20)
""",
        *path,
    )
    code, out, error = ended(process)
    assert (code, out, error) == (0, "entered\n", "")
