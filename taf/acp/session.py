"""A session: a thread as one client talks with it, one prompt at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from taf.acp.desk import Desk
from taf.acp.turn import Prompt, Turn
from taf.graph.blocking import CompiledGraph


@dataclass
class Session:
    """The thread's id, the folder that the client works in, and the last turn.

    One run is active on a thread. A prompt that comes while another one is under way takes its place. Where a turn
    was cut short at an open question, the next prompt takes priority over that too; otherwise the question is asked
    again first.
    """

    id: str
    cwd: str
    _turn: Turn | None = field(default=None, init=False)
    _was_cut_short: bool = field(default=False, init=False)

    def begin(self, app: CompiledGraph, desk: Desk, given: Any, text: str, by: str | None) -> Turn:
        """Begin a turn. Nothing is awaited here, so that a cancel that comes right behind finds it."""
        before = self._turn
        displaced = before if before is not None and not before.answered.done() else None
        if displaced is not None:
            displaced.displace()
            self._was_cut_short = True
        turn = self._turn = Turn(app, desk, Prompt(given, text, {"cwd": self.cwd}, by), displaced)
        turn.begin(supersedes=self._was_cut_short)
        self._was_cut_short = False
        return turn

    def cancel(self) -> None:
        """Cancel the turn that is under way, if one is."""
        if self._turn is not None and not self._turn.is_over:
            self._was_cut_short = True
            self._turn.cancel()
