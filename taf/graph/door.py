"""From OS threads to event loops: a loop in a thread of its own, and calls that cross over and wait."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from taf.errors import AppClosedError

T = TypeVar("T")
Post: TypeAlias = Callable[[Callable[[], object]], object]
"""Has a callback run on a loop in another OS thread."""

RUN_NAME = "taf run"
"""How the names of tasks begin that are runs."""

JOIN_SECONDS = 10.0
"""How long to wait for a loop to end what runs on it."""


class LoopThread:
    """An event loop in a daemon thread, ended by ``close``, with its owner, or when the process ends."""

    def __init__(self, owner: object) -> None:
        self.loop = asyncio.new_event_loop()
        self._lock = threading.RLock()
        self._is_closing = False
        self.thread = threading.Thread(target=_serve, args=(self.loop,), name="taf sync calls", daemon=True)
        self.thread.start()
        self._at_end = weakref.finalize(owner, self._end)
        _open.add(self)

    def post(self, callback: Callable[[], object]) -> None:
        """Have a callback run on the loop. Raise ``AppClosedError`` when the loop takes no more."""
        with self._lock:
            if self._is_closing:
                raise AppClosedError
            self.loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """Cancel what runs on the loop, and end it. Called from the loop itself, it does not wait for that."""
        self._at_end.detach()
        self._end()

    def _end(self) -> None:
        with self._lock:
            if not self._is_closing:
                self._is_closing = True
                self.loop.call_soon_threadsafe(self.loop.stop)
        if self.thread is not threading.current_thread():
            self.thread.join(JOIN_SECONDS)


_open: weakref.WeakSet[LoopThread] = weakref.WeakSet()
_here = threading.local()


def is_loop_thread() -> bool:
    """True in the OS thread of a ``LoopThread``, of this app or another one."""
    return getattr(_here, "is_loop_thread", False)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    _here.is_loop_thread = True
    while True:
        # What a node raised to end the process is told to its caller; the loop serves others too, and goes on.
        with suppress(KeyboardInterrupt, SystemExit):
            loop.run_forever()
            break
    loop.run_until_complete(_cancel_all())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def _cancel_all() -> None:
    """Let what still runs on the loop end before it does: runs first, so that who waits for one hears how it ended."""
    runs = [task for task in asyncio.all_tasks() if task.get_name().startswith(RUN_NAME)]
    for task in runs:
        task.cancel()
    if runs:
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=1)
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _end_all() -> None:
    for found in list(_open):
        found.close()


# Python joins worker threads before it calls what is registered with atexit: a sync node that waits to be told to stop
# would keep the process for ever.
_register: Any = getattr(threading, "_register_atexit", atexit.register)
_register(_end_all)


def cross(post: Post, call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop in another OS thread, and wait for what it returns or raises.

    When the wait is interrupted, the coroutine is cancelled, and the interruption goes on when it has ended.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    tasks: list[asyncio.Task[T]] = []

    def begin() -> None:
        tasks.append(asyncio.get_running_loop().create_task(call))
        tasks[0].add_done_callback(finish)

    def cancel() -> None:
        tasks[0].cancel()

    def finish(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            outcome.set_exception(concurrent.futures.CancelledError())
        elif (error := task.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(task.result())

    try:
        post(begin)
    except BaseException:
        call.close()
        raise
    try:
        return outcome.result()
    except BaseException:
        if not outcome.done():
            post(cancel)
            outcome.exception()
        raise
