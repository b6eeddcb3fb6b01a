"""What a node calls: ask a human, do a thing once, show a partial result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast, overload

from taf.errors import ConfigError
from taf.graph.context import current
from taf.state.interrupts import QUESTION_ANSWERS

T = TypeVar("T")
P = ParamSpec("P")


@overload
async def interrupt(
    question: str,
    *,
    answer: type[T],
    data: Any = None,
    due_at: datetime | None = None,
    allowed: Sequence[str] = QUESTION_ANSWERS,
) -> T: ...
@overload
async def interrupt(
    question: str,
    *,
    answer: Any = None,
    data: Any = None,
    due_at: datetime | None = None,
    allowed: Sequence[str] = QUESTION_ANSWERS,
) -> Any: ...
async def interrupt(
    question: str,
    *,
    answer: Any = None,
    data: Any = None,
    due_at: datetime | None = None,
    allowed: Sequence[str] = QUESTION_ANSWERS,
) -> Any:
    """Ask a human from inside an async node, and return the answer as an ``answer``.

    The run pauses; when it is resumed the node runs again from its beginning, and this call returns. Wrap in
    ``task()`` what must not happen twice. ``answer`` is any type that pydantic can validate (None: whatever is
    given). After ``due_at`` (with a time zone) an answer is refused. ``allowed`` holds "respond" and "reject".

    Raise ``InterruptRejectedError`` when the question was rejected.
    """
    return current("interrupt").interrupt(question, answer=answer, data=data, due_at=due_at, allowed=allowed)


@overload
def interrupt_sync(
    question: str,
    *,
    answer: type[T],
    data: Any = None,
    due_at: datetime | None = None,
    allowed: Sequence[str] = QUESTION_ANSWERS,
) -> T: ...
@overload
def interrupt_sync(
    question: str,
    *,
    answer: Any = None,
    data: Any = None,
    due_at: datetime | None = None,
    allowed: Sequence[str] = QUESTION_ANSWERS,
) -> Any: ...
def interrupt_sync(
    question: str,
    *,
    answer: Any = None,
    data: Any = None,
    due_at: datetime | None = None,
    allowed: Sequence[str] = QUESTION_ANSWERS,
) -> Any:
    """Ask a human from inside a sync node; otherwise as ``interrupt``."""
    return current("interrupt_sync").interrupt(question, answer=answer, data=data, due_at=due_at, allowed=allowed)


@overload
async def task(name: str, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
@overload
async def task(name: str, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
async def task(name: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call ``fn`` once in the life of a node's visit, and return its result, also when the node is run again.

    The result is stored before it is returned, so it has to be storable; a model is, when ``fn`` says that it
    returns one. Calls are told apart by their order: a replay that calls another name there raises
    ``NonDeterministicReplayError``. Raise ``ConfigError`` for what is not a name and a function.
    """
    return await current("task").run_task(name, _bound(name, fn, kwargs), *args)


def task_sync(name: str, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what ``task`` does, in a sync node."""
    return cast("T", current("task_sync").run_task_sync(name, _bound(name, fn, kwargs), *args))


def _bound(name: object, fn: object, kwargs: dict[str, Any]) -> Callable[..., Any]:
    if not isinstance(name, str) or not callable(fn):
        raise ConfigError(f'A task is a name and a function, as in task("charge", charge, 5), not {name!r} and {fn!r}.')
    return partial(fn, **kwargs) if kwargs else fn


def emit(value: Any, key: str | None = None) -> None:
    """Show a partial result to streams and publishers before the node is done. A plain call in both kinds of node.

    It is marked as not committed. When the run is stopped, what was emitted is kept; of one ``key``, the last value.
    Raise ``NotStorableError`` for a value that could not be kept.
    """
    current("emit").emit(value, key)
