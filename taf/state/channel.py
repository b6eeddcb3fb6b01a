"""One field of a state: how an update joins it, is checked, copied and stored."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from inspect import isroutine
from typing import Annotated, Any, NamedTuple, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from pydantic.fields import FieldInfo

from taf.serialization import Codec
from taf.state import reducers
from taf.state.copying import copier_for, copy_value
from taf.state.growing import Growing

Reducer = Callable[[Any, Any], Any]


class Op(NamedTuple):
    """One change of one field, as it is stored: ``set``, ``append``, ``put``, ``cut``, ``merge`` or ``drop``."""

    kind: str
    field: str
    value: Any


MISSING: Any = object()
"""Stands for "no value yet"."""


class Channel:
    """A field with its reducer. Lists are kept as ``Growing``, so that appending costs what is appended."""

    __slots__ = ("_validate", "codec", "copy", "declared", "is_list", "items", "name", "reducer", "style")

    def __init__(self, name: str, declared: Any, reducer: Reducer | None, validate: Callable[[Any], Any]) -> None:
        self.name, self.declared, self.reducer = name, declared, reducer
        self.is_list = get_origin(declared) is list or declared is list
        self.copy = copier_for(declared)
        self._validate = validate
        self.codec = Codec(declared, name)
        item = (get_args(declared) or (Any,))[0]
        self.items = Codec(list[item], name) if self.is_list else self.codec
        self.style = self._find_style()

    def _find_style(self) -> str:
        known: dict[Any, str] = {None: "set", reducers.replace: "set", reducers.merge: "merge"}
        if self.is_list:
            known |= {reducers.append: "append", operator.add: "concat", reducers.add_messages: "messages"}
        return known.get(self.reducer, "custom")

    def checked(self, update: Any) -> Any:
        """Return an update in the form that ``reduce`` takes, validated and detached from its maker.

        Raise pydantic's ``ValidationError`` or ``TypeError``.
        """
        style = self.style
        if style == "custom":
            return copy_value(update)
        if style in ("append", "messages") and not isinstance(update, list):
            update = [update]
        elif style == "concat" and not isinstance(update, list):
            raise TypeError(f"this field is joined by list + list, so return a list, not {type(update).__name__}")
        return self.whole(update)

    def whole(self, value: Any) -> Any:
        """Return a value for the whole field, validated and detached from its maker."""
        value = self._validate(value)
        copying = self.copy
        return value if copying is None or copying is list else copying(value)

    def reduce(self, current: Any, update: Any) -> list[Op]:
        """Return the changes that join a checked update to what the field holds (``MISSING``: nothing yet)."""
        style, name = self.style, self.name
        if style == "set":
            return [Op("set", name, update)]
        if style in ("append", "concat"):
            return [Op("append", name, update)] if update else []
        if style == "messages":
            return self._join_messages(current, update)
        if style == "merge":
            return [Op("merge", name, update)] if current is not MISSING else [Op("set", name, update)]
        return self._custom(current, update)

    def _join_messages(self, current: Growing, update: list[Any]) -> list[Op]:
        ops: list[Op] = []
        fresh: dict[str, Any] = {}
        for message in update:
            index = current.position(message.id)
            if index is None:
                fresh[message.id] = message
            else:
                ops.append(Op("put", self.name, (index, message)))
        if fresh:
            ops.append(Op("append", self.name, list(fresh.values())))
        return ops

    def _custom(self, current: Any, update: Any) -> list[Op]:
        if current is MISSING:
            return [Op("set", self.name, self.whole(update))]
        assert self.reducer is not None
        return self.changes(current, self.whole(self.reducer(copy_value(self.plain(current)), update)))

    def changes(self, current: Any, new: Any) -> list[Op]:
        """Return the smallest change that leads from what the field holds to ``new``."""
        if current is MISSING:
            return [Op("set", self.name, new)]
        if isinstance(current, Growing):
            if isinstance(new, list) and current.starts(cast("list[Any]", new)):
                tail = cast("list[Any]", new)[len(current) :]
                return [Op("append", self.name, tail)] if tail else []
            return [Op("set", self.name, new)]
        if type(new) is type(current) and new == current:
            return []
        if type(new) is dict and type(current) is dict and self.style == "merge":
            return self._dict_changes(cast("dict[Any, Any]", current), cast("dict[Any, Any]", new))
        return [Op("set", self.name, new)]

    def _dict_changes(self, current: dict[Any, Any], new: dict[Any, Any]) -> list[Op]:
        if current.keys() - new.keys():
            return [Op("set", self.name, new)]
        changed = {key: item for key, item in new.items() if key not in current or current[key] != item}
        return [Op("merge", self.name, changed)]

    def plain(self, value: Any) -> Any:
        """Return a stored value as what it was declared to be: a list for a ``Growing``."""
        return value.to_list() if isinstance(value, Growing) else value

    def detached(self, value: Any) -> Any:
        """Return a copy of a stored value that its reader may change."""
        plain = self.plain(value)
        if self.copy is None or (self.copy is list and plain is not value):
            return plain
        return self.copy(plain)


def channel_for(model: type[BaseModel], name: str, field: FieldInfo) -> Channel:
    """Make the channel of a declared field."""
    reducer = next((cast("Reducer", mark) for mark in field.metadata if _is_reducer(mark)), None)
    rest = [mark for mark in field.metadata if mark is not reducer]
    if any(name in found.info.fields or "*" in found.info.fields for found in _field_validators(model)):
        validate = partial(_by_assignment, model, name)
        return _with_whole_check(Channel(name, field.annotation, reducer, validate))
    declared = Annotated[field.annotation, *rest] if rest else field.annotation
    channel = Channel(name, field.annotation, reducer, adapter(declared, model.model_config).validator.validate_python)
    return _with_whole_check(channel) if rest else channel


def open_channel(name: str) -> Channel:
    """Make the channel of an undeclared field of an open state: any value, the last one wins."""
    return Channel(name, Any, None, lambda value: value)


def adapter(declared: Any, config: ConfigDict) -> TypeAdapter[Any]:
    """Return pydantic's adapter of a type, under the options of the state model that it stands in."""
    options = {key: config[key] for key in ("strict", "arbitrary_types_allowed") if key in config}
    try:
        return TypeAdapter(declared, config=cast("ConfigDict", options) or None)
    except (PydanticUserError, PydanticSchemaGenerationError):
        return TypeAdapter(declared)


def _with_whole_check(channel: Channel) -> Channel:
    """A field with validators or constraints of its own is checked whole, so its known reducer is called as any other."""
    if channel.is_list and channel.style in ("append", "concat", "messages"):
        channel.style = "custom"
    return channel


def _is_reducer(mark: Any) -> bool:
    return isroutine(mark) or isinstance(mark, partial)


def _field_validators(model: type[BaseModel]) -> list[Any]:
    return list(model.__pydantic_decorators__.field_validators.values())


def _by_assignment(model: type[BaseModel], name: str, value: Any) -> Any:
    """Run the model's own validators of a field, on an instance that is thrown away."""
    scratch = model.model_construct()
    model.__pydantic_validator__.validate_assignment(scratch, name, value)
    return scratch.__dict__[name]
