"""What nodes have shown before they are done: kept when the run is stopped, dropped when the step is done."""

from __future__ import annotations

from datetime import datetime

from taf.events import Event, EventType
from taf.graph.context import Context
from taf.state.messages import Message
from taf.state.run import Run
from taf.state.superseded import Partial


class Partials(list[tuple[str, Partial]]):
    """The partials of the step under way, each with the branch that showed it."""

    __slots__ = ()

    def show(self, context: Context, key: str | None, value: object) -> Partial:
        """Take one more. Of one key, each branch has the last value alone."""
        branch = context.task.key
        if key is not None:
            self[:] = [(owner, p) for owner, p in self if (owner, p.key) != (branch, key)]
        partial = Partial(context.node, context.attempt, key, value)
        self.append((branch, partial))
        return partial

    def kept(self) -> tuple[Partial, ...]:
        """Return them as they are to be stored."""
        return tuple([partial for _, partial in self])


NONE_SHOWN = Partials()
"""The same one for all steps that show nothing. It stays empty."""


def event_of(partial: Partial, run: Run, committed: int, at: datetime) -> Event:
    """Return the event that shows a partial: marked as not committed, with the sequence of what is."""
    node, attempt, key, value = partial
    content = value.text() if isinstance(value, Message) else value if isinstance(value, str) else repr(value)
    data = {"value": value, "key": key, "attempt": attempt, "committed": False}
    return Event(
        EventType.PARTIAL, run.thread_id, run.run_id, committed, run.step, at, node, content, data, {"status": content}
    )
