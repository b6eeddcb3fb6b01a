"""Processes that are forked from one that has loaded everything and has no OS threads."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any


def fork(work: Callable[[], Coroutine[Any, Any, Any]]) -> int:
    """Do work in a process of its own, and return its id. It ends with status 1, and says why, when the work fails."""
    if child := os.fork():
        return child
    status = 1
    gc.disable()
    try:
        asyncio.run(work())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait(child: int) -> int:
    """Return how a process ended, as ``os.waitpid`` does."""
    return os.waitpid(child, 0)[1]


def wait_all(children: list[int]) -> None:
    """Wait for all; when one of them fails, end the others and raise."""
    try:
        while children:
            child, status = os.wait()
            children.remove(child)
            assert status == 0, f"process {child} ended with {status}"
    finally:
        end_all(children)


def kill(child: int) -> None:
    """End a process that was not waited for, frozen or not."""
    os.kill(child, signal.SIGKILL)
    wait(child)


def end_all(children: list[int]) -> None:
    """Leave nobody behind."""
    for child in children:
        with suppress(OSError):
            kill(child)


def report(counts: dict[str, Any]) -> None:
    """Print the line of counts."""
    print(json.dumps(counts), flush=True)
