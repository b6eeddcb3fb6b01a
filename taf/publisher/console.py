"""Shows events where the program runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from taf.events import Event
from taf.publisher.base import BasePublisher
from taf.publisher.line import one_line


class ConsolePublisher(BasePublisher):
    """Prints each event as one line.

    Without a ``stream``, to what ``sys.stdout`` is at that moment. A stream stays open. ``format`` makes a text of an
    event.
    """

    def __init__(self, stream: TextIO | None = None, format: Callable[[Event], str] = one_line) -> None:
        self._stream = stream
        self._format = format

    def publish(self, event: Event) -> None:
        """Print the event."""
        # One write for text and line end, so that lines of several threads do not mix.
        text = f"{self._format(event)}\n"
        try:
            print(text, end="", file=self._stream)
        except UnicodeEncodeError as error:
            # Lone surrogates, or a console that has no emoji. Nothing was written yet: encoding comes first.
            readable = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            print(readable, end="", file=self._stream)
