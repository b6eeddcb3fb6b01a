"""The document that these tests hold the library to: its Python blocks, word for word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent / "data" / "004_hitl_and_interrupts.md"

NAMES = (
    "compile_time_interrupts",
    "runtime_stop",
    "state_tracking",
    "manual_interrupt",
    "basic_resume",
    "resume_with_input",
    "approval_workflow",
    "debug_session",
    "flask_stop_control",
    "conditional_escalation",
    "interrupt_monitor",
    "streaming_with_interrupts",
    "error_handling",
    "testing_interrupts",
)


def blocks() -> list[str]:
    """Return the Python blocks in their order."""
    return re.findall(r"^```python\n(.*?)^```$", PATH.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def snippet(name: str) -> str:
    """Return the text of one block."""
    return blocks()[NAMES.index(name)]


def run(snippet_name: str, **supplied: Any) -> dict[str, Any]:
    """Run a block exactly as it is written, and return its names. ``supplied`` are those that it does not define."""
    namespace: dict[str, Any] = {"__name__": snippet_name, **supplied}
    exec(compile(snippet(snippet_name), f"<{snippet_name}>", "exec"), namespace)
    return namespace
