"""Values of a declared type ⇄ plain JSON types and marks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from inspect import iscoroutine
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from taf.errors import NotStorableError
from taf.serialization.comparison import difference
from taf.serialization.packing import PLAIN, Mark, dotted, pack, unpack
from taf.serialization.rows import dumps, loads


class Codec:
    """Stores values of one declared type.

    ``path`` names the place for errors. Values of types that are known to come back exactly skip the check
    that the others get: they are decoded again before they are accepted, and compared.
    """

    __slots__ = ("_adapter", "_as_plain", "_comes_back", "_is_exact", "_plain_items", "path", "plain")

    def __init__(self, declared: Any, path: str, config: ConfigDict | None = None) -> None:
        self.path = path
        self._is_exact = is_exact(declared)
        self.plain = _plain_types(declared)
        self._plain_items: frozenset[Any] = frozenset()
        if get_origin(declared) is list:
            self._plain_items = _plain_types(get_args(declared)[0])
        self._comes_back, self._as_plain = _promise(declared), _shortcut(declared)
        self._adapter = adapter_of(declared, config)

    def encode(self, value: Any) -> tuple[Any, list[Mark]]:
        """Return plain JSON types and marks. Raise ``NotStorableError``."""
        kind: type = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind in self.plain or (kind is list and self._plain_items.issuperset(map(type, value))):
            return value, []
        if self._as_plain is not None and (known := self._as_plain(value)) is not None:
            return known, []
        try:
            plain = self._dump(value)
            packed, marks = pack(plain, (self.path,), declared=not self._is_exact)
        except NotStorableError as refused:
            if self._is_exact:
                raise
            return self._encode_as_json(value, refused)
        comes_back = self._comes_back
        if not self._is_exact and not (comes_back is not None and comes_back(value)):
            self._check(value, packed, marks)
        return packed, marks

    def _dump(self, value: Any, mode: Literal["python", "json"] = "python") -> Any:
        try:
            return self._adapter.dump_python(value, mode=mode, round_trip=True, by_alias=False, warnings="error")
        except Exception as error:  # a serializer of the user's may raise anything
            raise NotStorableError(
                self.path, f"it is not of its declared type: {self._misfit(value, error)}."
            ) from error

    def _misfit(self, value: Any, error: Exception) -> str:
        try:
            self._adapter.validate_python(value, by_name=True, by_alias=False)
        except ValidationError as invalid:
            return first_fault(invalid)
        except Exception as broken:
            return str(broken)
        return str(error).splitlines()[-1].strip()  # valid, yet it cannot be written

    def _encode_as_json(self, value: Any, refused: NotStorableError) -> tuple[Any, list[Mark]]:
        """Store what pydantic can write as JSON and its declared type reads back: a path, an address."""
        try:
            packed, marks = pack(self._dump(value, "json"), (self.path,))
            self._check(value, packed, marks)
        except NotStorableError:
            raise refused from None
        return packed, marks

    def _check(self, value: Any, packed: Any, marks: list[Mark]) -> None:
        try:
            back = self.decode(loads(dumps(packed, self.path)), marks)
            different = difference(value, back, (self.path,))
        except ValueError as error:
            raise NotStorableError(self.path, f"it could not be read back ({error}).") from error
        if different is not None:
            raise NotStorableError(dotted(different), "it would come back as another value or type.")

    def decode(self, packed: Any, marks: list[Mark]) -> Any:
        """Undo ``encode``. Raise ``ValueError`` for what does not fit the declared type."""
        value = unpack(packed, marks)
        if type(value) in self.plain:
            return value
        try:
            return self._adapter.validate_python(value, by_name=True, by_alias=False)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from error
        except Exception as error:  # a validator of the user's may raise anything
            raise ValueError(str(error)) from error


def first_fault(invalid: ValidationError) -> str:
    """Return what pydantic says first, and where inside the value. All that it says may be very much."""
    if invalid.error_count() > 100:
        return f"{invalid.error_count():,} of its parts are not valid"
    place, what = place_of_fault(invalid)
    where = ".".join(map(str, place))
    return f"{where}: {what}" if where else what


def place_of_fault(invalid: ValidationError) -> tuple[tuple[int | str, ...], str]:
    """Return where inside the value the first fault is, and what pydantic says of it."""
    first = invalid.errors(include_url=False, include_context=False)[0]
    is_unawaited = iscoroutine(first["input"])
    return first["loc"], f"{first['msg']}, not a coroutine (is an await missing?)" if is_unawaited else first["msg"]


def adapter_of(declared: Any, config: ConfigDict | None = None) -> TypeAdapter[Any]:
    """Return pydantic's adapter of any type; values of types that it does not know are taken as they are."""
    try:
        return TypeAdapter(declared, config=config)
    except PydanticSchemaGenerationError:
        return TypeAdapter(declared, config={**(config or {}), "arbitrary_types_allowed": True})
    except PydanticUserError:
        return TypeAdapter(declared)  # a model has options of its own


_EXACT = (int, str, bool, None, NoneType, float, bytes, datetime, date, time, Decimal, UUID, timedelta)


def is_exact(declared: Any) -> bool:
    """True for types whose values are known to come back exactly, so that no check is owed."""
    if declared in _EXACT:
        return True
    origin, args = get_origin(declared), get_args(declared)
    if origin in (list, set, frozenset, tuple, dict):
        return bool(args) and all(is_exact(part) for part in args if part is not Ellipsis)
    if origin is Literal:
        return all(type(choice) in PLAIN for choice in args)
    if origin in (Union, UnionType):  # of several types one could be taken for another
        return len(args) == 2 and NoneType in args and all(map(is_exact, args))
    return False


def _plain_types(declared: Any) -> frozenset[Any]:
    """Return the types of values that need neither work nor check: ``int`` for int, and None too for ``int | None``."""
    is_optional = get_origin(declared) in (Union, UnionType) and is_exact(declared)
    parts: tuple[Any, ...] = get_args(declared) if is_optional else (declared,)
    found = {plain for plain in PLAIN for part in parts if part is plain or (part is None and plain is NoneType)}
    return frozenset(found) if len(found) == len(parts) else frozenset()


def _promise(declared: Any) -> Callable[[Any], bool] | None:
    """Return what tells of a model, or a list of models, that a value comes back exactly; None when nothing does."""
    if get_origin(declared) is list:
        one = _promise(get_args(declared)[0])
        return None if one is None else lambda values: all(map(one, values))
    return _own(declared, "__taf_exact__")


def _shortcut(declared: Any) -> Callable[[Any], Any] | None:
    """Return what makes plain JSON types of a model, or a list of models, that need no marks; None when nothing does.

    It returns None for a value that takes the long way.
    """
    if get_origin(declared) is list:
        one = _shortcut(get_args(declared)[0])
        return None if one is None else lambda values: _all_plain(one, values)
    return _own(declared, "__taf_plain__")


def _all_plain(one: Callable[[Any], Any], values: list[Any]) -> list[Any] | None:
    found = [one(value) for value in values] if type(values) is list else [None]
    return None if None in found else found


def _own(declared: Any, method: str) -> Callable[[Any], Any] | None:
    """Return a method of a class itself: what a subclass adds it knows nothing of."""
    return vars(declared).get(method) if isinstance(declared, type) else None
