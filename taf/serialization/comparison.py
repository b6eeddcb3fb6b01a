"""Whether two values are the same in value and type, all the way down."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from taf.serialization.packing import SCALARS, Path


def difference(one: Any, other: Any, path: Path = ()) -> Path | None:
    """Return the path of the first place where two values differ in value or type, or None."""
    kind = type(one)  # pyright: ignore[reportUnknownVariableType]
    if one is other:
        return None
    if kind is not type(other):
        return path
    if issubclass(kind, dict):
        return _differing_pair(one, other, path)
    if issubclass(kind, list | tuple):
        return _differing_item(one, other, path)
    if isinstance(one, BaseModel):
        return _differing_part(model_parts(one), model_parts(other), path)
    if is_dataclass(one):
        names = [part.name for part in fields(one)]
        return _differing_part({n: getattr(one, n) for n in names}, {n: getattr(other, n) for n in names}, path)
    return None if _same(one, other) else path


def _same(one: Any, other: Any) -> bool:
    kind = type(one)  # pyright: ignore[reportUnknownVariableType]
    if kind in (set, frozenset):
        return len(one) == len(other) and difference(sorted(one, key=_text), sorted(other, key=_text)) is None
    if kind is float:
        return repr(one) == repr(other)  # tells 0.0 from -0.0, and not one NaN from another
    try:
        dump = SCALARS[kind][1] if kind in SCALARS else None
        return bool(one == other) if dump is None else bool(dump(one) == dump(other))
    except Exception:
        return False


def _text(value: Any) -> str:
    """Return a key to sort members of sets by, the same for equal ones."""
    kind = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is frozenset:
        return f"frozenset {sorted(map(_text, value))}"
    if kind is tuple:
        return f"tuple {list(map(_text, value))}"
    found = SCALARS[kind][1](value) if kind in SCALARS else value
    return f"{kind.__name__} {found!r}"


def model_parts(model: BaseModel) -> dict[str, Any]:
    """Return what a model holds as data: its fields and extras, and nothing that was cached on it."""
    known = type(model).model_fields
    return {n: v for n, v in model.__dict__.items() if n in known} | (model.__pydantic_extra__ or {})


def _differing_part(one: dict[str, Any], other: dict[str, Any], path: Path) -> Path | None:
    """Compare fields, whose order means nothing."""
    if one.keys() != other.keys():
        return path
    found = (difference(one[key], other[key], (*path, key)) for key in one)
    return next((where for where in found if where is not None), None)


def _differing_pair(one: dict[Any, Any], other: dict[Any, Any], path: Path) -> Path | None:
    if difference(list(one), list(other)) is not None:
        return path
    pairs = zip(one.items(), other.values(), strict=True)  # by place: NaN is a key that cannot be looked up
    found = (difference(item, theirs, (*path, key)) for (key, item), theirs in pairs)
    return next((where for where in found if where is not None), None)


def _differing_item(one: list[Any], other: list[Any], path: Path) -> Path | None:
    if len(one) != len(other):
        return path
    found = (difference(a, b, (*path, i)) for i, (a, b) in enumerate(zip(one, other, strict=True)))
    return next((where for where in found if where is not None), None)
