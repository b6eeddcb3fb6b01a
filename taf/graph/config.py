"""The caller's config dict, read once at the door and then frozen."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, cast

from taf.errors import ConfigError
from taf.ids import new_id
from taf.tuples import NamedTuple

DEFAULT_RECURSION_LIMIT = 100


class RunConfig(NamedTuple):
    """What a call says about its run. ``extra`` holds the keys that taf does not know; nodes get them all."""

    thread_id: str
    run_id: str
    recursion_limit: int = DEFAULT_RECURSION_LIMIT
    user_id: str | None = None
    checkpoint_id: str | None = None
    extra: Mapping[str, Any] = {}

    def as_dict(self) -> dict[str, Any]:
        """Return a fresh dict, as nodes and routers get it."""
        known: dict[str, Any] = {
            "thread_id": self.thread_id,
            "run_id": self.run_id,
            "recursion_limit": self.recursion_limit,
        }
        if self.user_id is not None:
            known["user_id"] = self.user_id
        return {**self.extra, **known}

    def mark(self, error: BaseException, node: str | None) -> None:
        """Say on an exception where it happened. It stays the exception that the node raised."""
        with contextlib.suppress(AttributeError):
            error.thread_id, error.run_id = self.thread_id, self.run_id  # type: ignore[attr-defined]
            if node is not None or not hasattr(error, "node"):
                error.node = node  # type: ignore[attr-defined]
        where = f'node "{node}" of ' if node else ""
        error.add_note(f'raised in {where}run {self.run_id}, thread "{self.thread_id}"')


def _name(config: Mapping[str, Any], key: str) -> str | None:
    value = config.get(key)
    if value is None or (type(value) is str and value):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ConfigError(f'config["{key}"] has to be a text that is not empty, or a whole number, not {value!r}.')
    return str(value)


def _limit(config: Mapping[str, Any]) -> int:
    limit = config.get("recursion_limit", DEFAULT_RECURSION_LIMIT)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ConfigError(f'config["recursion_limit"] has to be a whole number of at least 1, not {limit!r}.')
    return limit


_NO_MORE: Mapping[str, Any] = {}
_KNOWN = frozenset({"thread_id", "run_id", "recursion_limit", "user_id", "checkpoint_id"})


def read_config(config: Mapping[str, Any] | None, *, needs_thread: bool = False) -> RunConfig:
    """Read a config dict, which is not changed. Raise ``ConfigError``.

    A missing ``thread_id`` is made up, unless the call is about a thread that has to be there.
    """
    known = _known({} if config is None else config)
    thread_id = _named(known) if needs_thread else _name(known, "thread_id") or new_id()
    return RunConfig(
        thread_id,
        _name(known, "run_id") or new_id(),
        _limit(known),
        _name(known, "user_id"),
        _name(known, "checkpoint_id"),
        {key: value for key, value in known.items() if key not in _KNOWN} or _NO_MORE,
    )


def read_thread(config: Mapping[str, Any]) -> str:
    """Return the thread that a call is about, which has to be there. Raise ``ConfigError``."""
    return _named(_known(config))


def _known(given: Any) -> Mapping[str, Any]:
    if type(given) is not dict and not isinstance(given, Mapping):
        raise ConfigError(f'The config has to be a dict such as {{"thread_id": "t1"}}, not {given!r}.')
    return cast("Mapping[str, Any]", given)


def _named(config: Mapping[str, Any]) -> str:
    thread_id = _name(config, "thread_id")
    if thread_id is None:
        raise ConfigError('This call needs config["thread_id"].')
    return thread_id
