"""Facts and runs ⇄ JSON, directed by the state's schema. Nothing that is stored names code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias, cast

from pydantic_core import PydanticSerializationError, to_json

from taf.checkpointer.changes import ChangeCodec
from taf.checkpointer.fitting import fitting, texts
from taf.checkpointer.interrupts import (
    decode_any,
    decode_ask,
    decode_entry,
    decode_partials,
    decode_record,
    encode_any,
    encode_ask,
    encode_entry,
    encode_partials,
    encode_record,
)
from taf.errors import NotStorableError
from taf.serialization import LEAST, SHORT, dumps, is_bounded, loads
from taf.state.channel import Op
from taf.state.execution import ExecutionStatus
from taf.state.facts import (
    Answered,
    Completed,
    Edition,
    Fact,
    Failed,
    Forked,
    HandedOver,
    Paused,
    Reopened,
    Resumed,
    RolledBack,
    Started,
    Steered,
    Stepped,
    Stopped,
    Task,
    TaskRecorded,
    Updated,
    Upgraded,
)
from taf.state.interrupts import InterruptKind, InterruptRecord
from taf.state.run import NOTHING, UNKNOWN_EDITION, Details, Run, Stage
from taf.state.schema import StateSchema
from taf.state.superseded import Superseded

KINDS: dict[type, str] = {
    Started: "started",
    Stepped: "stepped",
    TaskRecorded: "task_recorded",
    Paused: "paused",
    Answered: "answered",
    Reopened: "reopened",
    Resumed: "resumed",
    Stopped: "stopped",
    Completed: "completed",
    Failed: "failed",
    Updated: "updated",
    Steered: "steered",
    HandedOver: "handed_over",
    RolledBack: "rolled_back",
    Upgraded: "upgraded",
    Forked: "forked",
}
FACTS: dict[str, type] = {kind: fact for fact, kind in KINDS.items()}


Encoded: TypeAlias = tuple[str, bytes, bytes | None]
"""A fact's kind, and its JSON in two parts: the changes of list fields are apart, so that they alone rebuild a list."""

Items = list[list[Any]]

FEW = 16
"""Up to how many tasks may be next for what stands around a step's changes to be made by itself, and kept."""

_UNKNOWN: tuple[object, bytes, bytes] = (None, b"", b"")


