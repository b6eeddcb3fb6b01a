"""Seven stories of the travel agent, in process, over HTTP and WebSocket, and past a server that is killed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from examples.travel import __main__ as demo
from examples.travel.graph import build
from examples.travel.tools import FLIGHTS, HOTELS, offer
from taf.interruption import AgentManager
from taf.server import create_app
from tests.examples.travel_office import Office, OverHttp, PastAKill, Server, open_in_process
from tests.server.serving import serving

PACE = 0.05


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in a process of its own; each story has a user of its own there."""
    found = Server(tmp_path_factory.mktemp("travel") / "travel.db", 2 * PACE)
    found.start()
    yield found
    found.kill()


@pytest.fixture(params=["in process", "over HTTP", "past a kill"])
async def office(request: pytest.FixtureRequest) -> AsyncGenerator[Office]:
    """Each way of reaching the agent."""
    user_id = re.sub(r"\W+", "-", request.node.name)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=20))
        if request.param == "in process":
            found = await open_in_process(stack, user_id, PACE)
        elif request.param == "over HTTP":
            app = create_app(AgentManager(build(pace=PACE)))
            found = OverHttp(user_id, await stack.enter_async_context(serving(app)), http)
        else:
            found = PastAKill(user_id, request.getfixturevalue("server"), http)
        yield found
        found.following.cancel()
        await asyncio.wait([found.following])


async def test_1_a_message_interrupts_the_task_under_way(office: Office) -> None:
    first = await office.say("Find flights to Tokyo")
    await office.until_found(first, flights=1)
    await office.middle()
    await office.until_found(first, flights=2)
    second = await office.say("Find hotels in Paris")
    stopped = await office.until(lambda m: m["status"] == "interrupted")
    assert (stopped["task_id"], stopped["superseded_by"]) == (first, second)
    answer = await office.until_answered(second)
    assert answer.startswith("Hotels in Paris: ")
    assert "Tokyo" not in answer
    assert (office.ends(first), office.ends(second)) == (["interrupted"], ["completed"])


async def test_2_what_was_found_before_an_interruption_is_kept(office: Office) -> None:
    first = await office.say("Find flights to Tokyo")
    await office.until_found(first, flights=1)
    await office.middle()
    shown = await office.until_found(first, flights=2)
    second = await office.say("Find hotels in Paris")
    kept = (await office.until(lambda m: m["status"] == "interrupted"))["partial_results"]["flight"]["flights"]
    assert len(kept) >= len(shown["partial_results"]["flight"]["flights"])
    assert kept == [offer(name, "Tokyo") for name in FLIGHTS][: len(kept)]
    await office.until_answered(second)


async def test_3_the_next_task_is_told_of_the_one_before(office: Office) -> None:
    first = await office.say("Find flights to Tokyo")
    await office.until_found(first, flights=1)
    await office.middle()
    await office.until_found(first, flights=2)
    answer = await office.until_answered(await office.say("And a hotel, please"))
    hotels, flights = answer.split("\n")
    assert hotels.startswith("Hotels in Tokyo: ")
    assert flights.startswith("Flights in Tokyo so far: ")
    assert 2 <= flights.count(" at ") < len(FLIGHTS)


async def test_4_of_many_messages_in_a_row_the_last_is_answered(office: Office) -> None:
    places = ["Rome", "Oslo", "Lima", "Cairo", "Quito"]
    ids = []
    for number, place in enumerate(places):
        if number == 3:
            await office.until_found(ids[-1], flights=1)
            await office.middle()
        ids.append(await office.say(f"Find flights to {place}"))
    assert (await office.until_answered(ids[-1])).startswith("Flights in Quito: ")
    assert [office.ends(one) for one in ids[:-1] if office.ends(one)] == [["interrupted"]] * 4
    following = {m["task_id"]: m["superseded_by"] for m in office.told if m.get("superseded_by")}
    assert [following[one] for one in ids[:-1]] == ids[1:]


async def test_5_two_agents_at_once_are_interrupted_and_both_leave_what_they_have(office: Office) -> None:
    first = await office.say("Find flights and hotels in Tokyo")
    await office.until_found(first, flights=1, hotels=1)
    await office.middle()
    await office.until_found(first, flights=1, hotels=1)
    second = await office.say("Only flights to Tokyo, please")
    stopped = await office.until(lambda m: m["status"] == "interrupted")
    left = stopped["partial_results"]
    assert left["flight"]["flights"] == [offer(name, "Tokyo") for name in FLIGHTS][: len(left["flight"]["flights"])]
    assert left["hotel"]["hotels"] == [offer(name, "Tokyo") for name in HOTELS][: len(left["hotel"]["hotels"])]
    assert stopped["agents_completed"] == ["router"]
    flights, hotels = (await office.until_answered(second)).split("\n")
    assert flights.count(" at ") == len(FLIGHTS)
    assert hotels.startswith("Hotels in Tokyo so far: ")


