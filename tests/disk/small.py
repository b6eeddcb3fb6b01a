"""Disks that can be filled: one that SQLite is told of, and a real one, a file system of some megabytes.

The real one lives in a mount namespace of the test's own, and ends with it. Root may make one, and on most systems
everybody may, by way of a user namespace.
"""

from __future__ import annotations

import errno
import os
import shlex
import threading
from pathlib import Path
from typing import Any, Protocol

MEGABYTE = 1 << 20


class Fillable(Protocol):
    """What a shortage is made of. ``refusals`` counts what did not fit, where that can be seen."""

    refusals: int

    def fill(self, room: int) -> None:
        """Leave room for so many bytes."""

    def free(self) -> None:
        """Make room again."""


class SmallDisk:
    """A ``Disk`` for the layer: ``room_left`` is how many bytes all files may still grow together, None: any number."""

    def __init__(self) -> None:
        self.room_left: int | None = None
        self.refusals = 0
        self._sizes: dict[int, int] = {}
        self._lock = threading.Lock()

    def fill(self, room: int) -> None:
        self.room_left = room

    def free(self) -> None:
        self.room_left = None

    def room(self, inode: int, size: int) -> bool:
        with self._lock:
            more = max(size - self._sizes.get(inode, 0), 0)
            if self.room_left is not None:
                if more > self.room_left:
                    self.refusals += 1
                    return False
                self.room_left -= more
            self._sizes[inode] = self._sizes.get(inode, 0) + more
        return True

    def truncated(self, inode: int, size: int) -> None:
        with self._lock:
            if self.room_left is not None:
                self.room_left += self._sizes.get(inode, 0) - size
            self._sizes[inode] = size

    def syncing(self) -> None:
        """Nothing is kept of it."""

    def created(self, *_: Any) -> None:
        """It has no bytes yet."""

    written = synced = folder_synced = deleted = created


class RealDisk:
    """A file system on which a file lies that takes all room but what is left to others."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ballast, self.refusals = folder, folder / "ballast", 0

    def fill(self, room: int) -> None:
        found = os.statvfs(self.folder)
        with self._ballast.open("ab") as file:
            size, more = file.tell(), found.f_bavail * found.f_frsize - room
            try:
                os.posix_fallocate(file.fileno(), size, max(more, 1))
            except OSError as error:
                if error.errno != errno.ENOSPC:  # others were quicker
                    raise

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


def with_mounted(folder: Path, megabytes: int) -> list[str]:
    """Return what to put before a command, so that it finds a file system of its own mounted at ``folder``."""
    place, user, group = shlex.quote(str(folder)), os.getuid(), os.getgid()
    mount = f"mount -t tmpfs -o size={megabytes}m,mode=0777 taf-tests {place}"
    if not user:
        return ["unshare", "--mount", "sh", "-ec", f'{mount}; exec "$@"', "sh"]
    # Root for the mount alone: servers refuse to be started by root.
    back = f"unshare --user --map-user={user} --map-group={group}"
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", f'{mount}; exec {back} "$@"', "sh"]
