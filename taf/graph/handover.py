"""What a run leaves that was cut short, for the run that comes in its place."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from taf.checkpointer.journal import Journal
from taf.checkpointer.past import past
from taf.errors import NotStorableError
from taf.state.channel import Op
from taf.state.facts import Fact, HandedOver, RolledBack, Started, Stepped
from taf.state.growing import Growing
from taf.state.repair import closing, open_calls
from taf.state.run import Run
from taf.state.schema import StateSchema, Values
from taf.state.superseded import Superseded

DROPPED = "stopped, and what it left dropped"
"""The reason of a stop that leaves nothing to the run that comes next."""


class Handover:
    """Reads in the journal what a run did and left. ``keep``: how many of such a thread keeps."""

    def __init__(self, journal: Journal, keep: int) -> None:
        self._journal, self._keep = journal, keep

    async def facts(self, run: Run, run_id: str, *, is_undone: bool) -> list[Fact]:
        """Return what precedes the run of that id, for one that was cut short: what it leaves, or leaves undone."""
        found: list[Fact] = []
        if self._keep and run.details.reason != DROPPED:
            found.append(HandedOver(await self._left(run, run_id), self._keep))
        if is_undone and run.begun:
            found.append(RolledBack(run.run_id, run.begun - 1, await self._undoing(run)))
        return found

    async def _left(self, run: Run, run_id: str) -> Superseded:
        journal, after, ended = self._journal, max(run.begun - 1, 0), 0.0
        given: tuple[Op, ...] = ()
        completed: list[str] = []
        while page := await journal.facts(run.thread_id, after):
            for record, fact in page:
                if isinstance(fact, Started) and record.sequence == run.begun:
                    given = self._fitting(_own(fact, journal.schema) if record.sequence == 1 else fact.ops)
                elif isinstance(fact, Stepped):
                    completed += [node for node, _, _ in fact.ran]
                ended = record.at
            after = page[-1].record.sequence
        completed += [output.node for output in run.details.finished.values()]
        calls = tuple(call.id for call in open_calls(messages_of(journal.schema, run.values)))
        done, shown = tuple(dict.fromkeys(completed)), run.details.partials
        return Superseded(run.run_id, run_id, given, done, shown, calls, run.node, ended)

    def _fitting(self, ops: tuple[Op, ...]) -> tuple[Op, ...]:
        """Return the changes that the fields can hold as they are declared now: a thread may be older than that."""
        codec, found = self._journal.codec, list[Op]()
        for op in ops:
            with suppress(NotStorableError):
                codec.op(op)
                found.append(op)
        return tuple(found)

    async def _undoing(self, run: Run) -> tuple[Op, ...]:
        """Return the changes that lead back to the state before the pass."""
        schema = self._journal.schema
        before: Values = schema.apply({}, schema.default_ops())
        async for moment in past(self._journal, run.thread_id):
            if moment.record.sequence >= run.begun:
                break
            before = moment.run.values
        return tuple(_differences(schema, run.values, before))


def _own(fact: Started, schema: StateSchema) -> tuple[Op, ...]:
    """Return what the input changed, without the defaults that a new thread begins with."""
    defaults = [name for _, name, _ in schema.default_ops()]
    has_defaults = [name for _, name, _ in fact.ops[: len(defaults)]] == defaults
    return fact.ops[len(defaults) :] if has_defaults else fact.ops


def _differences(schema: StateSchema, now: Values, then: Values) -> list[Op]:
    found: list[Op] = [("drop", name, None) for name in now if name not in then]
    for name, value in then.items():
        channel, held = schema.channel(name), now.get(name)
        plain = channel.plain(value)
        if held is value:
            continue
        if isinstance(held, Growing) and len(held) > len(plain) and held.to_list()[: len(plain)] == plain:
            found.append(("cut", name, len(plain)))
        elif name in now:
            found += channel.changes(held, plain)
        else:
            found.append(("set", name, plain))
    return found


def messages_of(schema: StateSchema, values: Values) -> Sequence[object]:
    """Return the messages of a state, if it has such a field."""
    found = schema.channel(schema.messages).plain(values.get(schema.messages, ()))
    return found if isinstance(found, list) else ()  # pyright: ignore[reportUnknownVariableType]


def repairing(schema: StateSchema, run: Run) -> list[Op]:
    """Return the changes that close the tool calls which a run left open."""
    calls = open_calls(messages_of(schema, run.values))
    return [("append", schema.messages, closing(calls))] if calls else []