class FactCodec(ChangeCodec):
    """Encodes and decodes facts and runs of one state model."""

    def __init__(self, schema: StateSchema, *, is_short: bool = False) -> None:
        super().__init__(schema, is_short=is_short)
        self._encode: dict[type, Callable[[Any, Items], list[Any]]] = {
            Started: self._started,
            Stepped: self._stepped,
            TaskRecorded: lambda f, _: [f.key, f.node, f.position, encode_entry(f.entry)],
            Paused: self._paused,
            Answered: self._answered,
            Reopened: lambda f, _: [self.record(f.record), f.why],
            Resumed: lambda f, items: [f.run_id, self._ops(f.ops, items)],
            Stopped: self._stopped,
            Completed: lambda f, _: [],
            Failed: lambda f, _: [f.error, f.message, f.node, self.outputs(f.finished)],
            Updated: lambda f, items: [self._ops(f.ops, items), f.node, self.optional_tasks(f.frontier)],
            Steered: lambda f, items: [list(f.messages), self._ops(f.ops, items)],
            HandedOver: lambda f, _: [self.superseded(f.left), f.keep],
            RolledBack: lambda f, items: [f.run_id, f.sequence, self._ops(f.ops, items)],
            Upgraded: lambda f, items: [f.graph, f.version, f.renamed, f.joins, self._ops(f.ops, items)],
            Forked: lambda f, items: [
                *(f.source, f.sequence, self.run(f.run), self._ops(f.ops, items)),
                *([list(map(self.op, f.given))] if f.given else []),  # not among the items, which the thread has itself
            ],
        }
        self._last_record: tuple[InterruptRecord | None, Any] = None, None
        self._around: dict[str, tuple[object, bytes, bytes]] = {}
        self._plain = {name: channel.codec.plain for name, channel in schema.channels.items()}

    # -- facts -------------------------------------------------------------------------------------

    def encode(self, fact: Fact) -> Encoded:
        """Return a fact as bytes. Raise ``NotStorableError``."""
        items: Items = []
        kind = type(fact)
        body = self._stepped(fact, items) if type(fact) is Stepped else self._encode[kind](fact, items)
        try:
            return KINDS[kind], self.to_row(body), self.to_row(items) if items else None
        except NotStorableError:
            for op in _ops_of(fact):
                dumps(self.op(op), op[1])  # raises too, and names the field, if one is to blame
            raise

    def encode_straight(self, task: Task, ops: Sequence[Op], frontier: tuple[Task, ...]) -> tuple[bytes, bytes | None]:
        """Encode the step of one node that led along its edges. What stands around its changes is kept."""
        known, head, tail = self._around.get(task.key, _UNKNOWN)
        if known is not frontier:
            if len(frontier) > FEW:
                return self.encode(Stepped(((task.node, task.key, ops),), frontier))[1:]
            head, tail = self._put_around(task, frontier)
        items: Items = []
        plain, changes = self._plain, ops
        for kind, name, value in ops:
            if kind != "set" or type(value) not in plain.get(name, ()):
                changes = self._apart(ops, items, 0)
                break
        try:
            body = head + to_json(changes) + tail
        except PydanticSerializationError:
            body = None
        if body is None or len(body) >= LEAST:
            if body is None or (len(body) > SHORT and not is_bounded(body)):  # as a whole
                return self.encode(Stepped(((task.node, task.key, ops),), frontier))[1:]
            body = self.shortened(body)
        return body, self.to_row(items) if items else None

    def _put_around(self, task: Task, frontier: tuple[Task, ...]) -> tuple[bytes, bytes]:
        head = b"[[[" + dumps(task.node) + b"," + dumps(task.key) + b","
        tail = b"]]," + dumps(self.tasks(frontier)) + b"]"
        if task.key == task.node:
            self._around[task.key] = frontier, head, tail
        return head, tail

    def decode(self, kind: str, body: bytes, items: bytes | None) -> Fact:
        """Undo ``encode``. Raise ``Mismatch`` where the model has changed, ``ValueError`` for all else."""
        try:
            changes = _Slots(self, loads(items) if items else [])
            return fitting(cast("Fact", _DECODE[kind](self, loads(body), changes)))
        except ValueError:
            raise
        except Exception as error:  # the bytes may be anything
            raise ValueError(f"a record of kind {kind!r} is malformed: {error!r}") from error

    def _started(self, fact: Started, items: Items) -> list[Any]:
        run_id, ops, frontier, graph, version = fact
        body = [run_id, self._ops(ops, items), self.tasks(frontier), graph]
        return body if version == 1 else [*body, version]

    def _stepped(self, fact: Stepped, items: Items) -> list[Any]:
        ran, frontier, asks, carried, joins, reached = fact
        if len(ran) == 1 and joins is None and not (asks or carried or reached):
            node, key, ops = ran[0]
            return [[[node, key, self._ops(ops, items)]], self.tasks(frontier)]
        steps = [(node, key, self._ops(ops, items, slot)) for slot, (node, key, ops) in enumerate(ran)]
        body: list[Any] = [steps, self.tasks(frontier)]
        if asks or carried or reached or joins is not None:
            body += [[[node, key, encode_ask(ask)] for node, key, ask in asks], self.tasks(carried), joins, reached]
        return body

    def _paused(self, fact: Paused, items: Items) -> list[Any]:
        records = [self.record(record) for record in fact.records]
        return [fact.kind.value, fact.node, fact.reason, records, self.outputs(fact.finished)]

    def _answered(self, fact: Answered, items: Items) -> list[Any]:
        entry = None if fact.entry is None else encode_entry(fact.entry)
        return [self.record(fact.record), entry, self.optional_tasks(fact.frontier), self._ops(fact.ops, items)]

    def record(self, record: InterruptRecord) -> Any:
        """Turn an interrupt record into JSON types. The last one is kept: its row follows the fact that holds it."""
        known, encoded = self._last_record
        if known is not record:
            encoded = encode_record(record)
            self._last_record = record, encoded
        return encoded

    def _stopped(self, fact: Stopped, items: Items) -> list[Any]:
        partials = encode_partials(fact.partials)
        finished = self.outputs(fact.finished)
        superseding = [] if fact.superseded_by is None else [fact.superseded_by]
        return [fact.run_id, fact.reason, fact.node, finished, partials, list(fact.unwinding), *superseding]

    # -- changes -----------------------------------------------------------------------------------

    def _ops(self, ops: Sequence[Op], items: Items, slot: int = 0) -> Sequence[Any]:
        """Return the changes as JSON types, but for those of list fields, which go to ``items``."""
        plain = self._plain
        for kind, name, value in ops:
            if kind != "set" or type(value) not in plain.get(name, ()):
                break
        else:
            return ops  # JSON takes them as they are
        return self._apart(ops, items, slot)

    def _apart(self, ops: Sequence[Op], items: Items, slot: int) -> list[Any]:
        channels = self.schema.channels
        body: list[Any] = []
        for op in ops:
            channel = channels.get(op[1])
            if channel is not None and channel.is_list:
                items.append([slot, *self.op(op)])
            else:
                body.append(self.op(op))
        return body

    # -- runs --------------------------------------------------------------------------------------

    def run(self, run: Run) -> list[Any]:
        """Turn a run into JSON types, without its values."""
        d = run.details
        details: list[Any] | None = None
        if d is not NOTHING:
            details = [
                [encode_record(record) for record in d.interrupts],
                self.outputs(d.finished.values()),
                [[key, [[p, encode_entry(e)] for p, e in entries.items()]] for key, entries in d.memo.items()],
                self.tasks(d.carried),
                [[node, key, encode_ask(ask)] for node, key, ask in d.asks],
                [[kind.value, node, reason, encode_any(data, "data")] for kind, node, reason, data in d.settled],
                sorted(d.passed),
                {key: list(names) for key, names in d.joins.items()},
                {node: list(keys) for node, keys in d.reached.items()},
                encode_partials(d.partials),
                d.node,
                d.reason,
                d.error,
                *([] if d.superseded_by is None else [d.superseded_by]),
            ]
        head = [run.status.value, run.run_id, run.sequence, run.step, run.node]
        rest: list[Any] = [[*run.edition], run.begun, [self.superseded(left) for left in run.past]]
        if not run.past:
            rest = rest[:2] if run.begun else rest[: run.edition != UNKNOWN_EDITION]
        return [*head, self.tasks(run.frontier), run.visit, run.stage.value, list(run.ran), details, *rest]

    def decode_run(self, thread_id: str, stored: Sequence[Any]) -> Run:
        """Undo ``run``."""
        status, run_id, sequence, step, node, frontier, visit, stage, ran, details, *rest = stored
        run = Run(
            thread_id,
            {},
            ExecutionStatus(status),
            run_id,
            sequence,
            step,
            node,
            self.decode_tasks(frontier),
            visit,
            Stage(stage),
            texts(ran),
            NOTHING if details is None else self._decode_details(details),
            fitting(Edition(*rest[0])) if rest else UNKNOWN_EDITION,
            rest[1] if len(rest) > 1 else 0,
            tuple(map(self.decode_superseded, rest[2])) if len(rest) > 2 else (),
        )
        return fitting(run)

    def _decode_details(self, stored: Sequence[Any]) -> Details:
        interrupts, finished, memo, carried, asks, settled, passed, joins, reached, *rest = stored
        partials, node, reason, error, *superseding = rest
        return Details(
            interrupts=tuple(decode_record(record) for record in interrupts),
            finished={output.key: output for output in self.decode_outputs(finished)},
            memo={key: {p: decode_entry(e) for p, e in entries} for key, entries in memo},
            carried=self.decode_tasks(carried),
            asks=tuple((n, key, decode_ask(ask)) for n, key, ask in asks),
            settled=tuple((InterruptKind(kind), n, why, decode_any(data)) for kind, n, why, data in settled),
            passed=frozenset(passed),
            joins=_names_by(joins),
            reached=_names_by(reached),
            partials=decode_partials(partials),
            node=node,
            reason=reason,
            error=error,
            superseded_by=superseding[0] if superseding else None,
        )

    def superseded(self, left: Superseded) -> list[Any]:
        """Turn what a run left into JSON types."""
        ops, partials = [self.op(op) for op in left.ops], encode_partials(left.partials)
        names = [list(left.completed), partials, list(left.open_tool_calls)]
        return [left.run_id, left.superseded_by, ops, *names, left.node, left.ended]

    def decode_superseded(self, stored: Sequence[Any]) -> Superseded:
        """Undo ``superseded``."""
        run_id, by, ops, completed, partials, calls, node, ended = stored
        kept = (texts(completed), decode_partials(partials), texts(calls))
        return fitting(Superseded(run_id, by, self.decode_ops(ops), *kept, node, ended))


