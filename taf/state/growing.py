"""A list that only grows, shared between the versions of a state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import is_
from typing import Any


class Growing:
    """The first ``len`` items of a shared list.

    Appending to the newest version extends the shared list, so a thread of ten thousand messages takes one more
    in constant time, and older versions still see what they saw. Appending to an older version copies first, unless
    the very same items were appended to it before: an update is tried out before it is committed. Several OS threads
    may append at once.

    ``origin`` is the sequence of the fact that began the list, as long as everything since was appended: the
    journal alone then rebuilds it. None when items were replaced or cut since.
    """

    __slots__ = ("_items", "_length", "_positions", "_turn", "origin")

    def __init__(self, items: Iterable[Any] = (), origin: int | None = None) -> None:
        self._items: list[Any] = list(items)
        self._length = len(self._items)
        self._positions: dict[str, int] | None = None
        self._turn = [None]
        self.origin = origin

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_list())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Growing) and self.to_list() == other.to_list()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Growing({self.to_list()!r})"

    def to_list(self) -> list[Any]:
        """Return the items in a list of their own."""
        return self._items[: self._length]

    def since(self, start: int) -> list[Any]:
        """Return the items from index ``start`` on."""
        return self._items[start : self._length]

    def extended(self, items: Sequence[Any]) -> Growing:
        """Return a version with ``items`` at its end."""
        turn = self._turn
        try:
            turn.pop()  # whoever takes it is alone with the shared list: pop is atomic
        except IndexError:
            return self._copy_extended(items)
        try:
            start, shared = self._length, self._items
            end = start + len(items)
            if start == len(shared):
                shared.extend(items)
            elif len(shared) < end or not all(map(is_, shared[start:end], items)):
                return self._copy_extended(items)
            version = Growing.__new__(Growing)
            version._items, version._length = shared, end
            version._positions, version._turn, version.origin = self._positions, turn, self.origin
            return version
        finally:
            turn.append(None)

    def _copy_extended(self, items: Sequence[Any]) -> Growing:
        return Growing([*self.to_list(), *items], self.origin)

    def replaced(self, index: int, item: Any) -> Growing:
        """Return a version with one item replaced."""
        items = self.to_list()
        items[index] = item
        return Growing(items)

    def cut(self, length: int) -> Growing:
        """Return a version with only the first ``length`` items."""
        return Growing(self.to_list()[:length])

    def starts(self, items: list[Any]) -> bool:
        """True when ``items`` begins with everything that is here."""
        return len(items) >= self._length and items[: self._length] == self.to_list()

    def position(self, item_id: str) -> int | None:
        """Return the index of the item whose ``id`` is given. Items have ids; the index is built once and kept."""
        if self._positions is None:
            self._positions = {}
        known = self._positions
        for index in range(len(known), self._length):
            known[self._items[index].id] = index
        found = known.get(item_id)
        return found if found is not None and found < self._length else None
