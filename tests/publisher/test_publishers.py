"""The small publishers keep the contract, and each does what it is there for."""

import io
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from taf.publisher import (
    BasePublisher,
    Bus,
    CallablePublisher,
    CollectingPublisher,
    CompositePublisher,
    ConsolePublisher,
    Event,
    EventType,
    LoggingPublisher,
)
from taf.publisher.line import LONGEST, one_line
from taf.testing import PublisherContract
from taf.testing.publisher import make_event, make_events, tell


class AsyncPublisher(BasePublisher):
    def __init__(self) -> None:
        self.got: list[int] = []

    async def publish(self, event: Event) -> None:
        self.got.append(event.sequence)


class TestCollectingPublisher(PublisherContract):
    def make_publisher(self) -> CollectingPublisher:
        return CollectingPublisher()

    def received(self, publisher: CollectingPublisher) -> list[int]:
        return [event.sequence for event in publisher.events]


class TestConsolePublisher(PublisherContract):
    def make_publisher(self) -> ConsolePublisher:
        self.bytes = io.BytesIO()
        stream = io.TextIOWrapper(self.bytes, "ascii", write_through=True)
        return ConsolePublisher(stream, format=lambda event: f"{event.sequence} {one_line(event)}")

    def received(self, publisher: ConsolePublisher) -> list[int]:
        lines = self.bytes.getvalue().decode().splitlines()
        return [int(line.split()[0]) for line in lines]


class TestLoggingPublisher(PublisherContract):
    @pytest.fixture(autouse=True)
    def handler(self) -> Iterator[None]:
        self.records: list[logging.LogRecord] = []
        self.logger = logging.Logger("alone")
        handler = logging.Handler()
        handler.emit = self.records.append
        self.logger.addHandler(handler)
        yield
        self.logger.removeHandler(handler)

    def make_publisher(self) -> LoggingPublisher:
        return LoggingPublisher(self.logger)

    def received(self, publisher: LoggingPublisher) -> list[int]:
        return [record.__dict__["taf_event"].sequence for record in self.records]


class TestCallablePublisher(PublisherContract):
    def make_publisher(self) -> CallablePublisher:
        self.got: list[Event] = []
        return CallablePublisher(self.got.append)

    def received(self, publisher: CallablePublisher) -> list[int]:
        return [event.sequence for event in self.got]


class TestCompositePublisher(PublisherContract):
    def make_publisher(self) -> CompositePublisher:
        self.children = CollectingPublisher(), AsyncPublisher()
        return CompositePublisher(self.children)

    def received(self, publisher: CompositePublisher) -> list[int]:
        collecting, later = self.children
        assert [event.sequence for event in collecting.events] == later.got
        return later.got


# -- one line --------------------------------------------------------------------------------------


def test_a_line_shows_thread_step_type_node_and_content():
    assert one_line(make_event(3)) == "[t] step 3 node_completed write: text 3"
    assert one_line(make_event(3, node_name=None, content="")) == "[t] step 3 node_completed"


def test_the_status_sentence_stands_in_for_missing_content():
    event = make_event(1, EventType.INTERRUPTED, content="", metadata={"status": "Paused before write."})

    assert one_line(event) == "[t] step 1 interrupted write: Paused before write."


def test_a_line_stays_one_line_of_bearable_length():
    line = one_line(make_event(content="a\r\nb\u2028c\x1b[2Jd" + "x" * 1000))

    assert "write: a b c [2Jdxxx" in line
    assert line.endswith("x…")
    assert len(line) < LONGEST + 50


# -- console ---------------------------------------------------------------------------------------


def test_the_console_is_looked_up_when_the_event_comes(capsys: pytest.CaptureFixture[str]):
    publisher = ConsolePublisher()
    kept, sys.stdout = sys.stdout, io.StringIO()
    publisher.publish(make_event(1))
    sys.stdout = kept
    publisher.publish(make_event(2))

    assert capsys.readouterr().out == "[t] step 2 node_completed write: text 2\n"


