"""Python values ⇄ JSON bytes, without ever naming code.

Two layers. ``pack`` and ``unpack`` know a closed list of value types; whatever plain JSON cannot tell apart
(a tuple from a list, a Decimal from a text) is noted beside the value as *marks*, pairs of a path and a tag,
so that nothing is hidden inside a user's own dict. A ``Codec`` adds a declared type on top: models, enums and
dataclasses go through pydantic by their declared type, never by a name found in the data.

A value that would not come back as it went in is refused when it is produced, with its path.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from taf.errors import NotStorableError

MAX_DEPTH = 64
"""Deepest nesting of a stored value. pydantic encodes some 200 levels but cannot decode them."""

MAX_ROW_BYTES = 8 * 1024 * 1024
"""Largest stored row, checked before it is written and before it is decoded."""

Path = tuple[str | int, ...]
Mark = tuple[Path, str]

_PLAIN = frozenset({str, int, float, bool, type(None)})


def _exact_timedelta(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


_SCALARS: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    bytes: ("bytes", lambda v: base64.b64encode(v).decode(), lambda v: base64.b64decode(v, validate=True)),
    datetime: ("datetime", lambda v: [v.isoformat(), v.fold], lambda v: datetime.fromisoformat(v[0]).replace(fold=v[1])),
    date: ("date", date.isoformat, date.fromisoformat),
    time: ("time", time.isoformat, time.fromisoformat),
    timedelta: ("timedelta", _exact_timedelta, lambda v: timedelta(*v)),
    Decimal: ("decimal", str, Decimal),
    UUID: ("uuid", str, UUID),
}
_FROM_TAG: dict[str, Callable[[Any], Any]] = {tag: load for tag, _, load in _SCALARS.values()} | {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
}
_SEQUENCES: dict[type, str] = {tuple: "tuple", set: "set", frozenset: "frozenset"}


def dotted(path: Path) -> str:
    """Write a path as it would stand in Python: ``data["a"][0]``."""
    head, *rest = path or ("value",)
    return str(head) + "".join(f"[{part!r}]" for part in rest)


def pack(value: Any, where: Path = ()) -> tuple[Any, list[Mark]]:
    """Return the value as plain JSON types, and the marks that tell what they were.

    ``where`` is the path of the value itself, for errors. Raise ``NotStorableError`` for what is not on the list.
    """
    if type(value) in _PLAIN:
        return value, []
    marks: list[Mark] = []
    return _pack(value, (), marks, where), marks


def _pack(value: Any, path: Path, marks: list[Mark], where: Path) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if len(path) >= MAX_DEPTH:
        raise NotStorableError(dotted(where + path[:3]) + "[...]", f"it is nested deeper than {MAX_DEPTH} levels.")
    if kind is dict:
        if all(type(key) is str for key in value):
            return {key: _pack(item, (*path, key), marks, where) for key, item in value.items()}
        marks.append((path, "dict"))
        pairs = list(value.items())
        return [
            [_pack(part, (*path, i, j), marks, where) for j, part in enumerate(pair)] for i, pair in enumerate(pairs)
        ]
    if kind is list:
        return [_pack(item, (*path, i), marks, where) for i, item in enumerate(value)]
    if kind in _SEQUENCES:
        marks.append((path, _SEQUENCES[kind]))
        return [_pack(item, (*path, i), marks, where) for i, item in enumerate(value)]
    if kind in _SCALARS:
        tag, dump, _ = _SCALARS[kind]
        marks.append((path, tag))
        return dump(value)
    raise NotStorableError(dotted(where + path), _why_not(kind))


def _why_not(kind: type) -> str:
    declare = f"declare the type {kind.__name__} in the state model, so that it can be built again."
    if issubclass(kind, BaseModel | Enum):
        return f"a {kind.__name__} stands where any value is allowed; {declare}"
    return f"{kind.__module__}.{kind.__qualname__} is not a type that taf stores; {declare}"


def unpack(value: Any, marks: list[Mark]) -> Any:
    """Undo ``pack``. Raise ``ValueError`` for marks that do not fit."""
    if not marks:
        return value
    box = [value]
    try:
        for path, tag in sorted(marks, key=lambda mark: -len(mark[0])):  # children before their parents
            holder: Any = box
            steps: Path = (0, *path)
            for step in steps[:-1]:
                holder = holder[step]
            holder[steps[-1]] = _FROM_TAG[tag](holder[steps[-1]])
    except (LookupError, TypeError, ArithmeticError) as error:
        raise ValueError(f"bad type mark: {error!r}") from error
    return box[0]


def dumps(value: Any) -> bytes:
    """Write packed values as JSON. Lone surrogates, which fast encoders refuse, are escaped."""
    try:
        data = to_json(value)
    except PydanticSerializationError:
        data = json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()
    if len(data) > MAX_ROW_BYTES:
        raise NotStorableError("a step", f"it would be {len(data):,} bytes, and a row holds {MAX_ROW_BYTES:,}.")
    return data


def loads(data: bytes) -> Any:
    """Read JSON bytes. Raise ``ValueError`` for anything else, in bounded time and memory."""
    if len(data) > MAX_ROW_BYTES:
        raise ValueError(f"{len(data):,} bytes are more than a row may hold")
    try:
        return from_json(data)
    except ValueError:
        try:
            return json.loads(data)  # it accepts escaped lone surrogates
        except RecursionError:
            raise ValueError("the JSON is nested too deep") from None


class Codec:
    """Stores values of one declared type.

    ``path`` names the place for errors. Values of types that are known to come back exactly skip the check
    that the others get: they are decoded again before they are accepted, and compared.
    """

    __slots__ = ("_adapter", "_is_exact", "_is_plain", "path")

    def __init__(self, declared: Any, path: str) -> None:
        self.path = path
        self._is_plain = declared in (int, str, bool, None, type(None), float)
        self._is_exact = self._is_plain or is_exact(declared)
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(declared)
        except PydanticSchemaGenerationError:
            self._adapter = TypeAdapter(declared, config=ConfigDict(arbitrary_types_allowed=True))

    def encode(self, value: Any) -> tuple[Any, list[Mark]]:
        """Return plain JSON types and marks. Raise ``NotStorableError``."""
        if self._is_plain and type(value) in _PLAIN:
            return value, []
        try:
            plain = self._adapter.dump_python(value, round_trip=True, by_alias=False, warnings="error")
        except PydanticSerializationError as error:
            raise NotStorableError(self.path, f"it is not of its declared type ({error}).") from error
        plain = _without_enums(plain)
        packed, marks = pack(plain, (self.path,))
        if not self._is_exact:
            self._check(value, packed, marks)
        return packed, marks

    def _check(self, value: Any, packed: Any, marks: list[Mark]) -> None:
        try:
            back = self.decode(loads(dumps(packed)), marks)
        except ValueError as error:
            raise NotStorableError(self.path, f"it could not be read back ({error}).") from error
        different = difference(value, back, (self.path,))
        if different is not None:
            raise NotStorableError(dotted(different), "it would come back as another value or type.")

    def decode(self, packed: Any, marks: list[Mark]) -> Any:
        """Undo ``encode``. Raise ``ValueError`` for what does not fit the declared type."""
        value = unpack(packed, marks)
        if self._is_plain and type(value) in _PLAIN:
            return value
        try:
            return self._adapter.validate_python(value, by_name=True, by_alias=False)
        except ValidationError as error:
            raise ValueError(str(error)) from error


def _without_enums(value: Any) -> Any:
    """Replace enums by their values: the declared type turns them back, and where none is declared the check refuses."""
    if isinstance(value, Enum):
        return value.value
    kind = type(value)
    if kind is dict:
        return {_without_enums(key): _without_enums(item) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind(_without_enums(item) for item in value)
    if isinstance(value, tuple):  # a NamedTuple: its declared type builds it again
        return tuple(_without_enums(item) for item in value)
    return value


def is_exact(declared: Any) -> bool:
    """True for types whose values are known to come back exactly, so that no check is owed."""
    from typing import get_args, get_origin

    if isinstance(declared, type) and getattr(declared, "__taf_exact__", False):
        return True
    if declared in (int, str, bool, None, type(None), float, bytes, datetime, date, Decimal, UUID, timedelta):
        return True
    if get_origin(declared) in (list, set, frozenset, tuple, dict):
        return all(is_exact(part) for part in get_args(declared) if part is not Ellipsis)
    return False


def difference(one: Any, other: Any, path: Path = ()) -> Path | None:
    """Return the path of the first place where two values differ in value or type, or None."""
    if type(one) is not type(other):
        return path
    if isinstance(one, BaseModel):
        return _differing_part(_model_parts(one), _model_parts(other), path)
    if isinstance(one, dict):
        return _differing_part(one, other, path)
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return path
        found = (difference(a, b, (*path, i)) for i, (a, b) in enumerate(zip(one, other, strict=True)))
        return next((where for where in found if where is not None), None)
    same = one == other or (one != one and other != other)
    return None if same else path


def _model_parts(model: BaseModel) -> dict[str, Any]:
    return {**model.__dict__, **(model.__pydantic_extra__ or {})}


def _differing_part(one: dict[Any, Any], other: dict[Any, Any], path: Path) -> Path | None:
    if list(one) != list(other):
        return path
    found = (difference(one[key], other[key], (*path, key)) for key in one)
    return next((where for where in found if where is not None), None)
