"""Who owns a thread in SQLite, and how it is given to one who asks: inside the caller's transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from taf.checkpointer import sqlite_mail
from taf.checkpointer import sqlite_many as many
from taf.checkpointer import sqlite_rows as rows
from taf.checkpointer import sqlite_writing as writing
from taf.checkpointer.base import NO_MAIL, Commit, Grant, Known, Signal, ThreadKey
from taf.checkpointer.begins import begun, fits
from taf.checkpointer.sqlite_machinery import Machinery
from taf.checkpointer.sqlite_pulse import Lease, lease_end
from taf.checkpointer.watches import Place
from taf.errors import ThreadBusyError
from taf.ids import new_id


class Granted(NamedTuple):
    """A thread that was given to its owner. ``before`` is a lease whose release is not committed yet.

    ``signals`` wait for the run, when its first commit was written.
    """

    grant: Grant
    lease: Lease
    before: Lease | None
    signals: Sequence[Signal]


class Claims:
    """Gives threads to owners of this process, and knows of any owner whether it lives."""

    def __init__(self, machinery: Machinery) -> None:
        self._machinery = machinery

    def is_owned(self, key: ThreadKey, state: rows.ThreadState, known: dict[str, bool] | None = None) -> bool:
        """Say whether a thread's owner lives. ``known`` keeps, for as long as it is passed on, which owners do."""
        machinery = self._machinery
        if state.owner is None or state.lease_until is None:
            return False
        if state.owner == machinery.lock.owner:
            return machinery.pulse.lease(key, state.epoch) is not None
        if state.boot_id != machinery.boot or state.lease_until <= time.monotonic_ns():
            return False
        known = {} if known is None else known
        if state.owner not in known:
            known[state.owner] = machinery.lock.is_alive(state.owner)
        return known[state.owner]

    def acquire(
        self,
        connection: sqlite3.Connection,
        key: ThreadKey,
        seconds: float,
        known: Known | None,
        create: bool,
        first: Commit | None,
    ) -> Granted | None:
        """Do what ``BaseCheckpointer.acquire`` does, and what ``Begins.begin`` does with a ``first`` commit."""
        machinery = self._machinery
        state, epoch = rows.find_with_epoch(connection, key)
        if state is not None and self.is_owned(key, state):
            raise ThreadBusyError(key.thread, state.run_id or None)
        if not create and (state is None or not state.head):
            return None  # one without records is what an owner left who died before it wrote any
        state = state or writing.create(connection, key)
        claim = writing.Claim(epoch, machinery.lock.hold(), lease_end(seconds), machinery.boot)
        stored, mail = rows.stored(connection, state, known, is_owned=False), sqlite_mail.mail(connection, state)
        grant = Grant(epoch, stored, mail)
        signals: Sequence[Signal] = ()
        if first is not None and fits(first, grant):
            grant = begun(first, epoch, state.born, mail, state.floor)
            signals = writing.begin(connection, state, claim, first)
        else:
            writing.take(connection, state, claim)
        # Held at once, and not after the commit: the next job of this transaction may want the same thread.
        lease = Lease(state.thread, epoch, claim.owner, seconds, Place(state.thread, state.revision))
        return Granted(grant, lease, machinery.pulse.hold(key, lease), signals)

    def begin_anew(
        self, connection: sqlite3.Connection, wanted: Mapping[ThreadKey, tuple[float, Commit]]
    ) -> Mapping[ThreadKey, Granted]:
        """Do that in one go for those threads that are not there yet: for how many seconds, and with what commit."""
        machinery, known = self._machinery, many.known(connection, list(wanted))
        new = [(key, *rest) for key, rest in wanted.items() if key not in known]
        if not new:
            return {}
        epoch, thread = rows.last_epoch(connection), rows.last_thread(connection)
        owner, boot = machinery.lock.hold(), machinery.boot
        claims = [
            (key, new_id(), writing.Claim(epoch + number, owner, lease_end(seconds), boot), first)
            for number, (key, seconds, first) in enumerate(new, 1)
        ]
        writing.count_epochs(connection, len(new))
        many.create(connection, claims, thread)
        found: dict[ThreadKey, Granted] = {}
        for number, (key, born, claim, first) in enumerate(claims, thread + 1):
            lease = Lease(number, claim.epoch, owner, wanted[key][0], Place(number, 0))
            found[key] = Granted(begun(first, claim.epoch, born, NO_MAIL), lease, machinery.pulse.hold(key, lease), ())
        return found
