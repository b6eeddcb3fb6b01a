"""Tells whether an owner lives: by a file that its process keeps locked, and that the kernel unlocks when it dies.

So a killed owner is noticed at once and not after its lease. Where files cannot be locked, only the lease tells.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from weakref import WeakSet

from taf.ids import new_id

if sys.platform != "win32":
    import fcntl


def boot_id() -> str:
    """Return a name for the time since this machine was started: a monotonic clock means nothing beyond it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        # Not on Linux: a lease may seem to run on after a restart, but the owner's file then says that it is dead.
        return "unknown"


class OwnerLock:
    """One owner's file in the folder of all owners of a database."""

    def __init__(self, folder: str) -> None:
        self.owner = ""
        self._folder = folder
        self._file: int | None = None
        _locks.add(self)

    def hold(self) -> str:
        """Return this owner's id, whose file is there and locked from now on until ``release``."""
        if not self.owner:
            self._remove_dead()
            while not self._try_hold(new_id()):
                pass
        return self.owner

    def _try_hold(self, owner: str) -> bool:
        if sys.platform == "win32":
            self.owner = owner
            return True
        os.makedirs(self._folder, exist_ok=True)
        try:
            file = os.open(self._path(owner), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            # The folder was empty a moment ago, and the last owner took it away.
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError:
            # There are no locks on such a disk: nobody will get this one either, and the lease tells.
            pass
        # Somebody may have found the file before it was locked, and removed it as that of a dead owner.
        if not os.fstat(file).st_nlink:
            os.close(file)
            return False
        self._file, self.owner = file, owner
        return True

    def is_alive(self, owner: str) -> bool:
        """Say whether another owner may live; the file of a dead one is removed."""
        # The id comes from the database, and a path is made of it.
        if not owner.isalnum():
            return False
        if sys.platform == "win32":
            return True
        try:
            file = os.open(self._path(owner), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            # Shared, so that two who look at the same time do not take each other for the owner. Not fcntl's own
            # locks: those are held by a process, and two objects of one process would not see each other.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            with suppress(OSError):
                os.unlink(self._path(owner))
            return False
        finally:
            os.close(file)

    def _remove_dead(self) -> None:
        with suppress(OSError):
            for owner in os.listdir(self._folder):
                self.is_alive(owner)

    def release(self) -> None:
        """Remove the file: this owner is gone."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.unlink(self._path(self.owner))
            os.close(file)
            # Only the last owner can do that.
            with suppress(OSError):
                os.rmdir(self._folder)

    def close_in_child(self) -> None:
        """Give up the copy of the lock that a forked child got: it would outlive the owner."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _path(self, owner: str) -> str:
        return os.path.join(self._folder, owner)


_locks: WeakSet[OwnerLock] = WeakSet()


def _close_in_child() -> None:
    for lock in list(_locks):
        lock.close_in_child()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_in_child)
