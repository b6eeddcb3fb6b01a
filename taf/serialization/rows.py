"""Plain JSON types ⇄ the bytes of one row, within bounds that are checked on both ways."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from taf.errors import NotStorableError
from taf.serialization.compression import decompressed, full_length
from taf.serialization.packing import MAX_DEPTH

MAX_ROW_BYTES = 8 * 1024 * 1024
"""Largest stored row, checked before it is written and before it is decoded."""

SHORT = 4300
"""A row of no more bytes keeps all bounds. JSON of a whole number with more digits could not be read back."""

_BLOCK = SHORT // 2

ENCRYPTED = b"\x81"
"""What an encrypted row begins with; no JSON does, and no text. It is the version of the format, too."""

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def dumps(value: Any, what: str = "a step") -> bytes:
    """Write packed values as JSON. Lone surrogates, which fast encoders refuse, are escaped.

    Raise ``NotStorableError``, naming ``what``, for a row that could not be read back.
    """
    try:
        data = to_json(value)
    except PydanticSerializationError:
        data = _dump_slowly(value, what)
    if len(data) > SHORT and not is_bounded(data):
        _check_readable(data, what)
    return data


def is_bounded(data: bytes) -> bool:
    """Say of written JSON, without reading it, that it keeps all bounds. False where that has to be found out."""
    if len(data) > MAX_ROW_BYTES:
        return False
    # More digits in a row than SHORT hold one whole block.
    return not any([data[start : start + _BLOCK].isdigit() for start in range(0, len(data), _BLOCK)])


def _dump_slowly(value: Any, what: str) -> bytes:
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except ValueError as error:
        raise NotStorableError(what, f"{error}.") from error
    if _PAIR.search(text):
        raise NotStorableError(what, "its text holds a pair of surrogates, which would come back as one character.")
    return text.encode("utf-8", "backslashreplace")


def _check_readable(data: bytes, what: str) -> None:
    if len(data) > MAX_ROW_BYTES:
        raise NotStorableError(what, f"it would be {len(data):,} bytes, and a row holds {MAX_ROW_BYTES:,}.")
    try:
        loads(data)
    except ValueError as error:
        raise NotStorableError(what, f"it could not be read back ({error}).") from error


def loads(data: bytes) -> Any:
    """Read JSON, or a row. Raise ``ValueError`` for anything else, in bounded time and memory."""
    if full_length(data) > MAX_ROW_BYTES:
        raise ValueError(f"{full_length(data):,} bytes are more than a row may hold")
    data = decompressed(data)
    try:
        return from_json(data)
    except ValueError:
        if data.startswith(ENCRYPTED):
            raise ValueError("it is encrypted: open the store as EncryptedCheckpointer(store, keys)") from None
        if b"\\ud" not in data:
            raise
        return _load_surrogates(data)


def _load_surrogates(data: bytes) -> Any:
    """Read JSON with escaped lone surrogates, as deep as the fast decoder would."""
    try:
        found = json.loads(data.decode())  # as bytes it would guess at other encodings, and load them
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > 3 * MAX_DEPTH:
            raise ValueError("the JSON is nested too deep")
        level = [item for part in level for item in _items(part)]
    return found


def _items(part: Any) -> Iterable[Any]:
    kind = type(part)  # pyright: ignore[reportUnknownVariableType]
    return part.values() if kind is dict else part if kind is list else ()
