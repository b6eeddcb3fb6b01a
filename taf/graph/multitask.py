"""What a new message does to a thread that is busy, and how it lies there until its turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, cast, get_args

from taf.checkpointer.base import Posted, Signal
from taf.checkpointer.changes import Mismatch
from taf.checkpointer.encoding import FactCodec
from taf.checkpointer.fold import changed
from taf.checkpointer.interrupts import decode_any, encode_any
from taf.errors import ConfigError, InvalidInputError, StoreCorruptError
from taf.graph.config import RunConfig
from taf.graph.intake import Wanted, is_empty
from taf.serialization import loads
from taf.state.facts import Output
from taf.tuples import NamedTuple

MultitaskStrategy: TypeAlias = Literal["reject", "enqueue", "interrupt", "rollback", "steer"]
"""What new input does to a busy thread.

It raises ``ThreadBusyError`` (``reject``), waits for its turn (``enqueue``), stops the old run and begins with what
that leaves (``interrupt``), likewise with the state as it was before that run (``rollback``), or comes in at the next
step of that run (``steer``).
"""

URGENT = frozenset({"interrupt", "rollback"})
"""What ends the run that is active."""

_RANKS = {"interrupt": 0, "rollback": 0, "steer": 1, "enqueue": 2}


def checked_strategy(strategy: object) -> MultitaskStrategy:
    """Return a strategy. Raise ``ConfigError`` for one that there is not."""
    words = get_args(MultitaskStrategy)
    if strategy not in words:
        listed = ", ".join(f'"{word}"' for word in words)
        raise ConfigError(f"multitask_strategy has to be one of {listed}, not {strategy!r}.")
    return cast("MultitaskStrategy", strategy)


def rank(kind: str) -> int:
    """Return how urgent a strategy is: the lowest comes first."""
    return _RANKS.get(kind, 2)


def first_of(messages: Sequence[Posted]) -> Posted | None:
    """Return the message whose turn is next: the most urgent, and of those the oldest."""
    return min(messages, key=lambda one: (rank(one.kind), one.id), default=None)


def in_turn(messages: Sequence[Posted]) -> list[Posted]:
    """Return messages in the order in which they come."""
    return sorted(messages, key=lambda one: (rank(one.kind), one.id))


def notice_of(message: Posted) -> Signal | None:
    """Return what the owner of the thread is told at once of a message, or None for one that only waits."""
    if message.kind == "enqueue":
        return None
    return Signal(message.kind, "", message.run_id.encode("utf-8", "surrogatepass"))


class Envelope(NamedTuple):
    """An input on its way, and what its config says."""

    input: Wanted | dict[str, Any] | None
    config: RunConfig


def sealed(codec: FactCodec, given: Any, config: RunConfig) -> bytes:
    """Return input as it lies in a store. Raise ``InvalidInputError``, ``NotStorableError``, also for the config."""
    extra = encode_any(dict(config.extra), "config")
    head = [config.recursion_limit, config.user_id, extra]
    if is_empty(given):
        return codec.to_row(["none" if given is None else "empty", [], head])
    wanted = wanted_of(codec, given)
    return codec.to_row(["input", codec.outputs([Output("", "", wanted.ops)]), head])


def wanted_of(codec: FactCodec, given: Any) -> Wanted:
    """Read input before it is known what it will meet. Raise ``InvalidInputError``."""
    schema = codec.schema
    if isinstance(given, Wanted):
        return given
    if isinstance(given, schema.model):
        return Wanted(tuple(schema.wanted_by_state({}, given, "The input has")))
    return Wanted(tuple(schema.wanted(given, "The input has", InvalidInputError)))


def opened(codec: FactCodec, thread_id: str, message: Posted) -> Envelope:
    """Undo ``sealed``. Raise ``GraphChangedError``, ``StoreCorruptError``."""
    try:
        form, outputs, (limit, user_id, extra) = loads(message.body)
        config = RunConfig(thread_id, message.run_id, limit, user_id, extra=decode_any(extra))
        if form != "input":
            return Envelope(None if form == "none" else {}, config)
        (output,) = codec.decode_outputs(outputs)
        return Envelope(Wanted(output.ops), config)
    except Mismatch as error:
        raise changed(thread_id, error) from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise StoreCorruptError(thread_id, None, f"the message of run {message.run_id}: {error}") from error


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that waits for its turn. ``position``: 0 is next. ``input``: by field."""

    run_id: str
    position: int
    strategy: str
    input: Mapping[str, Any]
    submitted_at: datetime


def queued_of(codec: FactCodec, thread_id: str, messages: Sequence[Posted]) -> tuple[Queued, ...]:
    """Show messages in the order of their turns."""
    found: list[Queued] = []
    for position, message in enumerate(in_turn(messages)):
        given = opened(codec, thread_id, message).input
        fields = {name: value for _, name, value in given.ops} if isinstance(given, Wanted) else {}
        at = datetime.fromtimestamp(message.at, UTC)
        found.append(Queued(message.run_id, position, message.kind, fields, at))
    return tuple(found)
