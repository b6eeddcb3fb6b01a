"""Rows are bounded on both ways, and no bytes whatever give more than a ``ValueError``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taf.errors import NotStorableError
from taf.serialization import ENCRYPTED, MAX_ROW_BYTES, dumps, loads
from tests.cost import cost
from tests.rounds import rounds

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**300), 2**300) | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


@given(plain)
def test_plain_values_come_back(value: Any) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16", "utf-32-be", "utf-8-sig"])
def test_text_in_another_encoding_is_refused(encoding: str) -> None:
    """Also behind an escape, which takes them to the slow decoder: that one would guess, and load what it guessed."""
    with pytest.raises(ValueError, match=r"."):
        loads('["a"]'.encode(encoding) + b"\\ud800")


@pytest.mark.parametrize("text", ["\x00", "\ud800", "\udfff\ud800", "a\ud83d", "\\ud800", "😀\ud800"], ids=ascii)
def test_text_that_no_encoder_likes_comes_back(text: str) -> None:
    assert loads(dumps({text: [text]})) == {text: [text]}


def test_a_pair_of_surrogates_that_is_not_one_character_is_refused() -> None:
    with pytest.raises(NotStorableError, match=r"^title cannot be stored: its text holds a pair of surrogates"):
        dumps(["\ud83d\ude00"], "title")


def test_no_number_is_null() -> None:
    assert repr(loads(dumps([float("nan"), float("inf"), -float("inf"), -0.0]))) == "[nan, inf, -inf, -0.0]"


def test_a_row_that_is_too_large_is_neither_written_nor_read() -> None:
    with pytest.raises(NotStorableError, match=r"^notes cannot be stored: it would be 8,388,610 bytes"):
        dumps("x" * MAX_ROW_BYTES, "notes")
    assert loads(dumps("x" * (MAX_ROW_BYTES - 2))) == "x" * (MAX_ROW_BYTES - 2)
    with pytest.raises(ValueError, match="more than a row may hold"):
        loads(b" " * (MAX_ROW_BYTES + 1))


@pytest.mark.parametrize("text", ["", "\ud800"], ids=["fast", "slow"])
def test_a_number_that_could_be_written_but_not_read_is_refused(text: str) -> None:
    assert loads(dumps([10**4299, text])) == [10**4299, text]
    with pytest.raises(NotStorableError, match=r"^total cannot be stored"):
        dumps([10**4300, text], "total")


@pytest.mark.parametrize("before", [0, 1, 2148, 2149, 2150, 2151, 4298, 4299, 4300, 10_000, 1_000_003])
@pytest.mark.parametrize("behind", [0, 7, 5000])
def test_such_a_number_is_found_wherever_it_is_in_a_row(before: int, behind: int) -> None:
    around = "x" * before, "y" * behind
    for sign in (1, -1):
        longest = [around[0], sign * (10**4300 - 1), around[1]]
        assert loads(dumps(longest)) == longest
        with pytest.raises(NotStorableError, match=r"^total cannot be stored: it could not be read back"):
            dumps([around[0], sign * 10**4300, around[1]], "total")


def test_a_text_of_many_digits_is_no_number() -> None:
    text = "1" * 50_000
    assert loads(dumps([text, {text: text}])) == [text, {text: text}]


@settings(max_examples=rounds(500))
@given(st.binary(max_size=200))
@example(b'"\\ud800')
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf1")
def test_any_bytes_give_a_value_or_a_value_error(data: bytes) -> None:
    try:
        loads(data)
    except ValueError:
        return


@pytest.mark.parametrize(
    "data",
    [
        b"[" * MAX_ROW_BYTES,
        b"[" * 300 + b"]" * 300,
        b'["\\ud800",' + b"[" * 900 + b"]" * 900 + b"]",  # the slow decoder could read this
        b'["\\ud800",' + b"[" * 100_000 + b"]" * 100_000 + b"]",
        b'["\\ud800",' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"]",
        b"1" * MAX_ROW_BYTES,
        b'["\\ud800",' + b"1" * (MAX_ROW_BYTES - 20) + b"]",
        b'"' + b"\\" * (MAX_ROW_BYTES - 1),
        b"\x00" * MAX_ROW_BYTES,
    ],
    ids=lambda data: f"{data[:12]!r} {len(data)}",
)
def test_hostile_rows_are_refused_at_once(data: bytes) -> None:
    def refuse() -> None:
        with pytest.raises(ValueError, match=r"."):
            loads(data)

    assert cost(refuse) < 10 * cost(lambda: loads(b"[" + b"1," * (MAX_ROW_BYTES // 2 - 2) + b"1]"))


def test_an_encrypted_row_is_refused_with_what_opens_it() -> None:
    with pytest.raises(ValueError, match=r"it is encrypted: open the store as EncryptedCheckpointer\(store, keys\)"):
        loads(ENCRYPTED + b"any")


def test_what_the_slow_decoder_reads_is_what_the_standard_library_wrote() -> None:
    value = {"a": ["\ud800", 1, 2.5, None, True, {"b": []}]}

    assert loads(json.dumps(value).encode()) == value
