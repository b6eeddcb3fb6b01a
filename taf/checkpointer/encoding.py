"""Facts and runs ⇄ JSON, directed by the state's schema. Nothing that is stored names code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, NamedTuple, cast

from taf.errors import NotStorableError
from taf.serialization import Mark, dumps, loads, pack, unpack
from taf.state.agent_state import Ask
from taf.state.channel import MISSING, Op
from taf.state.execution import ExecutionStatus
from taf.state.facts import (
    Answered,
    Completed,
    Entry,
    Fact,
    Failed,
    Forked,
    Output,
    Partial,
    Paused,
    Ran,
    Reopened,
    Resumed,
    Started,
    Stepped,
    Stopped,
    Task,
    TaskRecorded,
    Updated,
)
from taf.state.interrupts import InterruptKind, InterruptRecord, InterruptStatus
from taf.state.run import NOTHING, Details, Run, Stage
from taf.state.schema import StateSchema, Write

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
    Forked: "forked",
}
FACTS: dict[str, type] = {kind: fact for fact, kind in KINDS.items()}


class Mismatch(ValueError):
    """A stored value does not fit the field as the model declares it now."""

    def __init__(self, field: str, why: object) -> None:
        self.field = field
        super().__init__(f'the stored value of field "{field}" does not fit its type: {why}')


class Encoded(NamedTuple):
    """A fact's JSON: the changes of list fields are kept apart, so that a list is rebuilt from them alone."""

    kind: str
    body: bytes
    items: bytes | None


Items = list[list[Any]]


def _any(value: Any, where: str) -> list[Any]:
    """Store a value whose type nobody declared."""
    packed, marks = pack(value, (where,))
    return [packed, marks] if marks else [packed]


def _from_any(stored: Sequence[Any]) -> Any:
    return unpack(stored[0], _marks(stored[1])) if len(stored) > 1 else stored[0]


def _marks(stored: Iterable[Any]) -> list[Mark]:
    return [(tuple(path), tag) for path, tag in stored]


