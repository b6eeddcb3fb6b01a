"""One field of a state: how an update joins it, is checked, copied and stored."""

from __future__ import annotations

import operator
from collections.abc import Callable
from copy import copy
from datetime import date
from functools import lru_cache
from types import GenericAlias, NoneType
from typing import Any, TypeAlias, cast, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from taf.serialization import Codec, difference
from taf.state import reducers
from taf.state.copying import copier_for, copy_value
from taf.state.growing import Growing
from taf.state.messages import Message
from taf.state.validation import FieldValidation, declared_type

Reducer = Callable[[Any, Any], Any]


Op: TypeAlias = tuple[str, str, Any]
"""One change: its kind, its field and a value. A plain tuple, since every step makes some and JSON takes it as it is.

Stored are ``set``, ``append``, ``put`` (an index and an item), ``cut`` (a length), ``merge`` and ``drop``. What a node
wants may also be a ``join``: an update whose change depends on what the field holds by then.
"""

MISSING: Any = object()
"""Stands for "no value yet"."""


_WANTS = {"set": "set", "append": "append", "concat": "append", "merge": "merge", "messages": "join", "custom": "join"}


class Channel:
    """A field with its reducer. Lists are kept as ``Growing``, so that appending costs what is appended."""

    __slots__ = (
        "_is_told_apart",
        "_validate",
        "checked",
        "codec",
        "copy",
        "is_list",
        "items",
        "name",
        "reducer",
        "style",
        "wants",
    )

    def __init__(
        self,
        name: str,
        declared: Any,
        reducer: Reducer | None,
        validate: Callable[[Any], Any],
        *,
        options: ConfigDict | None = None,
        is_checked_whole: bool = False,
    ) -> None:
        self.name, self.reducer, self._validate = name, reducer, validate
        plain = get_args(declared)[0] if hasattr(declared, "__metadata__") else declared
        item = (get_args(plain) or (Any,))[0]
        self.is_list = get_origin(plain) is list or plain is list
        self.copy = copier_for(plain)
        self.codec = Codec(declared, name, options)
        self.items = Codec(GenericAlias(list, (item,)), name, options) if self.is_list else self.codec
        self.style = self._find_style(plain, item, is_checked_whole)
        self.wants = _WANTS[self.style]
        """The kind of change that an update asks for."""
        is_simple = self.style == "set" and self.copy in (None, list)
        self.checked: Callable[[Any], Any] = validate if is_simple else self._checked
        """Returns an update in the form that its change holds, validated and detached from its maker.

        Raises pydantic's ``ValidationError`` or whatever a validator of the user's raises.
        """
        self._is_told_apart = (item if self.is_list else plain) in _TOLD_APART

    def _find_style(self, declared: Any, item: Any, is_checked_whole: bool) -> str:
        """Name the way in which updates are joined. What has to be checked whole is joined by calling its reducer."""
        known: dict[Any, str] = {None: "set", reducers.replace: "set"}
        if self.is_list and not is_checked_whole:
            known |= {reducers.append: "append", operator.add: "concat"}
            has_id = isinstance(item, type) and issubclass(item, BaseModel) and "id" in item.model_fields
            known |= {reducers.add_messages: "messages"} if has_id else {}
        elif (declared is dict or get_origin(declared) is dict) and not is_checked_whole:
            known |= {reducers.merge: "merge"}
        return next((style for reducer, style in known.items() if reducer is self.reducer), "custom")

    def _checked(self, update: Any) -> Any:
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

    def join(self, current: Any, update: Any) -> list[Op]:
        """Return the changes that join a checked update to what the field holds (``MISSING``: nothing yet)."""
        if self.style == "messages":
            return self._join_messages(Growing() if current is MISSING else current, update)
        return self._custom(Growing() if current is MISSING and self.is_list else current, update)

    def _join_messages(self, current: Growing, update: list[Any]) -> list[Op]:
        ops: list[Op] = []
        fresh: dict[str, Any] = {}
        for message in update:
            index = current.position(message.id)
            if index is None:
                fresh[message.id] = message
            else:
                ops.append(("put", self.name, (index, message)))
        if fresh:
            ops.append(("append", self.name, list(fresh.values())))
        return ops

    def _custom(self, current: Any, update: Any) -> list[Op]:
        if current is MISSING:
            return [("set", self.name, self.whole(update))]
        assert self.reducer is not None
        return self.changes(current, self.whole(self.reducer(copy_value(self.plain(current)), update)))

    def changes(self, current: Any, new: Any) -> list[Op]:
        """Return the smallest change that leads from what the field holds to ``new``."""
        if current is MISSING:
            return [("set", self.name, new)]
        if isinstance(current, Growing):
            if current.starts(new) and self._are_same(current.to_list(), new[: len(current)]):
                return [("append", self.name, new[len(current) :])] if len(new) > len(current) else []
            return [("set", self.name, new)]
        if type(new) is type(current) and new == current and self._are_same(current, new):
            return []
        if type(new) is dict and type(current) is dict and self.style == "merge":
            return self._dict_changes(current, new)  # pyright: ignore[reportUnknownArgumentType]
        return [("set", self.name, new)]

    def _dict_changes(self, current: dict[Any, Any], new: dict[Any, Any]) -> list[Op]:
        if current.keys() - new.keys():
            return [("set", self.name, new)]
        changed = {k: v for k, v in new.items() if k not in current or difference(current[k], v) is not None}
        return [("merge", self.name, changed)]

    def _are_same(self, current: Any, new: Any) -> bool:
        """True when equal values are the same: 1 and True, or 0.0 and -0.0, are equal."""
        return self._is_told_apart or difference(current, new) is None

    def plain(self, value: Any) -> Any:
        """Return a stored value as what it was declared to be: a list for a ``Growing``."""
        return value.to_list() if isinstance(value, Growing) else value

    def detached(self, value: Any) -> Any:
        """Return a copy of a stored value that its reader may change."""
        plain = self.plain(value)
        if self.copy is None or (self.copy is list and plain is not value):
            return plain
        return self.copy(plain)


_TOLD_APART = (str, int, bool, bytes, date, UUID, NoneType, Message)
"""Types whose values are the same when they are equal."""


def channel_for(validation: FieldValidation, name: str, field: FieldInfo) -> Channel:
    """Make the channel of a declared field."""
    reducer = next((cast("Reducer", mark) for mark in field.metadata if _is_reducer(mark)), None)
    field = copy(field)
    field.metadata = [mark for mark in field.metadata if mark is not reducer]
    return Channel(
        name,
        declared_type(field, with_marks=False),
        reducer,
        validation.of(name, field),
        options=validation.options,
        is_checked_whole=validation.has_own(name, field),
    )


@lru_cache(maxsize=256)
def open_channel(name: str) -> Channel:
    """Make the channel of an undeclared field of an open state: any value, the last one wins."""
    return Channel(name, Any, None, lambda value: value)


def _is_reducer(mark: Any) -> bool:
    """True for any callable beside a type that is not one of pydantic's own marks."""
    from annotated_types import BaseMetadata  # not before a state has marks: it is slow to load

    is_mark = isinstance(mark, type | BaseMetadata) or hasattr(mark, "__get_pydantic_core_schema__")
    return callable(mark) and not is_mark
