"""Threads without a state model: what an older model wrote, as plain values.

Models are dicts here and enums what they hold; tuples, sets, times and numbers are what they were. Nothing is checked
against a declared type, so what was written under any version can be folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from taf.checkpointer.encoding import FactCodec
from taf.checkpointer.snapshots import SnapshotCodec
from taf.state.channel import Channel, Op
from taf.state.growing import Growing
from taf.state.run import Run
from taf.state.schema import StateSchema, Values


class _Anything(BaseModel):
    """A state of which nothing is known."""

    model_config = ConfigDict(defer_build=True)  # few need it


class _Channels(dict[str, Channel]):
    """A channel for every name."""

    def __missing__(self, name: str) -> Channel:
        channel = self[name] = Channel(name, Any, None, lambda value: value)
        channel.is_list = True  # any field may turn out to be one
        return channel

    def get(self, name: str, default: Any = None) -> Channel:
        return self[name]

    def __contains__(self, name: object) -> bool:
        return True


class UntypedSchema(StateSchema):
    """The channels of whatever there is. Lists are ``Growing`` from the first change on that needs it."""

    def __init__(self) -> None:
        super().__init__(_Anything)
        self.is_open, self.channels = True, _Channels()

    def channel(self, name: str) -> Channel:
        """Return the channel of a field."""
        return self.channels[name]

    def apply(self, values: Values, ops: Iterable[Op], origin: int | None = None) -> Values:
        """Return the values after some changes."""
        after = {**values}
        for kind, name, value in ops:
            if kind == "set":
                after[name] = value
            elif kind in ("append", "put", "cut"):
                after[name] = _changed(kind, after.get(name, ()), value)
            elif kind == "merge":
                after[name] = {**after.get(name, {}), **value}
            else:
                after.pop(name, None)
        return after


def _changed(kind: str, held: Any, value: Any) -> Growing:
    grown = held if isinstance(held, Growing) else Growing(held)
    if kind == "append":
        return grown.extended(value)
    return grown.replaced(*value) if kind == "put" else grown.cut(value)


class UntypedCodec(FactCodec):
    """Decodes facts and runs into plain values. What nodes returned of a step under way is kept as it is stored."""

    def __init__(self, *, is_short: bool = False) -> None:
        super().__init__(UntypedSchema(), is_short=is_short)
        self.snapshots = SnapshotCodec(self)

    def _wanted(self, op: Op) -> list[Any]:
        return cast("list[Any]", op[2])

    def _decode_wanted(self, stored: Sequence[Any]) -> Op:
        name = stored[1] if stored[0] == "free" else stored[1][1]
        if type(name) is not str:
            raise ValueError("a change names no field")
        return ("as stored", name, stored)


def plain_values(run: Run) -> dict[str, Any]:
    """Return the plain values of an untyped run."""
    return {name: value.to_list() if isinstance(value, Growing) else value for name, value in run.values.items()}
