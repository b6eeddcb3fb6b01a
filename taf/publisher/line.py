"""One event as one readable line, for people who watch a console or a log."""

from __future__ import annotations

import re

from taf.events import Event

LONGEST = 200
# Line breaks would make several lines of one, and escape sequences would reach the terminal.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(event: Event) -> str:
    """Return thread, step, type, node and content, which is cut after ``LONGEST`` characters.

    Without content, the sentence in ``metadata["status"]`` stands in.
    """
    text = event.content or str(event.metadata.get("status") or "")
    # Cut first: a whole document need not be searched for line breaks.
    text = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    node = f" {event.node_name}" if event.node_name else ""
    line = f"[{event.thread_id}] step {event.step} {event.event_type}{node}{': ' if text else ''}{text}"
    return _CONTROLS.sub(" ", line).rstrip()
