"""What SQLite wrote, in order, and what a power cut at any moment can leave of it.

What was synced is there. Of all else any subset is, sector by sector, and the last may be torn: the operating system
and the drive write in whatever order they like. Names are like that too, until their folder is synced.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

SECTOR = 512
NEVER = 1 << 60

Kind = Literal["create", "delete", "write", "truncate", "note"]


class Op(NamedTuple):
    """One thing that was done. A note is a word of whoever is watched; the place of an operation is its time."""

    kind: Kind
    inode: int = 0
    path: str = ""
    at: int = 0
    data: bytes = b""
    note: Any = None


class Trace:
    """A ``Disk`` that remembers. Times are numbers of operations."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.syncs: list[tuple[int, int, int]] = []
        """For each sync when it was done, since when what was written before is safe, and of which file; 0: names."""
        self._lock = threading.Lock()

    def note(self, note: Any) -> None:
        self._add(Op("note", note=note))

    def _add(self, op: Op) -> int:
        with self._lock:
            self.ops.append(op)
            return len(self.ops)

    def created(self, path: str, inode: int) -> None:
        self._add(Op("create", inode, os.path.basename(path)))

    def deleted(self, path: str, since: Any | None) -> None:
        done = self._add(Op("delete", 0, os.path.basename(path)))
        if since is not None:
            # Its own name is gone for good; those that others gave meanwhile need not be there.
            self.syncs += [(done, since, 0), (done, -done, 0)]

    def room(self, inode: int, size: int) -> bool:
        return True

    def written(self, inode: int, offset: int, data: bytes) -> None:
        self._add(Op("write", inode, "", offset, data))

    def truncated(self, inode: int, size: int) -> None:
        self._add(Op("truncate", inode, "", size))

    def syncing(self) -> int:
        return len(self.ops)

    def synced(self, inode: int, since: int) -> None:
        self.syncs.append((len(self.ops), since, inode))

    def folder_synced(self, since: int) -> None:
        self.syncs.append((len(self.ops), since, 0))

    def safe_at(self, end: int) -> list[bool]:
        """Say of each operation before ``end`` whether it was on the disk by then."""
        since: dict[int, int] = {}
        singles = set[int]()
        for done, start, inode in self.syncs:
            if done <= end:
                if start < 0:
                    singles.add(-start - 1)
                else:
                    since[inode] = max(since.get(inode, 0), start)
        return [
            number in singles or number < since.get(op.inode if op.kind in ("write", "truncate") else 0, 0)
            for number, op in enumerate(self.ops[:end])
        ]


@dataclass
class Image:
    """The files as the next start finds them."""

    files: dict[str, bytearray] = field(default_factory=dict[str, bytearray])
    kept: int = 0
    dropped: int = 0
    """Of what was not synced: how many sectors, names and cuts were kept and dropped."""

    def save(self, folder: Path) -> None:
        """Write the files into a new folder."""
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def image(trace: Trace, end: int, chance: Random) -> Image:
    """Return what a power cut before operation ``end`` leaves."""
    found, keep = Image(), chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    names: dict[str, int] = {}
    contents: dict[int, bytearray] = {}

    def is_kept() -> bool:
        kept = chance.random() < keep
        found.kept, found.dropped = found.kept + kept, found.dropped + (not kept)
        return kept

    for op, is_safe in zip(trace.ops[:end], trace.safe_at(end), strict=True):
        if op.kind == "create":
            contents[op.inode] = bytearray()
            if is_safe or is_kept():
                names[op.path] = op.inode
        elif op.kind == "delete" and (is_safe or is_kept()):
            names.pop(op.path, None)
        elif op.kind == "truncate" and (is_safe or is_kept()):
            content = contents[op.inode]
            del content[op.at :]
            content.extend(bytes(op.at - len(content)))
        elif op.kind == "write":
            pieces = [(op.at, op.data)] if is_safe else _sectors(op, chance)
            for at, piece in pieces:
                if is_safe or is_kept():
                    _put(contents[op.inode], at, piece)
    found.files = {name: contents[inode] for name, inode in names.items()}
    return found


def _sectors(op: Op, chance: Random) -> Sequence[tuple[int, bytes]]:
    """Cut a write at the borders of sectors, and now and then one of them in two."""
    end, cuts = op.at + len(op.data), {op.at}
    cuts |= set(range(op.at // SECTOR * SECTOR + SECTOR, end, SECTOR))
    if chance.random() < 0.1:
        cuts.add(chance.randrange(op.at, end))
    places = [*sorted(cuts), end]
    return [(a, op.data[a - op.at : b - op.at]) for a, b in pairwise(places)]


def _put(content: bytearray, at: int, piece: bytes) -> None:
    content.extend(bytes(max(at - len(content), 0)))
    content[at : at + len(piece)] = piece
