"""Who watches which thread, and what each was told last.

Changes reach a watcher from two sides, from the writer and from whoever looks at the database: each is told once, and
none after a later one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from taf.checkpointer.base import Change, ThreadKey, Watcher


class Place(NamedTuple):
    """Where a change stands in the order of changes: in which life of the thread, and the how many-th."""

    thread: int
    revision: int


class Told(NamedTuple):
    """What watchers are told of a write."""

    place: Place
    change: Change


NOWHERE = Place(0, 0)


class _Watch:
    """One who watches, until this is called. Every run has one: a function with its cells would be twice as large."""

    __slots__ = ("_key", "_lock", "_watcher", "_watches", "signals_only", "told")

    def __init__(self, watches: Watches, key: ThreadKey, watcher: Watcher, told: Place, signals_only: bool) -> None:
        self._watches, self._key, self.told, self.signals_only = watches, key, told, signals_only
        self._watcher: Watcher | None = watcher
        self._lock = threading.Lock()

    def tell(self, place: Place, change: Change) -> None:
        # The lock keeps a later change from overtaking this one on its way.
        with self._lock:
            watcher = self._watcher
            if watcher is not None and place > self.told:
                self.told = place
                if self.signals_only and not change.signals:
                    return
                # Whoever tells has others to tell, and leases to renew.
                with suppress(Exception):
                    watcher(change)

    def __call__(self) -> None:
        self._watcher = None
        self._watches.remove(self._key, self)


class Watches:
    """All watchers of one checkpointer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[ThreadKey, tuple[_Watch, ...]] = {}
        self.generation = 0
        """Grows with each new watcher who may have missed what was told before: an owner's next commit tells it."""

    def __bool__(self) -> bool:
        return bool(self._watches)

    def wants(self, key: ThreadKey, *, has_signals: bool) -> bool:
        """Say whether a change of a thread is to be told to anybody."""
        return any([has_signals or not watch.signals_only for watch in self._watches.get(key, ())])

    def threads(self) -> Sequence[ThreadKey]:
        """Return the threads that are watched."""
        with self._lock:
            return list(self._watches)

    def add(self, key: ThreadKey, watcher: Watcher, told: Place, signals_only: bool) -> Callable[[], None]:
        """Tell ``watcher`` what comes after ``told``; return what ends it."""
        watch = _Watch(self, key, watcher, told, signals_only)
        with self._lock:
            self._watches[key] = (*self._watches.get(key, ()), watch)
            self.generation += not (signals_only and told is not NOWHERE)
        return watch

    def remove(self, key: ThreadKey, watch: _Watch) -> None:
        """Drop one who watches a thread no more."""
        with self._lock:
            left = tuple([other for other in self._watches.get(key, ()) if other is not watch])
            if left:  # who tells does not take the lock: nobody else is ever missing
                self._watches[key] = left
            else:
                self._watches.pop(key, None)

    def is_new(self, key: ThreadKey, place: Place) -> bool:
        """Say whether anybody who watches a thread was not told of a change yet."""
        return any(watch.told < place for watch in self._watches.get(key, ()))

    def tell(self, key: ThreadKey, place: Place, change: Change) -> None:
        """Tell a change to all whom it is new to."""
        for watch in self._watches.get(key, ()):
            watch.tell(place, change)
