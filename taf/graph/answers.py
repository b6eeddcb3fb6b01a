"""Answers to questions: a type ⇄ its JSON Schema, so that another process can check an answer without running code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, cast
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model

_SCALARS: dict[str, Any] = {"integer": int, "number": float, "boolean": bool, "null": None}
_FORMATS: dict[str, Any] = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
    "binary": bytes,
}
_SEVERAL: dict[type, Callable[[Iterable[Any]], Any]] = {list: list, tuple: tuple, set: set, frozenset: frozenset}
_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "multipleOf": "multiple_of",
    "pattern": "pattern",
}


def answer_adapter(declared: Any) -> TypeAdapter[Any]:
    """Return what validates answers of a type."""
    try:
        return _cached_adapter(declared)
    except TypeError:  # an unhashable type
        return TypeAdapter(declared)


@lru_cache(maxsize=256)
def _cached_adapter(declared: Any) -> TypeAdapter[Any]:
    return TypeAdapter(declared)


def why_invalid(error: ValidationError) -> str:
    """Return what is wrong with an answer, and where."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}." if where else f"{first['msg']}."


def type_from_schema(schema: Mapping[str, Any]) -> Any:
    """Return a type that accepts what a JSON Schema written by pydantic accepts, as far as a schema tells.

    Validators that are code stay with the node that asked; a part that refers to itself is not looked into.
    """
    return _typed(schema, cast("Mapping[str, Any]", schema.get("$defs", {})), ())


def _typed(schema: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return Any if name in seen or name not in defs else _typed(defs[name], defs, (*seen, name))
    if "const" in schema:
        return Literal[schema["const"]]
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return Union[tuple(_typed(part, defs, seen) for part in schema[word])]  # noqa: UP007
    found = _shape(schema, defs, seen)
    bounds = {ours: schema[theirs] for theirs, ours in _BOUNDS.items() if theirs in schema}
    return Annotated[found, Field(**bounds)] if bounds and found is not Any else found


def _shape(schema: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    kind = schema.get("type")
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind == "string":
        return _FORMATS.get(str(schema.get("format")), str)
    if kind == "array":
        return _array(schema, defs, seen)
    if kind == "object" and "properties" in schema:
        return _model(schema, defs, seen)
    return _mapping(schema, defs, seen) if kind == "object" else Any


def _array(schema: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    if "prefixItems" in schema:
        return tuple.__class_getitem__(tuple(_typed(part, defs, seen) for part in schema["prefixItems"]))
    item: Any = _typed(cast("Mapping[str, Any]", schema.get("items", {})), defs, seen)
    container: Any = set if schema.get("uniqueItems") else list
    return container[item]


def _mapping(schema: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    values = schema.get("additionalProperties")
    item: Any = _typed(cast("Mapping[str, Any]", values), defs, seen) if isinstance(values, Mapping) else Any
    return dict[Any, item]  # a key is a text in JSON, and may be a number in Python


def _model(schema: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> type[BaseModel]:
    required = set(schema.get("required", ()))
    fields: dict[str, Any] = {}
    for index, (name, part) in enumerate(schema["properties"].items()):
        default = ... if name in required else None
        fields[f"field_{index}"] = (_typed(part, defs, seen), Field(default, validation_alias=name))
    extra: Literal["forbid", "ignore"] = "forbid" if schema.get("additionalProperties") is False else "ignore"
    return create_model(str(schema.get("title", "Answer")), __config__={"extra": extra}, **fields)


def plain_answer(answer: Any) -> Any:
    """Return an answer without models, dataclasses and enums, in the form in which it is stored and sent."""
    plain: Any = answer
    if isinstance(answer, BaseModel) or (is_dataclass(answer) and not isinstance(answer, type)):
        plain = TypeAdapter(type(answer)).dump_python(answer, round_trip=True, by_alias=True)
    if isinstance(plain, Enum):
        return plain.value
    if isinstance(plain, Mapping):
        pairs = cast("Mapping[str, Any]", plain).items()
        return {plain_answer(key): plain_answer(value) for key, value in pairs}
    build = _SEVERAL.get(plain.__class__)
    return plain if build is None else build(map(plain_answer, plain))
