"""One prompt until it is answered: the runs that it takes, and the questions between them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from acp.exceptions import RequestError

from taf.acp.content import said_by_agent
from taf.acp.desk import NO_DECISION, TOO_LATE, Desk
from taf.acp.narrator import Narrator, Update
from taf.acp.questions import NEXT_MESSAGE, answer_from_text, closed, is_open_ended, shown_as_call
from taf.errors import (
    AlreadyAnsweredError,
    InterruptExpiredError,
    InvalidAnswerError,
    InvalidInputError,
    RecursionLimitError,
    TafError,
    ThreadBusyError,
    ThreadPausedError,
    UnknownThreadError,
)
from taf.events import Event, EventType
from taf.graph.active import ActiveRun
from taf.graph.blocking import CompiledGraph
from taf.graph.config import read_config
from taf.graph.deciding import approve_breakpoints
from taf.graph.intake import Answer, Call, Invoke, WhilePaused
from taf.graph.result import RunResult
from taf.graph.runtime import AS_COMPILED, CallOptions
from taf.state.execution import ExecutionStatus
from taf.state.interrupts import Approve, InterruptRecord, Reject, Respond
from taf.state.run import Run

StopReason: TypeAlias = Literal["end_turn", "cancelled", "max_turn_requests"]

MAX_QUESTIONS = 1000
"""How many questions one turn asks, so that a graph that asks in a circle comes to an end."""

HEIR_SECONDS = 5.0
"""How long a client that goes by order, and has cancelled, has to prompt again."""


class Prompt(NamedTuple):
    """What a client said: the input that the graph gets, its text, and what is known of the session."""

    input: Any
    text: str
    config: dict[str, Any]
    by: str | None = None


class _NoMoreToDo(Exception):
    """The turn was over before all was done."""


class Turn:
    """A prompt on its way. ``answered`` is done when the client has its answer; from then on nothing is sent.

    ``displaced``: an earlier prompt that this one took the place of. It is silent, and is answered just before this
    one is: some clients take the first answer that comes for the one to their last prompt.
    """

    def __init__(self, app: CompiledGraph, desk: Desk, prompt: Prompt, displaced: Turn | None = None) -> None:
        self._app, self._desk, self._prompt, self._displaced = app, desk, prompt, displaced
        self._narrator = Narrator([*app.runtime.spec.nodes])
        self._active: ActiveRun | None = None
        self._sequence = 0
        self._has_heir = False
        self._heirless: asyncio.TimerHandle | None = None
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[StopReason] = loop.create_future()
        self.answered.add_done_callback(lambda answer: answer.exception())  # the client may be gone
        self._over: asyncio.Future[None] = loop.create_future()
        self.task: asyncio.Task[None] | None = None

    # -- from the outside --------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """True once nothing more is to be told."""
        return self._over.done()

    def begin(self, *, supersedes: bool) -> None:
        """Begin, in a task of its own. ``supersedes``: this has priority over a question that is open."""
        self.task = asyncio.get_running_loop().create_task(self._play(supersedes))

    def displace(self) -> None:
        """Say no more: a newer prompt has come, whose run stops this one's, and which answers this one with itself."""
        self._has_heir = True
        if self._heirless is not None:
            self._heirless.cancel()
        self._hush()

    def cancel(self) -> None:
        """Answer at once, and let what runs unwind. A question that is open stays open.

        A client that goes by order mostly prompts again right behind it: that prompt answers this one with itself.
        """
        if self._desk.goes_by_order:
            self._has_heir = True
            self._heirless = asyncio.get_running_loop().call_later(HEIR_SECONDS, self.answer, "cancelled")
            self._hush()
        else:
            self.answer("cancelled")
        for turn in self._line():
            if turn._active is not None:
                turn._active.request_stop("cancelled by the client")

    def _line(self) -> Iterator[Turn]:
        """Yield this turn, and those in whose place it came."""
        turn: Turn | None = self
        while turn is not None:
            yield turn
            turn = turn._displaced

    def _hush(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def answer(self, answer: StopReason | Exception) -> None:
        """Answer the prompt, and before it those in whose place it came."""
        if self._displaced is not None:
            self._displaced.answer("cancelled")
        self._hush()
        if self.answered.done():
            return
        if isinstance(answer, Exception):
            self.answered.set_exception(answer)
        else:
            self.answered.set_result(answer)

    # -- the turn ----------------------------------------------------------------------------------

    async def _play(self, supersedes: bool) -> None:
        answer: StopReason | Exception = "cancelled"
        try:
            answer = await self._outcome(supersedes)
            if not self.is_over:
                await self._desk.settle()
        finally:
            if not self._has_heir:
                self.answer(answer)
            if self._active is not None:
                self._active.request_stop("the turn is over")  # when this is cancelled, or the client is gone
                await self._active.until_landed()

    async def _outcome(self, supersedes: bool) -> StopReason | Exception:
        try:
            return await self._to_its_end(supersedes)
        except (_NoMoreToDo, ConnectionError):  # the latter: the client is gone
            return "cancelled"
        except RecursionLimitError:
            return "max_turn_requests"
        except Exception as error:
            return as_seen(error)

    async def _to_its_end(self, supersedes: bool) -> StopReason:
        for _ in range(MAX_QUESTIONS):
            with contextlib.suppress(ThreadPausedError):  # it paused since it was looked at
                return await self._from_here(supersedes)
        return "max_turn_requests"

    async def _from_here(self, supersedes: bool) -> StopReason:
        paused, text = await self._paused(), self._prompt.text
        if paused and self._means_an_answer(paused):
            return await self._begin_anew("resume")
        if not paused:  # never "resume": a message would approve what comes up just now
            return await self._begin_anew("supersede" if supersedes else "reject")
        if supersedes or any(is_expired(record) for record in paused):
            for record in paused:
                await self._tell(closed(record, "failed", "withdrawn: a new message takes priority"))
            return await self._begin_anew("supersede")
        if len(paused) == 1 and is_open_ended(paused[0]) and not self._desk.has_forms:
            result = await self._decided(paused[0], Respond(answer_from_text(paused[0], text)))
            return "end_turn" if result is None else await self._from(result)
        reason = await self._settle(paused)
        if reason is not None:
            await self._say("Your message was not taken, since a question is open.")
            return reason
        return await self._begin_anew("reject")

    async def _begin_anew(self, while_paused: WhilePaused) -> StopReason:
        """Begin a run on the prompt. One that is active on the thread, here or elsewhere, is superseded."""
        options = CallOptions(while_paused, "interrupt")
        return await self._from(await self._run(Invoke(self._prompt.input), options))

    def _means_an_answer(self, paused: Sequence[InterruptRecord]) -> bool:
        """Say whether the graph itself reads from a message what is to be done at its breakpoints."""
        decides = self._app.runtime.options.decide is not approve_breakpoints
        return decides and not any(record.is_question for record in paused)

    async def _paused(self) -> tuple[InterruptRecord, ...]:
        try:
            snapshot = await self._app.aget_state(self._thread)
        except UnknownThreadError:
            return ()
        self._sequence = int(snapshot.checkpoint_id)
        return snapshot.interrupts

    async def _from(self, result: RunResult) -> StopReason:
        """Go on from where a run rests, to the end of the turn."""
        if result.status is ExecutionStatus.STOPPED:
            return "cancelled"
        return await self._settle(result.interrupts) or "end_turn"

    # -- questions ---------------------------------------------------------------------------------

    async def _settle(self, records: Sequence[InterruptRecord]) -> StopReason | None:
        """Ask until nothing is open any more; otherwise return why the turn ends."""
        for _ in range(MAX_QUESTIONS):
            if not records:
                return None
            record = records[0]
            await self._tell(shown_as_call(record))
            decision = await self._desk.ask(record, self._over, self._closed_elsewhere(record))
            if decision is NO_DECISION:
                return "cancelled"
            if decision is TOO_LATE:
                await self._say(f'Nobody answered "{record.reason}" in time. It stays open.')
                return "end_turn"
            if decision is NEXT_MESSAGE:
                await self._say(f"{record.reason}\n\nThe next message is the answer.")
                return "end_turn"
            answer = decision if isinstance(decision, Approve | Reject | Respond) else None
            result = await (self._join() if answer is None else self._decided(record, answer))
            if result is not None:
                if result.status is ExecutionStatus.STOPPED:
                    return "cancelled"
                records = result.interrupts
        return "max_turn_requests"

    async def _decided(self, record: InterruptRecord, decision: Approve | Reject | Respond) -> RunResult | None:
        """Go on with a decision; None when the question does not take it, and is open as before."""
        try:
            result = await self._run(Answer(decision, self._prompt.by, record.id))
        except (AlreadyAnsweredError, ThreadBusyError):
            return await self._join()
        except (InvalidAnswerError, InterruptExpiredError) as error:
            await self._say(str(error))
            return None
        is_no = isinstance(decision, Reject)
        await self._tell(closed(record, "failed" if is_no else "completed", "rejected" if is_no else "answered"))
        return result

    async def _closed_elsewhere(self, record: InterruptRecord) -> None:
        """Return when somebody else has answered a question, or has stopped the thread."""
        async for event in self._app.aevents(self._thread, after=self._sequence, follow=True):
            is_answer = event.event_type is EventType.ANSWERED and event.data["interrupt_id"] == record.id
            if is_answer or event.event_type in (EventType.STOPPED, EventType.STARTED):
                return

    async def _join(self) -> RunResult:
        """Wait for a run that somebody else began, and tell of it."""
        result = await self._app.ajoin(self._thread)
        async for event in self._app.aevents(self._thread, after=self._sequence):
            self._sequence = event.sequence
            if event.event_type is EventType.NODE_COMPLETED:
                await self._tell(*self._narrator.past(event))
        return result

    # -- runs --------------------------------------------------------------------------------------

    async def _run(self, call: Call, options: CallOptions = AS_COMPILED) -> RunResult:
        """Run the thread until it rests, and tell of it meanwhile."""
        if self.is_over:
            raise _NoMoreToDo
        told: asyncio.Queue[tuple[Sequence[Event], Run] | None] = asyncio.Queue()
        config = read_config({**self._prompt.config, **self._thread})
        active = self._active = self._app.launch(
            call, config, reader=lambda events, run: told.put_nowait((events, run)), options=options
        )
        active.outcome.add_done_callback(lambda _: told.put_nowait(None))
        while (news := await told.get()) is not None:
            self._sequence = max(self._sequence, *(event.sequence for event in news[0]))
            await self._tell(*self._narrator.live(*news))
        try:
            run = await active.result()
        except TafError:
            if not self.is_over:
                raise
            raise _NoMoreToDo from None
        assert run is not None  # the thread is made where it is missing
        if self.is_over:
            raise _NoMoreToDo
        return RunResult(self._app.runtime.spec.schema, run, config.run_id)

    @property
    def _thread(self) -> dict[str, Any]:
        return {"thread_id": self._desk.session_id}

    async def _tell(self, *updates: Update) -> None:
        await self._desk.tell(updates, lambda: self.is_over)

    async def _say(self, text: str) -> None:
        await self._tell(said_by_agent(f"\n\n{text}"))


def is_expired(record: InterruptRecord) -> bool:
    """True for a question that cannot be answered any more."""
    return record.due_at is not None and record.due_at < datetime.now(UTC)


def as_seen(error: Exception) -> Exception:
    """Return what a client is told of an error."""
    if isinstance(error, RequestError):
        return error
    details = {"details": f"{type(error).__name__}: {error}"}
    if isinstance(error, InvalidInputError):
        return RequestError.invalid_params(details)
    return RequestError.internal_error(details)
