"""The client's side of a turn: where updates go, and where a human is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from acp.interfaces import Client
from acp.schema import (
    AcceptElicitationResponse,
    AllowedOutcome,
    ClientCapabilities,
    DeclineElicitationResponse,
    ElicitationFormSessionMode,
    ToolCallUpdate,
)

from taf.acp.narrator import Update
from taf.acp.questions import Decision, answer_in, choices_of, form_of, options_of
from taf.state.interrupts import InterruptRecord, Reject, Respond

DEADLINE_SECONDS = 240.0
"""How long a client has to answer: less than the 300 s after which some clients answer by themselves."""

ORDERLY = frozenset({"textual-chat"})
"""Names of clients that go by the order in which things come: they take the first answer for that to the last prompt,
and lose updates that are read just before it."""
SETTLE_METHOD = "taf/settle"
SETTLE_SECONDS = 5.0


class _NoDecision:
    def __repr__(self) -> str:
        return "no decision"


NO_DECISION: Final = _NoDecision()
"""The client dismissed the question, or the turn is over: the question stays open."""
TOO_LATE: Final = _NoDecision()
"""Nobody answered in time: the question stays open."""
ELSEWHERE: Final = _NoDecision()
"""Somebody else answered, or stopped the thread."""

Outcome: TypeAlias = Decision | _NoDecision


@dataclass
class Line:
    """The connection to a client, and what is known of it."""

    client: Client
    capabilities: ClientCapabilities | None = None
    name: str | None = None

    @property
    def goes_by_order(self) -> bool:
        """True when an answer must come neither before what it ends nor behind what follows it."""
        return self.name in ORDERLY

    @property
    def has_forms(self) -> bool:
        """True when the client can show a form."""
        elicitation = None if self.capabilities is None else self.capabilities.elicitation
        return elicitation is not None and elicitation.form is not None


class Desk:
    """Speaks with the client about one session. ``deadline``: seconds to answer a question."""

    def __init__(self, line: Line, session_id: str, *, deadline: float) -> None:
        self._line, self._client, self.session_id, self._deadline = line, line.client, session_id, deadline
        self.has_forms, self.goes_by_order = line.has_forms, line.goes_by_order

    async def tell(self, updates: Iterable[Update], is_over: Callable[[], bool]) -> None:
        """Send updates, one after another, until the turn that they belong to is over."""
        for update in updates:
            if is_over():
                return
            await self._client.session_update(session_id=self.session_id, update=update)

    async def settle(self) -> None:
        """Wait until a client of those that need it has taken in what it was told.

        It answers what it does not know in its turn, if only by an error, and so behind all that was sent before.
        """
        if not self.goes_by_order:
            return
        asking = asyncio.ensure_future(self._client.ext_method(SETTLE_METHOD, {}))
        await asyncio.wait({asking}, timeout=SETTLE_SECONDS)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    async def ask(
        self, record: InterruptRecord, over: asyncio.Future[Any], closed: Coroutine[Any, Any, None]
    ) -> Outcome:
        """Ask the client, and return what was decided. When the turn is ``over`` first, nothing was.

        The client need not answer, neither at all nor when it cancels. ``closed`` ends when somebody else answers.
        """
        by_form = self.has_forms and record.is_question and "respond" in record.allowed
        asking = asyncio.ensure_future(self._by_form(record) if by_form else self._by_options(record))
        elsewhere = asyncio.ensure_future(closed)
        try:
            several: set[asyncio.Future[Any]] = {asking, elsewhere, over}
            await asyncio.wait(several, timeout=self._seconds(record), return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                return NO_DECISION
            if asking.done():
                return asking.result()
            return ELSEWHERE if elsewhere.done() else TOO_LATE
        finally:
            asking.cancel()
            elsewhere.cancel()
            await asyncio.gather(asking, elsewhere, return_exceptions=True)

    def _seconds(self, record: InterruptRecord) -> float:
        if record.due_at is None:
            return self._deadline
        return max(0.0, min(self._deadline, (record.due_at - datetime.now(UTC)).total_seconds()))

    async def _by_options(self, record: InterruptRecord) -> Outcome:
        choices = choices_of(record)
        answer = await self._client.request_permission(
            session_id=self.session_id,
            tool_call=ToolCallUpdate(tool_call_id=record.id, title=record.reason, kind="other", status="pending"),
            options=options_of(choices),
        )
        if not isinstance(answer.outcome, AllowedOutcome):
            return NO_DECISION
        place = answer.outcome.option_id
        known = place.isdecimal() and int(place) < len(choices)
        return choices[int(place)].decision if known else NO_DECISION

    async def _by_form(self, record: InterruptRecord) -> Outcome:
        mode = ElicitationFormSessionMode(
            session_id=self.session_id, tool_call_id=record.id, requested_schema=form_of(record)
        )
        asked: Coroutine[Any, Any, Any] = self._client.create_elicitation(message=record.reason, mode=mode)
        answer = await asked
        if isinstance(answer, AcceptElicitationResponse):
            return Respond(answer_in(record, answer.content))
        if isinstance(answer, DeclineElicitationResponse) and "reject" in record.allowed:
            return Reject("declined by the client")
        return NO_DECISION
