"""Rows are compressed where it saves something, and come back; no bytes whatever give more than an error."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taf.serialization import (
    ENCRYPTED,
    LEAST,
    MAX_ROW_BYTES,
    compressed,
    decompressed,
    dumps,
    full_length,
    loads,
)
from taf.serialization.compression import COMPRESSED, MOST
from tests.rounds import rounds

ROW = "820000e9038510368b7099ee9b58a9e0693fb44860e9161b0b00"

WORDS = ["approve", "the", "invoice", "of", "last", "week", "node", "é", "🔥", "\\", '"', "\x00"]


def to_row(value: Any) -> bytes:
    return compressed(dumps(value))


texts = st.lists(st.sampled_from(WORDS) | st.text(), max_size=400).map(" ".join)


@given(texts, st.integers(0, 40))
def test_what_was_compressed_comes_back(text: str, times: int) -> None:
    value = {"messages": [{"role": "user", "content": text}] * times}
    assert loads(to_row(value)) == value
    assert decompressed(to_row(value)) == dumps(value)
    assert full_length(to_row(value)) == len(dumps(value))
    assert len(to_row(value)) <= len(dumps(value))


@pytest.mark.parametrize("size", [LEAST, 4094, 4095, 32_768, MOST - 2])
def test_text_of_any_size_comes_back_in_fewer_bytes(size: int) -> None:
    text = " ".join(random.Random(size).choices(WORDS[:7], k=size))[:size]
    row = to_row(text)
    assert row.startswith(COMPRESSED)
    assert len(row) < 0.7 * size
    assert loads(row) == text


def test_a_short_row_and_a_long_one_and_one_that_gains_nothing_stay_as_they_are() -> None:
    noise = random.Random(0).randbytes(4 * LEAST)
    for stays in (dumps("x" * (LEAST - 3)), dumps("x" * (MOST - 1)), noise):
        assert compressed(stays) is stays
    for data in (dumps("x" * (LEAST - 2)), dumps("x" * (MOST - 2))):
        assert compressed(data).startswith(COMPRESSED)


def test_a_row_that_says_what_all_say_takes_two_thirds() -> None:
    """The dictionary is known to both sides, so that even the first row of a thread is short."""
    text = "Please pay what was due last week, but for the second invoice: Alice has to see that one first, and Bob."
    said = {"id": "01a22b4f1e38fc5e2cfd99fa4e", "role": "user", "content": text, "name": None}
    row = [[0, "append", "context", [said]]]
    assert len(to_row(row)) < 0.67 * len(dumps(row))


def test_a_row_of_an_older_release_is_read() -> None:
    """Its dictionary must never change: these bytes lie in stores."""
    assert loads(bytes.fromhex(ROW)) == [["append", "context", [{"role": "user", "content": "May I?" * 30}]]]


def test_no_row_in_clear_or_encrypted_looks_compressed() -> None:
    assert COMPRESSED != ENCRYPTED
    with pytest.raises(UnicodeDecodeError):
        COMPRESSED.decode()


def inflating_to(length: int) -> bytes:
    """Return a row of so many blanks, which nobody would write."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return COMPRESSED + length.to_bytes(3) + deflate.compress(b" " * length) + deflate.flush()


def test_a_row_that_holds_too_much_is_refused_without_being_read() -> None:
    much, most = inflating_to(16 * 1024 * 1024 - 1), inflating_to(MAX_ROW_BYTES - 1)
    lying = most[:1] + (1000).to_bytes(3) + most[4:]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="16,777,215 bytes are more than a row may hold"):
            loads(much)
        with pytest.raises(ValueError, match="its length is another"):
            loads(lying)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert decompressed(most) == b" " * (MAX_ROW_BYTES - 1)


BAD = {
    "cut": ROW[:-2],
    "empty": ROW[:2],
    "longer": ROW + "00",
    "bad": ROW[:8] + "ff" + ROW[10:],
    "too short": ROW[:2] + "000010" + ROW[8:],
    "too long": ROW[:2] + "001000" + ROW[8:],
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD)
def test_a_row_that_was_cut_or_changed_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match=r"^it is damaged"):
        loads(bytes.fromhex(row))


@settings(max_examples=rounds(300))
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255))
def test_any_bytes_give_a_value_or_a_value_error(tail: bytes, place: int, byte: int) -> None:
    row = bytearray(to_row({"messages": ["May I?"] * 300}))
    row[place % len(row)] = byte
    for bad in (bytes(row), COMPRESSED + tail):
        try:
            loads(bad)
        except ValueError:
            continue