async def test_6_a_task_that_nobody_interrupts_is_completed(office: Office) -> None:
    task_id = await office.say("Find flights and hotels in Rome")
    shown = await office.until_found(task_id, flights=1, hotels=1)
    assert len(shown["partial_results"]["flight"]["flights"]) < len(FLIGHTS)
    await office.middle()
    flights, hotels = (await office.until_answered(task_id)).split("\n")
    assert (flights.count(" at "), hotels.count(" at ")) == (len(FLIGHTS), len(HOTELS))
    status = await office.status()
    assert (status["status"], status["intent"]) == ("completed", "both")
    assert status["agents_completed"] == ["router", "flight", "hotel", "response"]
    assert office.ends(task_id) == ["completed"]


async def test_7_a_task_can_be_stopped_and_its_context_is_asked_for(office: Office) -> None:
    assert (await office.status("nobody"))["status"] == "idle"
    assert await office.interrupt() == "idle"
    first = await office.say("Find flights to Tokyo")
    await office.until_found(first, flights=2)
    assert await office.interrupt() == "interrupted"
    stopped = await office.until(lambda m: m["status"] == "interrupted")
    assert stopped["superseded_by"] is None
    await office.middle()
    status = await office.status()
    assert (status["task_id"], status["status"]) == (first, "interrupted")
    assert status["partial_results"] == stopped["partial_results"]
    assert await office.interrupt() == "idle"
    answer = await office.until_answered(await office.say("And a hotel, please"))
    assert "Flights in Tokyo so far: " in answer


async def test_flights_and_hotels_are_looked_for_side_by_side() -> None:
    """Each agent waits for the other one to have found something: one after the other, neither would end."""
    async with build(pace=PACE) as app, AgentManager(app) as manager:
        order: list[str] = []
        await manager.register_status_callback("u", lambda task: order.append(",".join(sorted(task.partial_results))))
        await manager.result("u", await manager.handle_user_message("u", "Find flights and hotels in Rome"))
    assert "flight,hotel,router" in order


async def test_a_message_that_says_nothing_is_asked_about() -> None:
    async with build(pace=0.001) as app, AgentManager(app) as manager:
        result = await manager.result("u", await manager.handle_user_message("u", "Hello"))
        assert result.messages[-1].text() == "Where do you want to go, by plane or to a hotel?"


# -- the scenes ------------------------------------------------------------------------------------


def shown_by(scene: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    demo.main(["--scene", str(scene), "--pace", str(PACE)])
    return capsys.readouterr().out.splitlines()[2:]


def test_scene_1_interrupts_a_flight_search(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown_by(1, capsys)

    assert any(re.fullmatch(r"   'Find flights to Tokyo': interrupted, [2-4] flights", line) for line in lines)
    assert lines[-1].startswith("🤖 Hotels in Paris: ")


def test_scene_2_answers_the_last_of_four(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown_by(2, capsys)

    assert len([line for line in lines if "interrupted" in line]) == 3
    assert lines[-1].startswith("🤖 Flights in Cairo: ")


def test_scene_3_hands_on_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown_by(3, capsys)

    assert lines[-2].startswith("🤖 Hotels in Tokyo: ")
    assert lines[-1].startswith("Flights in Tokyo so far: ")


def test_scene_4_interrupts_two_agents(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown_by(4, capsys)

    assert any(
        re.fullmatch(r"   'Find flights and hotels in Tokyo': interrupted, \d flights, \d hotels", x) for x in lines
    )
    assert lines[-2].count(" at ") == len(FLIGHTS)
    assert lines[-1].startswith("Hotels in Tokyo so far: ")


def test_the_four_scenes_run_by_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    demo.main(["--pace", "0.01"])

    assert [line[:2] for line in capsys.readouterr().out.splitlines() if line[:1].isdigit()] == ["1.", "2.", "3.", "4."]
    assert "demo-travel" in (Path(__file__).resolve().parents[2] / "Makefile").read_text(encoding="utf-8")
