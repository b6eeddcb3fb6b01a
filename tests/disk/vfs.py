"""A layer between SQLite and its files, for all connections of this process: it sees each write, and may refuse it.

It is SQLite's own VFS with four methods exchanged, so locks and shared memory are the real ones. Python's ``sqlite3``
and ``ctypes`` share the library, and a default VFS is for every connection that is opened after it.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3  # the library is loaded with it
import threading
from collections.abc import Generator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_int64, c_void_p
from typing import Any, Protocol

OK, FULL = 0, 13
IOERR_SHMSIZE = 10 | 19 << 8
_CREATE, _JOURNAL, _SUPER_JOURNAL, _WAL = 0x4, 0x800, 0x4000, 0x80000
NAME = b"taf-tests"

_Close = CFUNCTYPE(c_int, c_void_p)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)
_Size = CFUNCTYPE(c_int, c_void_p, POINTER(c_int64))
_ShmMap = CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, c_void_p)
# Names as pointers: SQLite keeps them, and reads beyond their ends.
_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)


class _Methods(Structure):
    """``sqlite3_io_methods``, version 3."""

    _fields_ = [
        *(("version", c_int), ("close", _Close), ("read", c_void_p), ("write", _Write), ("truncate", _Truncate)),
        *(("sync", _Sync), ("size", _Size), ("lock", c_void_p), ("unlock", c_void_p), ("reserved", c_void_p)),
        *(("control", c_void_p), ("sector", c_void_p), ("traits", c_void_p), ("shm_map", _ShmMap)),
        *((name, c_void_p) for name in ("shm_lock", "shm_barrier", "shm_unmap", "fetch", "unfetch")),
    ]


class _Vfs(Structure):
    """``sqlite3_vfs``, version 3."""

    _fields_ = [
        *(("version", c_int), ("file_size", c_int), ("longest_path", c_int), ("next", c_void_p), ("name", c_char_p)),
        *(("data", c_void_p), ("open", _Open), ("delete", _Delete)),
        *((f"rest{number}", c_void_p) for number in range(14)),
    ]


class Disk(Protocol):
    """Who is told. A file is named by its path, and by a number that another file of the same path does not have."""

    def created(self, path: str, inode: int) -> None:
        """A new file has a name."""

    def room(self, inode: int, size: int) -> bool:
        """Say whether a file may grow to so many bytes. Shared memory is asked for as the file of the database."""

    def written(self, inode: int, offset: int, data: bytes) -> None:
        """Bytes were handed to the operating system, which may keep them for a while."""

    def truncated(self, inode: int, size: int) -> None:
        """A file was cut."""

    def syncing(self) -> Any:
        """A file, or a folder, begins to be synced; what is returned is given back when it is."""

    def synced(self, inode: int, since: Any) -> None:
        """All that was written to a file when ``syncing`` was called is on the disk."""

    def folder_synced(self, since: Any) -> None:
        """Names that were given and taken away when ``syncing`` was called are on the disk."""

    def deleted(self, path: str, since: Any | None) -> None:
        """A name was taken away; when ``since`` is given, the folder was synced with it."""


class Layer:
    """The VFS, once registered. What it refers to must live as long as SQLite may call it."""

    def __init__(self, library: ctypes.CDLL, disk: Disk) -> None:
        self._disk = disk
        library.sqlite3_vfs_find.restype = c_void_p
        library.sqlite3_vfs_find.argtypes = [c_char_p]
        library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
        library.sqlite3_vfs_unregister.argtypes = [c_void_p]
        self._library, self._base = library, library.sqlite3_vfs_find(None)
        self._real = _Vfs.from_address(self._base)
        self._vfs = _Vfs.from_buffer_copy(self._real)
        self._vfs.name, self._vfs.open, self._vfs.delete = NAME, _Open(self._open), _Delete(self._delete)
        self._methods: dict[int, tuple[_Methods, _Methods]] = {}
        self._inodes: dict[str, int] = {}
        self._files: dict[int, int] = {}  # the address of an open file → its inode
        self._unnamed: set[int] = set()  # open journals that sync their folder when they are first synced
        self._real_methods: dict[int, _Methods] = {}
        self._last = 0
        self._naming = threading.Lock()  # whether a file is new, and which one has a name, may not change meanwhile

    def register(self) -> None:
        """Be the default."""
        assert self._library.sqlite3_vfs_register(byref(self._vfs), 1) == OK

    def unregister(self) -> None:
        """Be the default no more. Who opened a file with it goes on with it."""
        assert self._library.sqlite3_vfs_unregister(byref(self._vfs)) == OK

    @property
    def is_used(self) -> bool:
        """Files are open that were opened with it."""
        return bool(self._files)

    # -- the VFS: exceptions cannot pass through C, so none of these may raise -----------------------

    def _open(self, _vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        path = None if name is None else os.fsdecode(ctypes.string_at(name))
        with self._naming:
            is_new = path is not None and bool(flags & _CREATE) and not os.path.exists(path)
            found = int(self._real.open(self._base, name, file, flags, out))
            if found != OK or path is None:
                return found
            if is_new:
                self._last += 1
                self._inodes[path] = self._last
                self._disk.created(path, self._last)
        # Whether it is new or not: each connection syncs the folder once.
        if flags & _CREATE and flags & (_JOURNAL | _SUPER_JOURNAL | _WAL):
            self._unnamed.add(file)
        self._files[file] = self._inodes[path]
        pointer = c_void_p.from_address(file)
        address = pointer.value
        assert address is not None
        if address not in self._methods:
            real = _Methods.from_address(address)
            self._methods[address] = real, self._exchanged(real)
        real, ours = self._methods[address]
        self._real_methods[file] = real
        pointer.value = ctypes.addressof(ours)
        return OK

    def _exchanged(self, real: _Methods) -> _Methods:
        ours = _Methods.from_buffer_copy(real)
        ours.write, ours.truncate = _Write(self._write), _Truncate(self._truncate)
        ours.sync, ours.close, ours.shm_map = _Sync(self._sync), _Close(self._close), _ShmMap(self._shm_map)
        return ours

    def _delete(self, _vfs: int, name: int, is_synced: int) -> int:
        with self._naming:
            since = self._disk.syncing()
            found = int(self._real.delete(self._base, name, is_synced))
            if found == OK:
                self._disk.deleted(os.fsdecode(ctypes.string_at(name)), since if is_synced else None)
        return found

    # -- files ---------------------------------------------------------------------------------------

    def _write(self, file: int, data: int, count: int, offset: int) -> int:
        inode = self._files[file]
        if not self._disk.room(inode, offset + count):
            return FULL
        found = int(self._real_methods[file].write(file, data, count, offset))
        if found == OK:
            self._disk.written(inode, offset, ctypes.string_at(data, count))
        return found

    def _truncate(self, file: int, size: int) -> int:
        found = int(self._real_methods[file].truncate(file, size))
        if found == OK:
            self._disk.truncated(self._files[file], size)
        return found

    def _sync(self, file: int, flags: int) -> int:
        since = self._disk.syncing()
        found = int(self._real_methods[file].sync(file, flags))
        if found == OK:
            self._disk.synced(self._files[file], since)
            if file in self._unnamed:
                self._unnamed.discard(file)
                self._disk.folder_synced(since)
        return found

    def _shm_map(self, file: int, page: int, size: int, is_extended: int, out: int) -> int:
        if is_extended and not self._disk.room(-self._files[file], (page + 1) * size):
            return IOERR_SHMSIZE
        return int(self._real_methods[file].shm_map(file, page, size, is_extended, out))

    def _close(self, file: int) -> int:
        self._unnamed.discard(file)
        del self._files[file]
        return int(self._real_methods.pop(file).close(file))


def _library() -> ctypes.CDLL:
    """Return the library that Python's ``sqlite3`` is linked to: the loaded one, so nothing is loaded twice."""
    import _sqlite3

    places = ["", str(getattr(_sqlite3, "__file__", ""))]
    with open("/proc/self/maps", encoding="utf-8") as maps:
        places[:0] = sorted({line.split()[-1] for line in maps if "libsqlite3" in line})
    for place in places:
        library = ctypes.CDLL(place or None)
        if hasattr(library, "sqlite3_vfs_register"):
            return library
    raise RuntimeError(f"The functions of SQLite {sqlite3.sqlite_version} are not to be found: looked at {places}.")


@contextmanager
def layered(disk: Disk) -> Generator[None]:
    """Have SQLite tell a disk what it writes, through all connections that are opened meanwhile in this process.

    They have to be closed at the end.
    """
    layer = Layer(_library(), disk)
    layer.register()
    try:
        yield
    finally:
        layer.unregister()
        assert not layer.is_used, "a file is still open"
