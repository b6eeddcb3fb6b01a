"""Whatever bytes a store holds, decoding them gives a value or an error of ours, does nothing else, and ends soon."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taf.checkpointer.base import InterruptRow, Stored
from taf.checkpointer.encoding import FACTS, FactCodec
from taf.checkpointer.journal import Journal
from taf.errors import StoreCorruptError, TafError
from taf.serialization import MAX_ROW_BYTES, dumps, loads
from taf.state.facts import Fact
from tests.checkpointer.audited_decoding import Holding
from tests.checkpointer.rows import stored_of
from tests.cost import cost
from tests.rounds import rounds
from tests.state.journals import SCHEMA, journals

CODEC = FactCodec(SCHEMA)
slow = settings(max_examples=rounds(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
kinds = st.sampled_from(sorted(FACTS)) | st.just("unheard_of")
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.sampled_from(["set", "append", "put", "count", "items", "a"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["a", "id", "count"]), inner),
    max_leaves=15,
)

pieces = st.sampled_from([b"", b"0", b"null", b"[]", b'"', b"-1", b"{}", b"\\ud800", b"1e999", b"\xff", b"true"])


def decode_or_refuse(kind: str, body: bytes, items: bytes | None) -> None:
    try:
        CODEC.decode(kind, body, items)
    except ValueError:
        return


@settings(max_examples=rounds(400), deadline=None)
@given(kinds, st.binary(max_size=60) | junk.map(dumps), st.none() | st.binary(max_size=60) | junk.map(dumps))
def test_any_bytes_give_a_fact_or_a_value_error(kind: str, body: bytes, items: bytes | None) -> None:
    decode_or_refuse(kind, body, items)


@slow
@given(journals(max_size=5), st.data())
def test_valid_bytes_with_a_few_changed_give_a_fact_or_a_value_error(facts: list[Fact], data: st.DataObject) -> None:
    kind, body, items = CODEC.encode(facts[-1])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        piece = data.draw(pieces)
        body = body[:at] + piece + body[at + data.draw(st.integers(0, 3)) :]
    decode_or_refuse(kind, body, items)
    decode_or_refuse(data.draw(kinds), body, items)
    decode_or_refuse(kind, body, body)


@slow
@given(journals(max_size=5), st.data())
def test_a_valid_row_with_one_value_exchanged_gives_a_fact_or_a_value_error(
    facts: list[Fact], data: st.DataObject
) -> None:
    kind, body, items = CODEC.encode(facts[-1])
    tree = [loads(body), loads(items or b"[]")]
    holder: Any = tree
    while isinstance(holder, list | dict) and holder:
        places = list(range(len(holder))) if isinstance(holder, list) else sorted(holder)
        place = data.draw(st.sampled_from(places))
        if not holder[place] or not isinstance(holder[place], list | dict) or data.draw(st.integers(0, 3)) == 0:
            holder[place] = data.draw(junk)
            break
        holder = holder[place]
    decode_or_refuse(kind, dumps(tree[0]), dumps(tree[1]))


@pytest.mark.parametrize(
    "items",
    [
        b'[[0,"set","items",[' + b"0," * 2_000_000 + b"0],[" + b'[[],"tuple"],' * 200_000 + b'[[],"tuple"]]]]',
        b"[" * MAX_ROW_BYTES,
        b'[[0,"append","grown",[' + b'"1",' * 2_000_000 + b"1]]]",
        b'[[0,"append","grown",[' + b'"x",' * 2_000_000 + b"1]]]",
    ],
    ids=["many marks", "deep", "numbers as text", "no numbers"],
)
def test_a_large_hostile_row_is_refused_or_read_in_bounded_time(items: bytes) -> None:
    plain = b'[[0,"append","grown",[' + b"1," * 4_000_000 + b"1]]]"

    usual = cost(lambda: decode_or_refuse("updated", b"[[],null,null]", plain))

    assert cost(lambda: decode_or_refuse("updated", b"[[],null,null]", items)) < 30 * usual


# -- whole threads ---------------------------------------------------------------------------------


def read_or_refuse(stored: Stored) -> None:
    store = Holding()
    store.stored = stored
    try:
        asyncio.run(Journal(store, SCHEMA, tenant="", clock=float).read("t"))
    except TafError:
        return


@slow
@given(journals(max_size=6), st.data())
def test_a_thread_with_any_row_exchanged_is_read_or_refused(facts: list[Fact], data: st.DataObject) -> None:
    stored = stored_of(facts, cut=data.draw(st.none() | st.integers(1, len(facts))))
    bad = data.draw(st.binary(max_size=30) | junk.map(dumps))
    places = ["tail"] * bool(stored.tail) + ["items"] * bool(stored.items) + ["part"] * (stored.snapshot is not None)
    place = data.draw(st.sampled_from(places))
    if place == "tail":
        tail = list(stored.tail)
        at = data.draw(st.integers(0, len(tail) - 1))
        tail[at] = tail[at]._replace(**{data.draw(st.sampled_from(["body", "items"])): bad})
        stored = stored._replace(tail=tail)
    elif place == "items":
        items = list(stored.items)
        at = data.draw(st.integers(0, len(items) - 1))
        items[at] = (items[at][0], bad)
        stored = stored._replace(items=items)
    elif stored.snapshot is not None:
        parts = list(stored.snapshot.parts)
        parts[data.draw(st.integers(0, len(parts) - 1))] = bad
        stored = stored._replace(snapshot=stored.snapshot._replace(parts=tuple(parts)))
    read_or_refuse(stored)


@slow
@given(journals(max_size=6), st.data())
def test_a_thread_with_rows_lost_doubled_or_moved_is_refused(facts: list[Fact], data: st.DataObject) -> None:
    stored = stored_of(facts)
    tail = list(stored.tail)
    at = data.draw(st.integers(0, len(tail) - 1))
    how = data.draw(st.sampled_from(["lost", "doubled", "head"]))
    if how == "lost":
        del tail[at]
    elif how == "doubled":
        tail.insert(at, tail[at])
    stored = stored._replace(tail=tail, head=stored.head + (how == "head"))
    store = Holding()
    store.stored = stored

    with pytest.raises(StoreCorruptError):
        asyncio.run(Journal(store, SCHEMA, tenant="", clock=float).read("t"))


@settings(max_examples=rounds(200), deadline=None)
@given(st.binary(max_size=40) | junk.map(dumps))
def test_an_interrupt_of_any_bytes_is_read_or_refused(body: bytes) -> None:
    class Asked(Holding):
        async def interrupts(self, *_: Any, **__: Any) -> list[InterruptRow]:
            return [InterruptRow("i", "open", "a", 0.0, body)]

    with pytest.raises(StoreCorruptError):
        asyncio.run(Journal(Asked(), SCHEMA, tenant="", clock=float).interrupts("t"))


def test_decoding_hostile_rows_imports_runs_opens_and_connects_nothing() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.checkpointer.audited_decoding"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    report = json.loads(done.stdout)

    assert report["seen"] == []
    assert report["rows"] == 1500
    assert 500 < report["refused"] < 1500