def encode_record(record: InterruptRecord) -> Any:
    """Turn an interrupt record into JSON types."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return _any(values | {"kind": record.kind.value, "status": record.status.value}, "interrupt")


def decode_record(stored: Any) -> InterruptRecord:
    """Undo ``encode_record``; keys that a later version added are passed over."""
    known = {f.name for f in fields(InterruptRecord)}
    values: dict[str, Any] = {key: value for key, value in _from_any(stored).items() if key in known}
    values |= {"kind": InterruptKind(values["kind"]), "status": InterruptStatus(values["status"])}
    if not isinstance(values["created_at"], datetime):
        raise TypeError("created_at is no time")
    return InterruptRecord(**values)


class FactCodec:
    """Encodes and decodes facts and runs of one state model."""

    def __init__(self, schema: StateSchema) -> None:
        self.schema = schema
        self._encode: dict[type, Callable[[Any, Items], list[Any]]] = {
            Started: self._started,
            Stepped: self._stepped,
            TaskRecorded: lambda f, _: [f.key, f.node, f.position, _entry(f.entry)],
            Paused: self._paused,
            Answered: self._answered,
            Reopened: lambda f, _: [encode_record(f.record), f.why],
            Resumed: lambda f, items: [f.run_id, self._ops(f.ops, items)],
            Stopped: self._stopped,
            Completed: lambda f, _: [],
            Failed: lambda f, _: [f.error, f.message, f.node, self._outputs(f.finished)],
            Updated: lambda f, items: [self._ops(f.ops, items), f.node, self._optional_tasks(f.frontier)],
            Forked: lambda f, items: [f.source, f.sequence, self.run(f.run), self._ops(f.ops, items)],
        }

    # -- facts -------------------------------------------------------------------------------------

    def encode(self, fact: Fact) -> Encoded:
        """Return a fact as bytes. Raise ``NotStorableError``."""
        items: Items = []
        kind = type(fact)
        body = self._encode[kind](fact, items)
        return Encoded(KINDS[kind], dumps(body), dumps(items) if items else None)

    def decode(self, kind: str, body: bytes, items: bytes | None) -> Fact:
        """Undo ``encode``. Raise ``Mismatch`` where the model has changed, ``ValueError`` for all else."""
        try:
            changes = _Slots(self, loads(items) if items else [])
            return cast("Fact", _DECODE[kind](self, loads(body), changes))
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"a record of kind {kind!r} is malformed: {error!r}") from error

    def _started(self, fact: Started, items: Items) -> list[Any]:
        return [fact.run_id, self._ops(fact.ops, items), self.tasks(fact.frontier), fact.graph]

    def _stepped(self, fact: Stepped, items: Items) -> list[Any]:
        ran, frontier, asks, carried, joins = fact
        steps = [[one.node, one.key, self._ops(one.ops, items, slot)] for slot, one in enumerate(ran)]
        body: list[Any] = [steps, self.tasks(frontier)]
        if asks or carried or joins is not None:
            body += [[[node, key, _ask(ask)] for node, key, ask in asks], self.tasks(carried), joins]
        return body

    def _paused(self, fact: Paused, items: Items) -> list[Any]:
        records = [encode_record(record) for record in fact.records]
        return [fact.kind.value, fact.node, fact.reason, records, self._outputs(fact.finished)]

    def _answered(self, fact: Answered, items: Items) -> list[Any]:
        entry = None if fact.entry is None else _entry(fact.entry)
        return [encode_record(fact.record), entry, self._optional_tasks(fact.frontier), self._ops(fact.ops, items)]

    def _stopped(self, fact: Stopped, items: Items) -> list[Any]:
        partials = [[p.node, p.attempt, p.key, _any(p.value, "emit")] for p in fact.partials]
        finished = self._outputs(fact.finished)
        return [fact.run_id, fact.reason, fact.node, finished, partials, list(fact.unwinding)]

    # -- changes -----------------------------------------------------------------------------------

    def _ops(self, ops: Sequence[Op], items: Items, slot: int = 0) -> list[list[Any]]:
        channels = self.schema.channels
        body: list[list[Any]] = []
        for op in ops:
            channel = channels.get(op.field)
            encoded = self.op(op)
            if channel is not None and channel.is_list:
                items.append([slot, *encoded])
            else:
                body.append(encoded)
        return body

    def op(self, op: Op) -> list[Any]:
        """Turn one change into JSON types."""
        kind, name, value = op
        channel = self.schema.channel(name)
        if kind == "set" or kind == "merge":
            packed, marks = channel.codec.encode(value)
        elif kind == "append":
            packed, marks = channel.items.encode(value)
        elif kind == "put":
            packed, marks = channel.items.encode([value[1]])
            packed = [value[0], packed]
        else:
            packed, marks = value, []
        return [kind, name, packed, marks] if marks else [kind, name, packed]

    def decode_op(self, stored: Sequence[Any]) -> Op | None:
        """Undo ``op``. Return None for a field that the model no longer has."""
        kind, name, packed = stored[:3]
        if name not in self.schema.channels and not self.schema.is_open:
            return None
        channel, marks = self.schema.channel(name), _marks(stored[3]) if len(stored) > 3 else []
        try:
            if kind == "append":
                return Op(kind, name, channel.items.decode(packed, marks))
            if kind == "put":
                return Op(kind, name, (packed[0], channel.items.decode(packed[1], marks)[0]))
            if kind == "set" or kind == "merge":
                return Op(kind, name, channel.codec.decode(packed, marks))
        except ValueError as error:
            raise Mismatch(name, error) from error
        if kind not in ("cut", "drop"):
            raise ValueError(f"unknown change {kind!r}")
        return Op(kind, name, packed)

    def decode_ops(self, stored: Iterable[Sequence[Any]]) -> tuple[Op, ...]:
        """Undo ``op`` for many."""
        found = (self.decode_op(one) for one in stored)
        return tuple(op for op in found if op is not None)

    # -- tasks and outputs -------------------------------------------------------------------------

    def tasks(self, tasks: Sequence[Task]) -> list[Any]:
        """Turn a frontier into JSON types: a name, or name, key and overlay."""
        return [t.node if t.overlay is None and t.key == t.node else self._task(t) for t in tasks]

    def _task(self, task: Task) -> list[Any]:
        overlay = None
        if task.overlay is not None:
            overlay = [self.op(Op("set", name, value))[1:] for name, value in task.overlay.items()]
        return [task.node, task.key, overlay]

    def _optional_tasks(self, tasks: Sequence[Task] | None) -> list[Any] | None:
        return None if tasks is None else self.tasks(tasks)

    def decode_tasks(self, stored: Iterable[Any]) -> tuple[Task, ...]:
        """Undo ``tasks``."""
        return tuple(Task(t, t) if type(t) is str else self._decode_task(t) for t in stored)

    def _decode_task(self, stored: Sequence[Any]) -> Task:
        node, key, overlay = stored
        if overlay is None:
            return Task(node, key)
        return Task(node, key, {op.field: op.value for op in self.decode_ops(["set", *part] for part in overlay)})

    def decode_optional_tasks(self, stored: Iterable[Any] | None) -> tuple[Task, ...] | None:
        """Undo ``tasks`` where there may be none."""
        return None if stored is None else self.decode_tasks(stored)

    def _outputs(self, outputs: Iterable[Output]) -> list[Any]:
        return [
            [
                output.key,
                output.node,
                [self._write(write) for write in output.writes],
                self._optional_tasks(output.goto),
                None if output.ask is None else _ask(output.ask),
            ]
            for output in outputs
        ]

    def _write(self, write: Write) -> list[Any]:
        name, value, is_whole = write
        if is_whole and isinstance(value, Op):
            return ["change", self.op(value)]
        if is_whole and value is MISSING:
            return ["drop", name]
        if is_whole or name not in self.schema.channels or self.schema.channels[name].style != "custom":
            return ["whole" if is_whole else "update", self.op(Op("set", name, value))]
        try:
            return ["free", name, _any(value, name)]
        except NotStorableError:
            return ["update", self.op(Op("set", name, value))]

    def decode_outputs(self, stored: Iterable[Sequence[Any]]) -> tuple[Output, ...]:
        """Read what nodes returned before their step was done."""
        return tuple(
            Output(
                key,
                node,
                tuple(write for write in map(self._decode_write, writes) if write is not None),
                self.decode_optional_tasks(goto),
                None if ask is None else _decode_ask(ask),
            )
            for key, node, writes, goto, ask in stored
        )

    def _decode_write(self, stored: Sequence[Any]) -> Write | None:
        how = stored[0]
        if how == "drop":
            return Write(stored[1], MISSING, True)
        if how == "free":
            return Write(stored[1], _from_any(stored[2]))
        op = self.decode_op(stored[1])
        if op is None:
            return None
        return Write(op.field, op, True) if how == "change" else Write(op.field, op.value, how == "whole")

    # -- runs --------------------------------------------------------------------------------------

    def run(self, run: Run) -> list[Any]:
        """Turn a run into JSON types, without its values."""
        d = run.details
        details: list[Any] | None = None
        if d is not NOTHING:
            details = [
                [encode_record(record) for record in d.interrupts],
                self._outputs(d.finished.values()),
                [[key, [[p, _entry(e)] for p, e in entries.items()]] for key, entries in d.memo.items()],
                self.tasks(d.carried),
                [[node, key, _ask(ask)] for node, key, ask in d.asks],
                [[node, reason, _any(data, "data")] for node, reason, data in d.settled],
                sorted(d.passed),
                {key: list(names) for key, names in d.joins.items()},
                [[p.node, p.attempt, p.key, _any(p.value, "emit")] for p in d.partials],
                d.node,
                d.reason,
                d.error,
            ]
        head = [run.status.value, run.run_id, run.sequence, run.step, run.node]
        return [*head, self.tasks(run.frontier), run.visit, run.stage.value, list(run.ran), details]

    def decode_run(self, thread_id: str, stored: Sequence[Any]) -> Run:
        """Undo ``run``."""
        status, run_id, sequence, step, node, frontier, visit, stage, ran, details = stored
        return Run(
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
            tuple(ran),
            NOTHING if details is None else self._decode_details(details),
        )

    def _decode_details(self, stored: Sequence[Any]) -> Details:
        interrupts, finished, memo, carried, asks, settled, passed, joins, partials, node, reason, error = stored
        return Details(
            interrupts=tuple(decode_record(record) for record in interrupts),
            finished={output.key: output for output in self.decode_outputs(finished)},
            memo={key: {p: _decode_entry(e) for p, e in entries} for key, entries in memo},
            carried=self.decode_tasks(carried),
            asks=tuple((n, key, _decode_ask(ask)) for n, key, ask in asks),
            settled=tuple((n, why, _from_any(data)) for n, why, data in settled),
            passed=frozenset(passed),
            joins={key: tuple(names) for key, names in joins.items()},
            partials=_decode_partials(partials),
            node=node,
            reason=reason,
            error=error,
        )


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


def _entry(entry: Entry) -> list[Any]:
    return [entry.kind, entry.name, _any(entry.value, entry.name)]


def _decode_entry(stored: Sequence[Any]) -> Entry:
    return Entry(stored[0], stored[1], _from_any(stored[2]))


def _ask(ask: Ask) -> list[Any]:
    return [ask.node, ask.reason, ask.status.value, _any(ask.data, "data")]


def _decode_ask(stored: Sequence[Any]) -> Ask:
    return Ask(stored[0], stored[1], ExecutionStatus(stored[2]), _from_any(stored[3]))


def _decode_partials(stored: Iterable[Sequence[Any]]) -> tuple[Partial, ...]:
    return tuple(Partial(node, attempt, key, _from_any(value)) for node, attempt, key, value in stored)


def _decode_stepped(codec: FactCodec, body: Sequence[Any], slots: _Slots) -> Stepped:
    steps, frontier, *rest = body
    ran = tuple(Ran(node, key, slots.ops(ops, slot)) for slot, (node, key, ops) in enumerate(steps))
    if not rest:
        return Stepped(ran, codec.decode_tasks(frontier))
    asks, carried, joins = rest
    return Stepped(
        ran,
        codec.decode_tasks(frontier),
        tuple((node, key, _decode_ask(ask)) for node, key, ask in asks),
        codec.decode_tasks(carried),
        None if joins is None else {key: tuple(names) for key, names in cast("Mapping[str, Any]", joins).items()},
    )


def _decode_answered(codec: FactCodec, body: Sequence[Any], slots: _Slots) -> Answered:
    record, entry, frontier, ops = body
    return Answered(
        decode_record(record),
        None if entry is None else _decode_entry(entry),
        codec.decode_optional_tasks(frontier),
        slots.ops(ops),
    )


def _decode_forked(codec: FactCodec, body: Sequence[Any], slots: _Slots) -> Forked:
    return Forked(body[0], body[1], codec.decode_run("", body[2]), slots.ops(body[3]))


_DECODE: dict[str, Callable[[FactCodec, Any, _Slots], Any]] = {
    "started": lambda c, b, s: Started(b[0], s.ops(b[1]), c.decode_tasks(b[2]), b[3]),
    "stepped": _decode_stepped,
    "task_recorded": lambda c, b, s: TaskRecorded(b[0], b[1], b[2], _decode_entry(b[3])),
    "paused": lambda c, b, s: Paused(
        InterruptKind(b[0]), b[1], b[2], tuple(map(decode_record, b[3])), c.decode_outputs(b[4])
    ),
    "answered": _decode_answered,
    "reopened": lambda c, b, s: Reopened(decode_record(b[0]), b[1]),
    "resumed": lambda c, b, s: Resumed(b[0], s.ops(b[1])),
    "stopped": lambda c, b, s: Stopped(
        b[0], b[1], b[2], c.decode_outputs(b[3]), _decode_partials(b[4]), tuple(b[5])
    ),
    "completed": lambda c, b, s: Completed(),
    "failed": lambda c, b, s: Failed(b[0], b[1], b[2], c.decode_outputs(b[3])),
    "updated": lambda c, b, s: Updated(s.ops(b[0]), b[1], c.decode_optional_tasks(b[2])),
    "forked": _decode_forked,
}


def without_answer(record: InterruptRecord) -> InterruptRecord:
    """Return a record as it was before it was answered, one version on."""
    return replace(
        record,
        status=InterruptStatus.OPEN,
        version=record.version + 1,
        answer=None,
        answered_by=None,
        answered_at=None,
    )
