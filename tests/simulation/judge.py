"""Looks on at every transaction, and says when one should not have been: it keeps books of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from taf.checkpointer.base import Commit, Record, Signal, ThreadKey
from tests.simulation.database import Row
from tests.simulation.world import World


@dataclass
class Book:
    """What is known of one life of a thread."""

    key: ThreadKey
    born: str
    epoch: int = 0
    owner: str | None = None
    heard_at: float = 0.0
    seconds: float = 0.0
    head: int = 0
    records: list[Record] = field(default_factory=list)
    stops: dict[tuple[int, str], int] = field(default_factory=dict)
    """How many commits there were since a stop was accepted, by epoch and run."""


class Judge:
    """The observer of a seed's database. ``is_alive`` says whether an owner is."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.books: dict[str, Book] = {}
        self.dead: set[str] = set()
        self.stopped: set[str] = set()
        """Runs of which somebody was told that they are stopped."""
        self.commits = 0

    def _book(self, key: ThreadKey, row: Row) -> Book:
        return self.books.setdefault(row.born, Book(key, row.born))

    def _violate(self, invariant: str, key: ThreadKey, what: str) -> None:
        self._world.violate(invariant, f"{key.thread!r}: {what}")

    def granted(self, key: ThreadKey, row: Row, epoch: int, owner: str, seconds: float) -> None:
        book, now = self._book(key, row), self._world.now
        is_alive = book.owner is not None and book.owner not in self.dead and book.owner != owner
        if is_alive and now - book.heard_at < book.seconds:
            since = now - book.heard_at
            self._violate("leases", key, f"taken from {book.owner}, which was heard of {since:.2f} s before")
        if epoch <= book.epoch:
            self._violate("one writer", key, f"epoch {epoch} given out after {book.epoch}")
        book.epoch, book.owner, book.heard_at, book.seconds = epoch, owner, now, seconds

    def heard_of(self, key: ThreadKey, epoch: int) -> None:
        for book in self._of(key):
            if book.epoch == epoch:
                book.heard_at = self._world.now

    def released(self, key: ThreadKey, epoch: int) -> None:
        for book in self._of(key):
            if book.epoch == epoch:
                book.owner = None

    def _of(self, key: ThreadKey) -> Sequence[Book]:
        return [book for book in self.books.values() if book.key == key]

    def signalled(self, key: ThreadKey, row: Row, signal: Signal) -> None:
        if signal.kind == "stop":
            self._book(key, row).stops.setdefault((row.epoch, signal.run_id), 0)

    def committed(self, commit: Commit, row: Row) -> None:
        book, kinds = self._book(commit.key, row), [record.kind for record in commit.records]
        if book.epoch != commit.epoch or book.owner is None:
            now = f"{book.epoch} of {book.owner}" if book.owner else "nobody's"
            self._violate("one writer", commit.key, f"epoch {commit.epoch} wrote {kinds}, but the thread is {now}")
        if commit.expected != book.head or any(record.sequence <= book.head for record in commit.records):
            self._violate("sequences", commit.key, f"{kinds} were written behind {commit.expected}, not {book.head}")
        self._mind_stops(book, commit, "stepped" in kinds)
        book.records += commit.records
        book.head = commit.records[-1].sequence if commit.records else book.head
        book.heard_at = self._world.now
        self.commits += 1

    def _mind_stops(self, book: Book, commit: Commit, is_step: bool) -> None:
        run = (commit.epoch, commit.run_id)
        if run in book.stops:
            # The first commit may have been on its way; its answer tells of the stop.
            if is_step and book.stops[run]:
                self._violate("stops", commit.key, f"run {commit.run_id} made a step after it was told to stop")
            book.stops[run] += 1
        # A subgraph's last commit may come late, and counts when its parent goes on: "unwinding" tells of it.
        if is_step and commit.run_id in self.stopped and not commit.key.tenant:
            self._violate("stops", commit.key, f"run {commit.run_id} made a step after it was said to be stopped")
