"""What work costs, for comparisons within one run: whoever else is on the machine hardly shows in it."""

import gc
import time
from collections.abc import Callable


def cost(work: Callable[[], object]) -> float:
    """Return how many seconds of processor this thread needs for some work, without what others left to collect."""
    gc.disable()
    try:
        began = time.thread_time()
        work()
        return time.thread_time() - began
    finally:
        gc.enable()
