"""What a store may do besides: make somebody a thread's owner and write how a run begins or goes on, in one go."""

from __future__ import annotations

from abc import ABC, abstractmethod

from taf.checkpointer.base import Commit, Grant, Known, Mail, Stored


class Begins(ABC):
    """A checkpointer that has ``begin``: a run then waits for its store once, and not twice, before its first node."""

    can_begin: bool = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not vars(cls).keys().isdisjoint(("acquire", "append", "begin")):
            cls.can_begin = "begin" in vars(cls)  # who changes the others alone is not to be passed by

    @abstractmethod
    async def begin(self, first: Commit, *, lease_seconds: float, known: Known | None = None) -> Grant:
        """Do what ``acquire`` does, and write a first commit with it where the thread is as that commit supposes.

        ``first`` has records, interrupts if need be, and nothing else, under no epoch. It is written when the thread
        has no more than ``first.expected`` records, which are ``known`` if there are any, and no mail;
        ``Grant.has_begun`` says so. A thread that is otherwise is acquired all the same, with nothing written. Raise
        ``ThreadBusyError``.
        """


def fits(first: Commit, grant: Grant) -> bool:
    """Say whether a thread that was just acquired is as its first commit supposes."""
    stored = grant.stored
    return stored.head == first.expected and (stored.is_known or not stored.head) and not grant.mail.messages


def begun(first: Commit, epoch: int, born: str, mail: Mail, floor: int = 0) -> Grant:
    """Return what the owner gets of a thread where the first commit was written."""
    head = (first.records[-1].sequence, first.status, first.run_id)
    stored = Stored(born, *head, is_owned=False, is_known=True, snapshot=None, items=(), tail=(), floor=floor)
    return Grant(epoch, stored, mail, has_begun=True)
