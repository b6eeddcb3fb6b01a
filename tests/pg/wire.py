"""As much of Postgres's protocol as it takes to know which statement a client runs, and when it has its answer."""

from __future__ import annotations

import asyncio
import struct
from typing import Final

READY: Final = b"Z"
"""What the server says last. Outside a transaction it has committed only now: "done" comes before the commit."""

REQUESTS: Final = frozenset(b"QPBEDCSHF")
_LAST_OF_A_REQUEST: Final = frozenset(b"QSF")

_ENCRYPT: Final = frozenset({80877103, 80877104})  # SSLRequest, GSSENCRequest

Message = tuple[int, bytes]
"""The kind (one byte), and the whole message with its head."""


async def read_opening(reader: asyncio.StreamReader) -> tuple[bool, bytes]:
    """Read a client's first message, which has no kind; say whether it only asks for encryption."""
    head = await reader.readexactly(4)
    (length,) = struct.unpack("!i", head)
    body = await reader.readexactly(length - 4)
    return struct.unpack("!i", body[:4])[0] in _ENCRYPT, head + body


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Read any later message."""
    head = await reader.readexactly(5)
    kind, length = struct.unpack("!Bi", head)
    return kind, head + await reader.readexactly(length - 4)


def ends_request(kind: int) -> bool:
    """Say whether the server answers a client's message of this kind with READY."""
    return kind in _LAST_OF_A_REQUEST


class Statements:
    """What one client has prepared and bound, so that "execute" can be told as text."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, str] = {}
        self._bound: dict[bytes, str] = {}

    def executed(self, message: Message) -> str | None:
        """Take note of a client's message; return the SQL that it runs, or None when it runs nothing."""
        kind, raw = message
        parts = raw[5:].split(b"\0", 2)
        if kind == ord("Q"):
            return parts[0].decode()
        if kind == ord("P"):
            self._prepared[parts[0]] = parts[1].decode()
        elif kind == ord("B"):
            self._bound[parts[0]] = self._prepared.get(parts[1], "")
        elif kind == ord("E"):
            return self._bound.get(parts[0], "")
        return None