def _ops_of(fact: Any) -> Iterable[Op]:
    if type(fact) is Stepped:
        return chain.from_iterable(ops for _, _, ops in fact.ran)
    return getattr(fact, "ops", ())


class _Slots:
    """The changes of list fields, by the node of the step that they belong to."""

    def __init__(self, codec: FactCodec, stored: Items) -> None:
        self._codec = codec
        self._by_slot: dict[int, list[Op]] = {}
        for slot, *rest in stored:
            op = codec.decode_op(rest)
            if op is not None:
                self._by_slot.setdefault(slot, []).append(op)

    def ops(self, body: Iterable[Sequence[Any]], slot: int = 0) -> tuple[Op, ...]:
        return (*self._codec.decode_ops(body), *self._by_slot.get(slot, ()))


def _decode_stepped(codec: FactCodec, body: Sequence[Any], slots: _Slots) -> Stepped:
    steps, frontier, *rest = body
    texts(name for step in steps for name in step[:2])
    ran = tuple((node, key, slots.ops(ops, slot)) for slot, (node, key, ops) in enumerate(steps))
    if not rest:
        return Stepped(ran, codec.decode_tasks(frontier))
    asks, carried, joins, reached = rest
    return Stepped(
        ran,
        codec.decode_tasks(frontier),
        tuple((node, key, decode_ask(ask)) for node, key, ask in asks),
        codec.decode_tasks(carried),
        None if joins is None else _names_by(joins),
        _names_by(reached),
    )


