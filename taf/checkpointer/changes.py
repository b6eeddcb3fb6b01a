"""Changes of fields, what is to run and what nodes returned ⇄ JSON types, directed by the state's schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from taf.checkpointer.fitting import fitting
from taf.checkpointer.interrupts import decode_any, decode_ask, decode_marks, encode_any, encode_ask
from taf.errors import NotStorableError
from taf.serialization import compressed, dumps, full_length
from taf.state.channel import Op
from taf.state.facts import Output, Task
from taf.state.schema import StateSchema


class Mismatch(ValueError):
    """A stored value does not fit the field as the model declares it now."""

    def __init__(self, field: str, why: object) -> None:
        self.field = field
        super().__init__(f'the stored value of field "{field}" does not fit its type: {why}')


class ChangeCodec:
    """Encodes and decodes whatever holds values of the state's fields."""

    def __init__(self, schema: StateSchema, *, is_short: bool = False) -> None:
        self.schema = schema
        self.shortened: Callable[[bytes], bytes] = compressed if is_short else bytes
        """Returns JSON as it is to be stored."""
        self.length: Callable[[bytes], int] = full_length if is_short else len
        """Returns how long that is in full."""

    def to_row(self, value: Any) -> bytes:
        """Write packed values as they are to be stored. Raise ``NotStorableError``."""
        return self.shortened(dumps(value))

    # -- changes -----------------------------------------------------------------------------------

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
        if not self._is_known(name):
            return None
        if kind in ("cut", "drop"):
            return (kind, name, packed)
        channel, marks = self.schema.channel(name), decode_marks(stored[3]) if len(stored) > 3 else []
        if kind in ("append", "put") and not channel.is_list:
            raise Mismatch(name, "it was a list")
        try:
            if kind == "append":
                return (kind, name, channel.items.decode(packed, marks))
            if kind == "put":
                return (kind, name, (packed[0], channel.items.decode(packed[1], marks)[0]))
            found: Op = (kind, name, channel.codec.decode(packed, marks))
        except ValueError as error:
            raise Mismatch(name, error) from error
        if kind == "merge" and type(found[2]) is not dict:
            raise Mismatch(name, "it was a dict")
        if kind not in ("set", "merge"):
            raise ValueError(f"unknown change {kind!r}")
        return found

    def _is_known(self, name: str) -> bool:
        return name in self.schema.channels or self.schema.is_open

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
            overlay = [self.op(("set", name, value))[1:] for name, value in task.overlay.items()]
        return [task.node, task.key, overlay]

    def optional_tasks(self, tasks: Sequence[Task] | None) -> list[Any] | None:
        return None if tasks is None else self.tasks(tasks)

    def decode_tasks(self, stored: Iterable[Any]) -> tuple[Task, ...]:
        """Undo ``tasks``."""
        return tuple(Task(t, t) if type(t) is str else self._decode_task(t) for t in stored)

    def _decode_task(self, stored: Sequence[Any]) -> Task:
        node, key, overlay = stored
        if overlay is None:
            return fitting(Task(node, key))
        ops = self.decode_ops(["set", *part] for part in overlay)
        return fitting(Task(node, key, {name: value for _, name, value in ops}))

    def decode_optional_tasks(self, stored: Iterable[Any] | None) -> tuple[Task, ...] | None:
        """Undo ``tasks`` where there may be none."""
        return None if stored is None else self.decode_tasks(stored)

    def outputs(self, outputs: Iterable[Output]) -> list[Any]:
        return [
            [
                output.key,
                output.node,
                [self._wanted(op) for op in output.ops],
                self.optional_tasks(output.goto),
                None if output.ask is None else encode_ask(output.ask),
            ]
            for output in outputs
        ]

    def _wanted(self, op: Op) -> list[Any]:
        kind, name, value = op
        if kind != "join":
            return ["change", self.op(op)]
        if self.schema.channels[name].style == "messages":
            return ["list", self.op(("append", name, value))]
        try:  # an update for a reducer of the user's may be anything
            return ["free", name, encode_any(value, name)]
        except NotStorableError as refused:
            return self._as_declared(name, value, refused)

    def _as_declared(self, name: str, value: Any, refused: NotStorableError) -> list[Any]:
        channel = self.schema.channels[name]
        try:
            return ["update", self.op(("set", name, value))]
        except NotStorableError:
            if not channel.is_list or isinstance(value, list):
                raise
        try:
            return ["item", self.op(("append", name, [value]))]
        except NotStorableError:
            raise refused from None

    def decode_outputs(self, stored: Iterable[Sequence[Any]]) -> tuple[Output, ...]:
        """Read what nodes returned before their step was done."""
        return tuple(
            fitting(
                Output(
                    key,
                    node,
                    tuple(op for op in map(self._decode_wanted, wanted) if op is not None),
                    self.decode_optional_tasks(goto),
                    None if ask is None else decode_ask(ask),
                )
            )
            for key, node, wanted, goto, ask in stored
        )

    def _decode_wanted(self, stored: Sequence[Any]) -> Op | None:
        how = stored[0]
        if how == "free":
            return ("join", stored[1], decode_any(stored[2])) if self._is_known(stored[1]) else None
        op = self.decode_op(stored[1])
        if op is None or how == "change":
            return op
        return ("join", op[1], op[2][0] if how == "item" else op[2])
