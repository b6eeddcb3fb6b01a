"""What a running node can ask for: its ``Context``, and which one is current."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from inspect import isawaitable
from typing import Any, Protocol, get_type_hints

from pydantic import TypeAdapter, ValidationError

from taf.errors import (
    ConfigError,
    GraphChangedError,
    InterruptRejectedError,
    NonDeterministicReplayError,
    OutsideNodeError,
    StoreCorruptError,
)
from taf.graph.answers import answer_adapter, why_invalid
from taf.graph.config import RunConfig
from taf.serialization import Codec
from taf.state.copying import copy_value
from taf.state.execution import ExecutionMeta
from taf.state.facts import Entry, Task
from taf.state.interrupts import QUESTION_ANSWERS, InterruptKind, InterruptRecord
from taf.state.run import Ahead, Run, arrived
from taf.state.superseded import Superseded
from taf.tuples import NamedTuple


class Question(NamedTuple):
    """What is to become an interrupt record."""

    reason: str
    data: Any = None
    answer_schema: Mapping[str, Any] | None = None
    allowed: tuple[str, ...] = QUESTION_ANSWERS
    due_at: datetime | None = None
    kind: InterruptKind = InterruptKind.NODE
    path: tuple[str, ...] = ()
    inner_id: str | None = None


class Pause(BaseException):
    """Leaves a node that asked a question. No ``Exception``, so that ``except Exception`` lets it pass."""


class AnswerRefused(BaseException):
    """Leaves a node whose recorded answer does not fit the question's type after all."""

    def __init__(self, position: int, why: str, question: str = "") -> None:
        self.position, self.why, self.question = position, why, question
        super().__init__(why)


class Host(Protocol):
    """What a context needs of the run that it belongs to."""

    config: RunConfig
    loop: asyncio.AbstractEventLoop

    @property
    def is_stopping(self) -> bool: ...

    def record_of(self, context: Context, question: Question, position: int) -> InterruptRecord: ...

    def emit(self, context: Context, value: Any, key: str | None) -> None: ...

    async def record_task(self, context: Context, position: int, entry: Entry) -> None: ...


LANE = 1 << 20
"""How many calls are counted for each task that a node makes."""


