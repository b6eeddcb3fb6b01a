"""A list that only grows is a plain list to everybody who holds a version of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule

from taf.state.growing import Growing
from tests.rounds import rounds


@dataclass(frozen=True)
class Item:
    id: str
    text: str = ""


items = st.builds(Item, st.sampled_from("abcdefgh"), st.sampled_from(["", "x"]))


class Versions(RuleBasedStateMachine):
    """Branches versions off each other in any order; each has to stay what it was."""

    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.known: list[tuple[Growing, list[Item]]] = []

    def keep(self, version: Growing, expected: list[Item]) -> int:
        self.known.append((version, expected))
        return len(self.known) - 1

    @rule(target=versions, first=st.lists(items, max_size=4), origin=st.none() | st.integers(1, 9))
    def begin(self, first: list[Item], origin: int | None) -> int:
        version = Growing(first, origin)
        assert version.origin == origin
        return self.keep(version, list(first))

    @rule(target=versions, of=versions, more=st.lists(items, max_size=3))
    def extend(self, of: int, more: list[Item]) -> int:
        version, expected = self.known[of]
        longer = version.extended(more)
        assert longer.origin == version.origin
        return self.keep(longer, expected + more)

    @rule(of=versions, more=st.lists(items, max_size=3))
    def try_out_and_extend_again(self, of: int, more: list[Item]) -> None:
        version, expected = self.known[of]
        tried, committed = version.extended(more), version.extended(more)
        self.keep(tried, expected + more)
        self.keep(committed, expected + more)

    @rule(target=versions, of=versions, index=st.integers(0, 3), item=items)
    def replace(self, of: int, index: int, item: Item) -> int:
        version, expected = self.known[of]
        if index >= len(expected):
            return of
        changed = version.replaced(index, item)
        assert changed.origin is None
        return self.keep(changed, [*expected[:index], item, *expected[index + 1 :]])

    @rule(target=versions, of=versions, length=st.integers(0, 5))
    def cut(self, of: int, length: int) -> int:
        version, expected = self.known[of]
        shorter = version.cut(length)
        assert shorter.origin is None
        return self.keep(shorter, expected[:length])

    @rule(of=versions, sought=st.sampled_from("abcdefgh"))
    def look_up(self, of: int, sought: str) -> None:
        version, expected = self.known[of]
        if len({item.id for item in expected}) == len(expected):  # a list of messages has no id twice
            found = version.position(sought)
            assert found == next((i for i, item in enumerate(expected) if item.id == sought), None)

    @rule(of=versions, other=versions)
    def compare(self, of: int, other: int) -> None:
        (one, expected), (two, theirs) = self.known[of], self.known[other]
        assert (one == two) is (expected == theirs)
        assert one.starts(theirs) is (theirs[: len(expected)] == expected)

    def teardown(self) -> None:
        for version, expected in self.known:
            assert version.to_list() == expected == list(version)
            assert len(version) == len(expected)
            assert version.since(1) == expected[1:]
            assert repr(version) == f"Growing({expected!r})"


TestVersions = Versions.TestCase
TestVersions.settings = settings(max_examples=rounds(200), stateful_step_count=30, deadline=None)


def test_what_a_reader_does_to_its_list_changes_no_version() -> None:
    version = Growing([1, 2])
    version.to_list().append(9)
    version.since(0).clear()

    assert version.to_list() == [1, 2]


def test_appending_to_the_newest_version_copies_nothing() -> None:
    version = Growing(range(1000))
    shared = version._items

    for number in range(50):
        version = version.extended([number])
    assert version._items is shared


def test_an_update_that_was_tried_out_is_not_copied_when_it_is_committed() -> None:
    version, update = Growing(range(1000)), [object(), object()]
    tried = version.extended(update[:1]).extended(update[1:])
    committed = version.extended(update)

    assert committed._items is tried._items
    assert committed == tried


def test_equal_items_are_not_taken_for_the_same_ones() -> None:
    version = Growing([0])
    version.extended([1])

    assert [type(item) for item in version.extended([True])] == [int, bool]


def test_an_older_version_does_not_find_what_was_appended_later() -> None:
    old = Growing([Item("a")])
    assert old.position("a") == 0
    new = old.extended([Item("b")])

    assert (new.position("b"), old.position("b")) == (1, None)
    other = old.extended([Item("c")])
    assert (other.position("c"), other.position("b"), new.position("c")) == (1, None, None)


class Intruding(Sequence[str]):
    """Extends the same version once more, while it is being appended."""

    def __init__(self, base: Growing) -> None:
        self.base = base

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Iterator[str]:
        self.theirs = self.base.extended(["theirs"])
        yield "mine"


def test_whoever_comes_while_a_version_is_extended_gets_a_list_of_its_own() -> None:
    base = Growing(["first"])
    items = Intruding(base)
    mine = base.extended(items)

    assert (mine.to_list(), items.theirs.to_list()) == (["first", "mine"], ["first", "theirs"])
    assert mine.extended(["last"]).to_list() == ["first", "mine", "last"]


def test_a_version_has_no_hash_since_it_can_be_equal_to_another() -> None:
    with pytest.raises(TypeError):
        hash(Growing())


def test_threads_that_extend_one_version_at_once_each_get_their_own_items() -> None:
    wrong: list[Any] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def extend(base: Growing, mine: int, gate: threading.Barrier) -> None:
        gate.wait()
        version = base
        for number in range(30):
            version = version.extended([(mine, number)])
        if version.to_list() != [0, *((mine, number) for number in range(30))]:
            wrong.append(version)

    try:
        for _ in range(60):
            base, gate = Growing([0]), threading.Barrier(4)
            workers = [threading.Thread(target=extend, args=(base, mine, gate)) for mine in range(4)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
