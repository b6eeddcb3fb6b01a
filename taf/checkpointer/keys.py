"""The keys of an encrypted store, and the cipher of one place in it.

AES-256-GCM, with a random nonce of 96 bits for each value. Random nonces are safe for some four thousand million values
under one key, so each place (a life of a thread, say) has a key of its own, derived from the one that was given.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from taf.errors import ConfigError
from taf.serialization import ENCRYPTED

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
ID_BYTES, NONCE_BYTES, TAG_BYTES = 8, 12, 16
HEAD_BYTES = len(ENCRYPTED) + ID_BYTES

PLAIN = "it is not encrypted, and this store takes encrypted rows only"
FOREIGN = "it was encrypted for another place, or has been changed since"


class Unreadable(ValueError):
    """A value that does not open: it says why, and nothing of what is in it."""


class Keys:
    """The key that new rows are encrypted with, and the older ones that rows may still need.

    A key is 32 random bytes, or their base64 text. Its id is derived from it and stands, in clear, in each row. To
    rotate, pass the new key as ``current`` and the one before among ``older``. Raise ``ConfigError`` for another value.
    """

    __slots__ = ("_secrets", "ids")

    def __init__(self, current: bytes | str, *, older: Iterable[bytes | str] = ()) -> None:
        self._secrets = {_id(secret): secret for secret in map(_secret, [current, *_several(older)])}
        self.ids: tuple[str, ...] = tuple(name.hex() for name in self._secrets)
        """The ids of all keys, the current one first."""

    @staticmethod
    def new() -> str:
        """Return a new random key as base64 text."""
        return b64encode(os.urandom(KEY_BYTES)).decode()

    def __repr__(self) -> str:
        return f"Keys({', '.join(self.ids)})"

    def current(self, place: bytes) -> tuple[bytes, bytes]:
        """Return the id of the current key, and the key derived from it for a place."""
        name = next(iter(self._secrets))
        return name, _derived(self._secrets[name], place)

    def known(self, name: bytes, place: bytes) -> bytes:
        """Return the key of an id, derived for a place. Raise ``Unreadable``."""
        if name not in self._secrets:
            raise Unreadable(f"it is encrypted with key {name.hex()}, which is not among the keys given")
        return _derived(self._secrets[name], place)


class Cipher:
    """Seals and opens the values of one place; ``label`` binds each to where it stands there."""

    __slots__ = ("_by_head", "_head", "_keys", "_place", "_seal")

    def __init__(self, keys: Keys, *place: str) -> None:
        self._keys, self._place = keys, fields(*place)
        name, secret = keys.current(self._place)
        current = _aes(secret)
        self._head, self._seal = ENCRYPTED + name, current.encrypt
        self._by_head = {self._head: current}

    def seal(self, label: bytes, value: bytes) -> bytes:
        """Encrypt a value. It grows by 37 bytes."""
        nonce = os.urandom(NONCE_BYTES)
        return self._head + nonce + self._seal(nonce, value, self._head + self._place + label)

    def open(self, label: bytes, sealed: bytes) -> bytes:
        """Undo ``seal``. Raise ``Unreadable``."""
        from cryptography.exceptions import InvalidTag

        head, start = sealed[:HEAD_BYTES], HEAD_BYTES + NONCE_BYTES
        if not head.startswith(ENCRYPTED):
            raise Unreadable(PLAIN)
        if len(sealed) < start + TAG_BYTES:
            raise Unreadable(FOREIGN)
        aes = self._by_head.get(head)
        if aes is None:
            aes = self._by_head[head] = _aes(self._keys.known(head[len(ENCRYPTED) :], self._place))
        try:
            return aes.decrypt(sealed[HEAD_BYTES:start], sealed[start:], head + self._place + label)
        except InvalidTag:
            raise Unreadable(FOREIGN) from None


@lru_cache(maxsize=1024)  # the records of a run say the same again and again
def fields(*texts: str) -> bytes:
    """Join texts so that no two lists of them give the same bytes."""
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


def _aes(secret: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ConfigError(
            'Encryption needs the package "cryptography". Install it: pip install "taf-graph[encryption]".'
        ) from error
    return AESGCM(secret)


def _derived(secret: bytes, place: bytes) -> bytes:
    """Expand a key for a place: HKDF-Expand of RFC 5869 with SHA-256, whose first block is all that is needed."""
    return hmac.digest(secret, b"taf place " + place + b"\x01", "sha256")


def _id(secret: bytes) -> bytes:
    return hmac.digest(secret, b"taf key id", hashlib.sha256)[:ID_BYTES]


def _several(older: object) -> Sequence[bytes | str]:
    if isinstance(older, bytes | str):  # its letters would be taken for keys
        return [older]
    return list(cast("Iterable[bytes | str]", older))


def _secret(given: object) -> bytes:
    """Return the 32 bytes of a key. What is wrong with it is told without showing it."""
    if isinstance(given, str):
        text = "".join(given.split()).translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
        try:
            given = b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError(f"{_WANTED}; this text is no base64.") from None
    if not isinstance(given, bytes):
        raise ConfigError(f"{_WANTED}, not a value of type {type(given).__name__}.")
    if len(given) != KEY_BYTES:
        raise ConfigError(f"{_WANTED}; this one has {len(given)} bytes.")
    return given


_WANTED = f"A key is {KEY_BYTES} random bytes, or their base64 text (Keys.new() makes one)"
