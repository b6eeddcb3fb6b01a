"""Keys, and the cipher of a place."""

from __future__ import annotations

import os
import sys
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taf.checkpointer.keys import HEAD_BYTES, NONCE_BYTES, Cipher, Keys, Unreadable, fields
from taf.errors import ConfigError

RAW = bytes(range(224, 256))
TEXT = b64encode(RAW).decode()
KEYS = Keys(RAW)


@pytest.mark.parametrize(
    "key",
    [TEXT, TEXT.rstrip("="), urlsafe_b64encode(RAW).decode(), f"  {TEXT[:20]}\n{TEXT[20:]}\n"],
    ids=["text", "without padding", "url-safe", "in lines"],
)
def test_a_key_is_the_same_as_bytes_and_as_text(key: str) -> None:
    assert Keys(key).ids == KEYS.ids


@pytest.mark.parametrize(
    "key",
    [RAW[1:], RAW + b"x", b"", "", TEXT[:20], TEXT[:-4] + "!!!=", "not a key at all", RAW.hex(), 7, None, "ä" * 43],
    ids=repr,
)
def test_what_is_no_key_is_refused_without_showing_it(key: Any) -> None:
    with pytest.raises(ConfigError, match="A key is 32 random bytes") as caught:
        Keys(key)

    shown = f"{caught.value!r}{caught.value.__cause__!r}"
    assert len(repr(key)) < 12 or repr(key)[2:-2] not in shown
    with pytest.raises(ConfigError):
        Keys(RAW, older=[key])


def test_nothing_shows_a_key() -> None:
    shown = f"{KEYS!r} {KEYS} {KEYS.ids}"

    assert KEYS.ids[0] in shown
    for form in (TEXT.rstrip("="), RAW.hex(), repr(RAW)[2:-1]):
        assert form not in shown


def test_a_new_key_is_another_one_each_time() -> None:
    assert len({Keys(Keys.new()).ids for _ in range(10)}) == 10


def test_the_current_key_comes_first_and_none_twice() -> None:
    other = Keys.new()

    assert Keys(other, older=[RAW, TEXT, other]).ids == (*Keys(other).ids, *KEYS.ids)
    assert Keys(other, older=TEXT).ids == Keys(other, older=[TEXT]).ids


@given(st.binary(), st.binary(max_size=20))
def test_what_was_sealed_opens(value: bytes, label: bytes) -> None:
    cipher = Cipher(KEYS, "place")
    sealed = cipher.seal(label, value)

    assert cipher.open(label, sealed) == Cipher(KEYS, "place").open(label, sealed) == value
    assert len(sealed) == len(value) + 37


def test_it_opens_at_no_other_place_and_with_no_other_label() -> None:
    sealed = Cipher(KEYS, "a", "bc").seal(b"label", b"value")

    for place, label in ((("ab", "c"), b"label"), (("a", "bc", ""), b"label"), (("a", "bc"), b"lab"), ((), b"label")):
        with pytest.raises(Unreadable, match="another place"):
            Cipher(KEYS, *place).open(label, sealed)


def test_no_nonce_comes_twice() -> None:
    cipher = Cipher(KEYS, "place")
    nonces = {cipher.seal(b"", b"same")[HEAD_BYTES : HEAD_BYTES + NONCE_BYTES] for _ in range(20_000)}

    assert len(nonces) == 20_000


def test_each_place_has_a_key_of_its_own() -> None:
    derived = {KEYS.current(fields("thread", str(number)))[1] for number in range(100)}

    assert len(derived) == 100
    assert RAW not in derived


def test_an_older_key_opens_and_the_current_one_seals() -> None:
    new = Keys.new()
    old_row = Cipher(KEYS, "p").seal(b"", b"old")
    both = Cipher(Keys(new, older=[RAW]), "p")

    assert both.open(b"", old_row) == b"old"
    assert Cipher(Keys(new), "p").open(b"", both.seal(b"", b"new")) == b"new"


def test_a_key_that_is_missing_is_named_by_its_id() -> None:
    sealed = Cipher(KEYS, "p").seal(b"", b"value")

    with pytest.raises(Unreadable, match=f"key {KEYS.ids[0]}, which is not among the keys given"):
        Cipher(Keys(Keys.new()), "p").open(b"", sealed)


def test_a_key_of_the_same_id_that_is_another_opens_nothing() -> None:
    sealed = Cipher(KEYS, "p").seal(b"", b"value")
    other = Keys(os.urandom(32))
    (known,) = other._secrets.values()
    other._secrets = {bytes.fromhex(KEYS.ids[0]): known}

    with pytest.raises(Unreadable, match="another place"):
        Cipher(other, "p").open(b"", sealed)


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_different_texts_are_different_places(one: list[str], other: list[str]) -> None:
    assert (fields(*one) == fields(*other)) == (one == other)


def test_text_that_is_no_unicode_names_a_place_too() -> None:
    assert len({fields("\ud800"), fields("\udfff"), fields("?"), fields("\x00")}) == 4


def test_a_missing_package_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)

    with pytest.raises(ConfigError, match=r'pip install "taf-graph\[encryption\]"'):
        Cipher(KEYS, "p")
