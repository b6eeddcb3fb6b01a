"""A question on record ⇄ what a client can show of it: options to choose from, or a form to fill in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

from acp.schema import ElicitationSchema, PermissionOption, ToolCallProgress, ToolCallStart

from taf.acp.content import as_json, shown, tool_text
from taf.state.interrupts import Approve, InterruptRecord, Reject, Respond

MAX_CHOICES = 8
"""Of how many values a question has to be one to be shown as options."""


class _NextMessage:
    def __repr__(self) -> str:
        return "the next message"


NEXT_MESSAGE: Final = _NextMessage()
"""The decision to answer by the next message."""

Decision: TypeAlias = Approve | Reject | Respond | _NextMessage
Kind: TypeAlias = Literal["allow_once", "reject_once"]


class Choice(NamedTuple):
    """One option, and what choosing it means."""

    name: str
    kind: Kind
    decision: Decision


def choices_of(record: InterruptRecord) -> list[Choice]:
    """Return the options of a question, the one that says no first: a client may take the first when nobody answers."""
    no = [Choice("Reject", "reject_once", Reject("rejected by the client"))] if "reject" in record.allowed else []
    if not record.is_question:
        return [*no, Choice("Approve", "allow_once", Approve())]
    if "respond" not in record.allowed:
        return no
    schema = _plain(record.answer_schema or {}, record.answer_schema or {})
    if schema.get("type") == "boolean":
        return [Choice("No", "reject_once", Respond(False)), Choice("Yes", "allow_once", Respond(True))]
    values: list[Any] = schema.get("enum", [])
    if 0 < len(values) <= MAX_CHOICES:
        return [*no, *(Choice(str(value), "allow_once", Respond(value)) for value in values)]
    anything = [] if record.answer_schema is not None else [Choice("Approve", "allow_once", Approve())]
    return [*no, *anything, Choice("Answer in the next message", "allow_once", NEXT_MESSAGE)]


def is_open_ended(record: InterruptRecord) -> bool:
    """True for a question that wants more than the choice of an option."""
    return any(choice.decision is NEXT_MESSAGE for choice in choices_of(record))


def options_of(choices: list[Choice]) -> list[PermissionOption]:
    """Return the options as they are sent; each is named by its place."""
    return [
        PermissionOption(option_id=str(place), name=choice.name, kind=choice.kind)
        for place, choice in enumerate(choices)
    ]


def shown_as_call(record: InterruptRecord) -> ToolCallStart:
    """Return the tool call that stands for a question while it is open."""
    data = None if record.data is None else [tool_text(shown(record.data))]
    asked = {"node": record.node, "kind": record.kind.value, "data": as_json(record.data)}
    schema = {} if record.answer_schema is None else {"answer_schema": dict(record.answer_schema)}
    return ToolCallStart(
        session_update="tool_call",
        tool_call_id=record.id,
        title=record.reason or f"Go on at {record.node}?",
        kind="other",
        status="pending",
        content=cast("Any", data),
        raw_input={**asked, **schema},
    )


def closed(record: InterruptRecord, status: Literal["completed", "failed"], why: str) -> ToolCallProgress:
    """Return the update that says what became of a question."""
    return ToolCallProgress(
        session_update="tool_call_update", tool_call_id=record.id, status=status, content=[tool_text(why)]
    )


# -- forms ---------------------------------------------------------------------------------------------

_SCALARS = frozenset({"string", "number", "integer", "boolean"})
_ONLY = "answer"


def form_of(record: InterruptRecord) -> ElicitationSchema:
    """Return the form that asks for an answer: its fields where they are plain, otherwise one field for all of it."""
    schema = record.answer_schema or {"type": "string"}
    fields = _fields(schema)
    if fields is None:
        one = _plain(schema, schema)
        if one.get("type") not in _SCALARS:
            one = {"type": "string", "description": f"As JSON: {json.dumps(schema)}"}
        return ElicitationSchema.model_validate({"properties": {_ONLY: one}, "required": [_ONLY]})
    return ElicitationSchema.model_validate(
        {"title": schema.get("title"), "properties": fields, "required": list(schema.get("required", ()))}
    )


def answer_in(record: InterruptRecord, content: Mapping[str, Any] | None) -> Any:
    """Return the answer that a filled-in form holds."""
    given = dict(content or {})
    schema = record.answer_schema or {"type": "string"}
    if _fields(schema) is not None:
        return given
    one = given.get(_ONLY)
    is_text = _plain(schema, schema).get("type") in _SCALARS
    return one if is_text or not isinstance(one, str) else _read_json(one)


def answer_from_text(record: InterruptRecord, text: str) -> Any:
    """Read a message as the answer to a question: as text where that is wanted, otherwise as JSON if it is any."""
    wanted = _plain(record.answer_schema or {"type": "string"}, record.answer_schema or {}).get("type")
    return text if wanted == "string" else _read_json(text)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fields(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields of an answer that is an object of plain values, or None for any other."""
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, Mapping) or not properties:
        return None
    fields = {name: _plain(part, schema) for name, part in cast("Mapping[str, Any]", properties).items()}
    return fields if all(part.get("type") in _SCALARS for part in fields.values()) else None


def _plain(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without references and without "or null"."""
    found = dict(schema)
    reference = found.pop("$ref", None)
    if isinstance(reference, str):
        found = {**root.get("$defs", {}).get(reference.rpartition("/")[2], {}), **found}
    ways = [way for way in found.pop("anyOf", ()) if way.get("type") != "null"]
    if len(ways) == 1:
        found = {**_plain(ways[0], root), **found}
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "enum" in found and "type" not in found and all(isinstance(value, str) for value in found["enum"]):
        found["type"] = "string"
    if found.get("default", "") is None:
        del found["default"]
    found.pop("$defs", None)
    return found