async def test_what_the_console_shows_is_there_after_settle(capsys: pytest.CaptureFixture[str]):
    bus = Bus([ConsolePublisher()])

    bus.publish(make_events(2))
    await bus.settle()
    print("done")

    lines = capsys.readouterr().out.splitlines()
    assert lines == ["[t] step 1 node_completed write: text 1", "[t] step 2 node_completed write: text 2", "done"]


def test_a_console_may_have_a_stream_and_a_format_of_its_own():
    stream = io.StringIO()

    ConsolePublisher(stream, format=lambda event: event.content).publish(make_event(7))

    assert stream.getvalue() == "text 7\n"


# -- collecting ------------------------------------------------------------------------------------


def test_collected_events_can_be_asked_for_by_type_and_cleared():
    publisher = CollectingPublisher()
    started, stopped = make_event(1, EventType.STARTED), make_event(2, EventType.STOPPED)
    publisher.publish(started)
    publisher.publish(stopped)

    assert publisher.of(EventType.STOPPED) == publisher.of("stopped") == [stopped]
    publisher.events.clear()
    assert publisher.events == [started, stopped]
    publisher.clear()
    assert publisher.events == []


def test_many_threads_may_collect_at_once():
    publisher = CollectingPublisher()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(publisher.publish, make_events(2000)))

    assert sorted(event.sequence for event in publisher.events) == list(range(1, 2001))


# -- logs ------------------------------------------------------------------------------------------


def test_events_are_logged_by_name_and_level(caplog: pytest.LogCaptureFixture):
    publisher = LoggingPublisher("taf.test", level=logging.DEBUG)

    with caplog.at_level(logging.DEBUG, "taf.test"):
        publisher.publish(make_event(1))
        publisher.publish(make_event(2, EventType.ERROR, content="boom"))

    assert caplog.record_tuples == [
        ("taf.test", logging.DEBUG, "[t] step 1 node_completed write: text 1"),
        ("taf.test", logging.ERROR, "[t] step 2 error write: boom"),
    ]


# -- composite -------------------------------------------------------------------------------------


class Broken(BasePublisher):
    def publish(self, event: Event) -> None:
        raise ValueError(f"no {event.sequence}")

    def close(self) -> None:
        raise OSError("cannot close")


class AsyncBroken(BasePublisher):
    async def publish(self, event: Event) -> None:
        raise ValueError(f"never {event.sequence}")


class Closing(CollectingPublisher):
    closed = 0

    def close(self) -> None:
        self.closed += 1


async def test_a_failing_child_keeps_the_event_from_none_of_the_others():
    first, last, later = CollectingPublisher(), CollectingPublisher(), AsyncPublisher()
    publisher = CompositePublisher([first, Broken(), AsyncBroken(), last, later])

    with pytest.raises(ExceptionGroup, match="Broken raised ValueError: no 1, AsyncBroken raised ValueError: never 1"):
        await tell(publisher, make_event(1))

    assert len(first.events) == len(last.events) == len(later.got) == 1


def test_sync_children_need_nothing_to_be_awaited():
    first, last = CollectingPublisher(), CollectingPublisher()

    with pytest.raises(ExceptionGroup, match="Broken raised ValueError: no 1"):
        CompositePublisher([first, Broken(), last]).publish(make_event(1))

    assert first.events == last.events != []


def test_an_event_that_was_begun_and_dropped_says_nothing_about_awaiting():
    nested = CompositePublisher([AsyncPublisher()])
    rest = CompositePublisher([AsyncPublisher(), nested]).publish(make_event(1))

    assert rest is not None
    rest.close()


async def test_closing_reaches_every_child():
    first, last = Closing(), Closing()
    publisher = CompositePublisher([first, Broken(), last])

    with pytest.raises(ExceptionGroup, match="Broken raised OSError: cannot close"):
        await publisher.aclose()
    with pytest.raises(ExceptionGroup, match="Broken raised OSError"):
        publisher.close()

    assert first.closed == last.closed == 2


async def test_children_may_be_functions():
    got: list[Event] = []

    await tell(CompositePublisher([got.append]), make_event(1))

    assert len(got) == 1
