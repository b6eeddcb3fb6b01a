"""What work costs, for comparisons within one run: whoever else is on the machine hardly shows in it."""

import time
from collections.abc import Callable


def cost(work: Callable[[], object]) -> float:
    """Return how many seconds of processor this process needs for some work."""
    began = time.process_time()
    work()
    return time.process_time() - began
