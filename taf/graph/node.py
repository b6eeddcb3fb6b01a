"""A node: a callable whose signature is read once, with its retry policy and timeout."""

from __future__ import annotations

import inspect
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from taf.errors import ConfigError, GraphError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed node is tried again, and after how many seconds.

    ``retry_on`` is an exception class, a tuple of them, or a function from the exception to a bool. ``jitter`` adds
    up to that share of each interval, at random.
    """

    max_attempts: int = 3
    initial_interval: float = 0.5
    backoff_factor: float = 2.0
    max_interval: float = 60.0
    jitter: float = 0.1
    retry_on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool] = Exception

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigError(f"RetryPolicy.max_attempts has to be at least 1, not {self.max_attempts}.")
        if min(self.initial_interval, self.backoff_factor, self.max_interval, self.jitter) < 0:
            raise ConfigError("The intervals, the backoff factor and the jitter of a RetryPolicy cannot be negative.")

    def wants(self, error: Exception, attempt: int) -> bool:
        """True when the attempt of that number, from 1, should be followed by another."""
        if attempt >= self.max_attempts:
            return False
        if callable(self.retry_on) and not isinstance(self.retry_on, type):
            return self.retry_on(error)
        return isinstance(error, self.retry_on)

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after the attempt of that number."""
        try:
            interval = min(self.initial_interval * self.backoff_factor ** (attempt - 1), self.max_interval)
        except OverflowError:
            interval = self.max_interval
        return interval * (1 + self.jitter * random.random())


Call = Callable[[Any, Any], Any]


class Embeddable(ABC):
    """What may be a node without being a function: a compiled graph."""

    @abstractmethod
    def as_call(self) -> Call:
        """Return what runs it as a node."""


class Node:
    """One node of a graph. ``call(state, context)`` runs it; ``subgraph`` is set when it is a compiled graph."""

    __slots__ = ("call", "is_async", "is_plain", "name", "retry", "returned", "subgraph", "timeout")

    def __init__(
        self,
        name: str,
        call: Call,
        is_async: bool,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
        subgraph: Any = None,
    ) -> None:
        self.name, self.call, self.is_async = name, call, is_async
        self.retry, self.timeout, self.subgraph = retry, timeout, subgraph
        self.returned = f'Node "{name}" returned'
        """How a sentence about what it returned begins."""
        self.is_plain = is_async and retry is None and timeout is None and subgraph is None
        """True for an async function without retries, timeout or a graph of its own: awaited as it is."""


def is_async_callable(fn: Any) -> bool:
    """True for async functions, bound methods and objects with an async ``__call__``."""
    while hasattr(fn, "func") and not inspect.isfunction(fn):  # functools.partial
        fn = fn.func
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def read_call(fn: Any, what: str) -> Call:
    """Return ``fn`` in the form ``(state, context)``, whichever of state, config and ctx it takes.

    Raise ``GraphError`` for a callable that cannot be called so.
    """
    if not callable(fn):
        raise GraphError(f"{what} is {fn!r}, which cannot be called. Pass a function or a compiled graph.")
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return lambda state, context: fn(state)
    extras = _extras(parameters, what)
    if not extras:
        return lambda state, context: fn(state)
    if extras == [("config", None)]:
        return lambda state, context: fn(state, context.config)
    if extras == [("ctx", None)]:
        return cast("Call", fn)

    def call(state: Any, context: Any) -> Any:
        given = {"config": context.config, "ctx": context}
        positional = [given[role] for role, keyword in extras if keyword is None]
        named = {keyword: given[role] for role, keyword in extras if keyword is not None}
        return fn(state, *positional, **named)

    return call


def _extras(parameters: Mapping[str, inspect.Parameter], what: str) -> list[tuple[str, str | None]]:
    """Return what is wanted after the state: the role of each parameter, and its name where that has to be said."""
    found = list(parameters.values())
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in found[:1]):
        return []
    if not found or found[0].kind not in by_position:
        raise GraphError(f"{what} has to take the state first: (state), (state, config) or (state, ctx).")
    extras: list[tuple[str, str | None]] = []
    for index, parameter in enumerate(found[1:]):
        role = _role(parameter, is_second=not extras)
        if role is not None and parameter.kind in (*by_position, inspect.Parameter.KEYWORD_ONLY):
            is_next = parameter.kind in by_position and index == len(extras)  # no parameter before it keeps its default
            extras.append((role, None if is_next else parameter.name))
        elif parameter.default is inspect.Parameter.empty and parameter.kind in (
            *by_position,
            inspect.Parameter.KEYWORD_ONLY,
        ):
            raise GraphError(
                f'{what} has the parameter "{parameter.name}", which nobody fills. '
                "A node takes the state, and if it likes config and ctx."
            )
    return extras


_CONTEXT = re.compile(r"\bContext\b")


def _role(parameter: inspect.Parameter, *, is_second: bool) -> str | None:
    declared = inspect.formatannotation(cast("object", parameter.annotation))
    if parameter.name in ("ctx", "context") or _CONTEXT.search(declared):
        return "ctx"
    if parameter.name == "config":
        return "config"
    has_default = parameter.default is not inspect.Parameter.empty
    return "config" if is_second and not has_default and parameter.name.startswith(("_", "conf", "cfg")) else None
