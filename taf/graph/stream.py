"""Reading a run while it goes on: what was committed, in the shape that the reader asked for."""

from __future__ import annotations

import asyncio
import queue
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

from taf.errors import ConfigError
from taf.events import Event, EventType
from taf.graph.active import ActiveRun
from taf.graph.telling import messages_in
from taf.state.messages import Message
from taf.state.run import Run
from taf.state.schema import StateSchema

StreamMode: TypeAlias = Literal["events", "updates", "values", "messages"]

DONE: Final = object()

_MODES = ("events", "updates", "values", "messages")


def check_mode(mode: str) -> None:
    """Raise ``ConfigError`` for a stream mode that there is not."""
    if mode not in _MODES:
        raise ConfigError(f'There is no stream_mode "{mode}". The modes: {", ".join(_MODES)}.')


class Tap:
    """Takes events from a run on its loop, for one reader on the same loop or in another thread."""

    def __init__(self, mode: str, schema: StateSchema) -> None:
        check_mode(mode)
        self._mode, self._schema = mode, schema
        self._waiting: deque[Any] = deque()
        self._news = asyncio.Event()
        self._elsewhere: queue.SimpleQueue[Any] | None = None

    def feed(self, events: Sequence[Event], run: Run) -> None:
        """Take events, and the run as they leave it; called by the run."""
        chunks: Iterable[Any] = events
        if self._mode != "events":
            chunks = self._values(events, run) if self._mode == "values" else _parts(events, self._mode)
        if self._elsewhere is None:
            self._waiting.extend(chunks)
            self._news.set()
        else:
            for chunk in chunks:
                self._elsewhere.put(chunk)

    def _values(self, events: Sequence[Event], run: Run) -> list[Any]:
        is_state = any(event.event_type in _CHANGES_STATE for event in events)
        return [self._schema.state(run.values, run)] if is_state else []

    async def read(self, active: ActiveRun) -> AsyncGenerator[Any, None]:
        """Yield chunks until the run is over, then raise what it raised. A reader that breaks off stops the run."""
        active.outcome.add_done_callback(lambda _: self._news.set())
        try:
            while not active.outcome.done() or self._waiting:
                while self._waiting:
                    yield self._waiting.popleft()
                self._news.clear()
                if not active.outcome.done():
                    await self._news.wait()
            await active.result()
        finally:
            if not active.outcome.done():
                active.break_off("the reader of the stream left")
                await active.until_landed()

    def read_elsewhere(self, active: ActiveRun) -> queue.SimpleQueue[Any]:
        """Return a queue for a reader in another OS thread; ``DONE`` on it is the end."""
        chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for chunk in self._waiting:
            chunks.put(chunk)
        self._elsewhere = chunks
        active.outcome.add_done_callback(lambda _: chunks.put(DONE))
        return chunks


_CHANGES_STATE = frozenset(
    {
        *(EventType.STARTED, EventType.RESUMED, EventType.NODE_COMPLETED, EventType.STATE_UPDATED),
        *(EventType.UPGRADED, EventType.STEERED),
    }
)


def _parts(events: Sequence[Event], mode: str) -> Iterator[Any]:
    for event in events:
        if mode == "updates":
            if event.event_type is EventType.NODE_COMPLETED:
                yield {event.node_name: event.data["update"]}
        elif event.event_type is EventType.PARTIAL:
            if isinstance(event.data["value"], Message):
                yield event.data["value"]
        elif event.event_type is EventType.NODE_COMPLETED:
            yield from messages_in(event.data["update"])
