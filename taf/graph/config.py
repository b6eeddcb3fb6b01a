"""The caller's config dict, read once at the door and then frozen."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, cast

from taf.errors import ConfigError
from taf.ids import new_id
from taf.tuples import NamedTuple, quick_tuple

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


def _name(key: str, value: Any) -> str | None:
    if value is None or (type(value) is str and value):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ConfigError(f'config["{key}"] has to be a text that is not empty, or a whole number, not {value!r}.')
    return str(value)


def _limit(limit: Any) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ConfigError(f'config["recursion_limit"] has to be a whole number of at least 1, not {limit!r}.')
    return limit


_NO_MORE: Mapping[str, Any] = {}
_NAMES = frozenset({"thread_id", "run_id", "user_id", "checkpoint_id"})


def read_config(config: Mapping[str, Any] | None, *, needs_thread: bool = False) -> RunConfig:
    """Read a config dict, which is not changed. Raise ``ConfigError``.

    A missing ``thread_id`` is made up, unless the call is about a thread that has to be there.
    """
    named: dict[str, str | None] = {}
    extra, limit = _NO_MORE, DEFAULT_RECURSION_LIMIT
    for key, value in _known(_NO_MORE if config is None else config).items():
        if key in _NAMES:
            named[key] = _name(key, value)
        elif key == "recursion_limit":
            limit = _limit(value)
        else:
            extra = {**extra, key: value}
    thread_id = _required(named.get("thread_id")) if needs_thread else named.get("thread_id") or new_id()
    run_id = named.get("run_id") or new_id()
    row = (thread_id, run_id, limit, named.get("user_id"), named.get("checkpoint_id"), extra)
    read: RunConfig = quick_tuple(RunConfig, row)
    return read


def read_thread(config: Mapping[str, Any]) -> str:
    """Return the thread that a call is about, which has to be there. Raise ``ConfigError``."""
    return _required(_name("thread_id", _known(config).get("thread_id")))


def _known(given: Any) -> Mapping[str, Any]:
    if type(given) is not dict and not isinstance(given, Mapping):
        raise ConfigError(f'The config has to be a dict such as {{"thread_id": "t1"}}, not {given!r}.')
    return cast("Mapping[str, Any]", given)


def _required(thread_id: str | None) -> str:
    if thread_id is None:
        raise ConfigError('This call needs config["thread_id"].')
    return thread_id