class Context:
    """A node's own view of its run: who it is, and what it may ask for."""

    was_cancelled = is_abandoned = False
    _recalled: frozenset[int] = frozenset()
    _position = 0
    _lanes: dict[asyncio.Task[Any], int] | None = None

    def __init__(
        self,
        host: Host,
        run: Run,
        task: Task,
        attempt: int = 1,
        ahead: Ahead | None = None,
        runner: asyncio.Task[Any] | None = None,
    ) -> None:
        # One by one: Python makes a tuple for more than three at once, and every step makes a context.
        self._host, self.running = host, run
        self.task, self.attempt = task, attempt
        self.ahead = ahead
        """How far plain steps have led from the run that is ``running``, which stays as it was before them."""
        self.runner = runner
        """The task that runs an async node; None for a sync one."""
        self.has_left = False
        self.asked: tuple[InterruptRecord, ...] = ()
        """The records of the questions that the node asked this time."""
        self.refused: AnswerRefused | None = None
        """The answer that did not fit its question after all."""

    @property
    def memo(self) -> Mapping[int, Entry]:
        """What the node got from tasks and humans in this visit, by the order of its calls."""
        return self.running.details.memo.get(self.task.key, {})

    def meta(self) -> ExecutionMeta:
        """Return how the thread stands, as the node sees it."""
        return replace(self.run.meta(), current_node=self.node)

    @property
    def run(self) -> Run:
        """The run as it is while the node runs."""
        return self.running if self.ahead is None else arrived(self.ahead)

    # -- who and where -----------------------------------------------------------------------------

    @property
    def node(self) -> str:
        """The node's name."""
        return self.task.node

    @property
    def thread_id(self) -> str:
        """The thread."""
        return self._host.config.thread_id

    @property
    def run_id(self) -> str:
        """The run."""
        return self._host.config.run_id

    @property
    def step(self) -> int:
        """How many steps the pass had made before this one."""
        return self.run.step

    @property
    def config(self) -> dict[str, Any]:
        """The caller's config, with ``thread_id`` and ``run_id`` filled in."""
        return self._host.config.as_dict()

    @property
    def superseded(self) -> tuple[Superseded, ...]:
        """What earlier runs left that were cut short for others, the newest last."""
        return self.running.past

    @property
    def stopping(self) -> bool:
        """True once the run is being stopped or this attempt was given up: what the node returns is refused."""
        return self.is_abandoned or self._host.is_stopping

    @property
    def host(self) -> Host:
        """The run that the node belongs to."""
        return self._host

    # -- asking a human ----------------------------------------------------------------------------

    def interrupt(
        self,
        question: str,
        *,
        answer: Any = None,
        data: Any = None,
        due_at: datetime | None = None,
        allowed: Sequence[str] = QUESTION_ANSWERS,
    ) -> Any:
        """Return the human's answer, or leave the node until there is one. See ``taf.interrupt``."""
        if due_at is not None and due_at.tzinfo is None:
            raise ConfigError("due_at needs a time zone, for example datetime.now(UTC) + timedelta(hours=1).")
        if not allowed or isinstance(allowed, str) or not set(allowed) <= set(QUESTION_ANSWERS):
            raise ConfigError(f"allowed has to hold some of {', '.join(QUESTION_ANSWERS)}, not be {allowed!r}.")
        position = self.next_position()
        adapter = None if answer is None else answer_adapter(answer)
        entry = self.memo.get(position)
        if entry is not None:
            return self._recall(position, entry, str(question), adapter)
        schema = None if adapter is None else adapter.json_schema()
        self.ask(Question(str(question), data, schema, tuple(allowed), due_at), position)
        raise Pause

    def _recall(self, position: int, entry: Entry, question: str, adapter: TypeAdapter[Any] | None) -> Any:
        self._same(position, entry, question, "answer", "reject")
        self._recalled |= {position}
        if entry.kind == "reject":
            reason, by, goto = entry.value
            raise InterruptRejectedError(reason, by, goto)
        value = copy_value(entry.value)  # the node may change its own, and the record is read again
        if adapter is None:
            return value
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            self.refused = AnswerRefused(position, why_invalid(error), question)
            self._call_out()
            raise self.refused from error

    def _same(self, position: int, entry: Entry, name: str, *kinds: str) -> None:
        words = {"task": "task", "answer": "the question", "reject": "the question"}
        if entry.name != name or entry.kind not in kinds:
            recorded = f'{words.get(entry.kind, entry.kind)} "{entry.name}"'
            raise NonDeterministicReplayError(self.node, position % LANE, recorded, f'{words[kinds[0]]} "{name}"')

    def ask(self, question: Question, position: int) -> None:
        """Put a question on record; a node with an open one does not run. The run pauses when the node is left."""
        self.asked += (self._host.record_of(self, question, position),)
        self._call_out()

    def _call_out(self) -> None:
        """Make the node leave, also from a task or thread of its own: gather() would keep a pause to itself."""
        runner = self.runner
        if runner is not None and runner is not _current_task():
            runner.get_loop().call_soon_threadsafe(self._cancel_runner)

    def _cancel_runner(self) -> None:
        runner = self.runner
        if runner is not None and not self.has_left and not self.was_cancelled:
            self.was_cancelled = True
            runner.cancel()

    def close(self) -> None:
        """The node has left: it is not called out any more, and a cancellation that did so is taken back."""
        self.has_left = True
        if self.was_cancelled and self.runner is not None:
            self.runner.uncancel()

    def next_position(self) -> int:
        """Count what the node asks for, so that a replay can be compared with the record.

        Tasks that the node makes count for themselves: which of them is the quickest may differ each time.
        """
        caller = _current_task()
        if caller is None or caller is self.runner:
            position = self._position
            self._position += 1
            return position
        if self._lanes is None:
            self._lanes = {}
        position = self._lanes.get(caller, (len(self._lanes) + 1) * LANE)
        self._lanes[caller] = position + 1
        return position

    @property
    def question(self) -> str:
        """What the node asked first, or what was answered amiss."""
        return self.refused.question if self.refused is not None else self.asked[0].reason

    def check_replay(self) -> None:
        """Raise ``NonDeterministicReplayError`` when the node is done without a question that was answered."""
        for position, entry in sorted(self.memo.items()):
            if entry.kind in ("answer", "reject") and position not in self._recalled:
                raise NonDeterministicReplayError(self.node, position % LANE, f'the question "{entry.name}"', "nothing")

    # -- recorded tasks ----------------------------------------------------------------------------

    async def run_task(self, name: str, fn: Callable[..., Any], *args: Any) -> Any:
        """Return what ``fn(*args)`` returned the first time. See ``taf.task``."""
        position = self.next_position()
        codec = _result_codec(name, fn)
        entry = self.memo.get(position)
        if entry is not None:
            return self._recorded(position, entry, name, codec)
        result = fn(*args)
        if isawaitable(result):
            result = await result
        await self._record(position, name, codec, result)
        return result

    def run_task_sync(self, name: str, fn: Callable[..., Any], *args: Any) -> Any:
        """Do what ``run_task`` does, in a sync node's thread."""
        position = self.next_position()
        codec = _result_codec(name, fn)
        entry = self.memo.get(position)
        if entry is not None:
            return self._recorded(position, entry, name, codec)
        result = fn(*args)
        saving = self._record(position, name, codec, result)
        asyncio.run_coroutine_threadsafe(saving, self._host.loop).result()
        return result

    async def _record(self, position: int, name: str, codec: Codec, result: Any) -> None:
        packed, marks = codec.encode(result)
        await self._host.record_task(self, position, Entry("task", name, [packed, [list(mark) for mark in marks]]))

    def _recorded(self, position: int, entry: Entry, name: str, codec: Codec) -> Any:
        self._same(position, entry, name, "task")
        try:
            packed, marks = copy_value(entry.value)  # it is unpacked in place, and read again at the next replay
            marks = [(tuple(path), tag) for path, tag in marks]
        except (ValueError, TypeError) as error:
            raise StoreCorruptError(self.thread_id, None, f'the result of task "{name}": {error}') from error
        try:
            return codec.decode(packed, marks)
        except ValueError as error:
            what = f'the recorded result of task "{name}" does not fit its type: {error}'
            raise GraphChangedError(self.thread_id, what, "Let it return what it did.") from error

    # -- telling before it is done -----------------------------------------------------------------

    def emit(self, value: Any, key: str | None = None) -> None:
        """Show a partial result. See ``taf.emit``."""
        if not self.stopping:
            self._host.emit(self, value, key)


def _result_codec(name: str, fn: Callable[..., Any]) -> Codec:
    try:
        declared = get_type_hints(getattr(fn, "func", fn)).get("return", Any)
    except Exception:
        declared = Any  # hints that cannot be resolved here
    return Codec(declared, f'the result of task "{name}"')


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this OS thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


_current: ContextVar[Context] = ContextVar("taf_context")
enter = _current.set
leave = _current.reset


def current(what: str) -> Context:
    """Return the context of the node that runs here. Raise ``OutsideNodeError``."""
    try:
        return _current.get()
    except LookupError:
        raise OutsideNodeError(what) from None


def current_or_none() -> Context | None:
    """Return the context of the node that runs here, if one does."""
    return _current.get(None)