def _names(stored: Mapping[str, str]) -> dict[str, str]:
    texts(stored.values())
    return dict(stored)


def _names_by(stored: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {key: texts(names) for key, names in stored.items()}


def _decode_answered(codec: FactCodec, body: Sequence[Any], slots: _Slots) -> Answered:
    record, entry, frontier, ops = body
    return Answered(
        decode_record(record),
        None if entry is None else decode_entry(entry),
        codec.decode_optional_tasks(frontier),
        slots.ops(ops),
    )


def _decode_forked(codec: FactCodec, body: Sequence[Any], slots: _Slots) -> Forked:
    given = tuple(codec.decode_ops(body[4])) if len(body) > 4 else ()
    return Forked(body[0], body[1], codec.decode_run("", body[2]), slots.ops(body[3]), given)


_DECODE: dict[str, Callable[[FactCodec, Any, _Slots], Any]] = {
    "started": lambda c, b, s: Started(b[0], s.ops(b[1]), c.decode_tasks(b[2]), *b[3:5]),
    "stepped": _decode_stepped,
    "task_recorded": lambda c, b, s: TaskRecorded(b[0], b[1], b[2], decode_entry(b[3])),
    "paused": lambda c, b, s: Paused(
        InterruptKind(b[0]), b[1], b[2], tuple(map(decode_record, b[3])), c.decode_outputs(b[4])
    ),
    "answered": _decode_answered,
    "reopened": lambda c, b, s: Reopened(decode_record(b[0]), b[1]),
    "resumed": lambda c, b, s: Resumed(b[0], s.ops(b[1])),
    "stopped": lambda c, b, s: Stopped(
        b[0], b[1], b[2], c.decode_outputs(b[3]), decode_partials(b[4]), texts(b[5]), *b[6:7]
    ),
    "completed": lambda c, b, s: Completed(),
    "failed": lambda c, b, s: Failed(b[0], b[1], b[2], c.decode_outputs(b[3])),
    "updated": lambda c, b, s: Updated(s.ops(b[0]), b[1], c.decode_optional_tasks(b[2])),
    "steered": lambda c, b, s: Steered(texts(b[0]), s.ops(b[1])),
    "handed_over": lambda c, b, s: HandedOver(c.decode_superseded(b[0]), b[1]),
    "rolled_back": lambda c, b, s: RolledBack(b[0], b[1], s.ops(b[2])),
    "upgraded": lambda c, b, s: Upgraded(b[0], b[1], _names(b[2]), _names(b[3]), s.ops(b[4])),
    "forked": _decode_forked,
}
