"""How much one caller may send, how fast, and over how many sockets."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from taf.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes. Sizes in bytes, texts in characters, times in seconds, rates in calls a second.

    A user has ``burst`` messages in hand and gets ``rate`` new ones a second; ``read_burst`` and ``read_rate`` are the
    same for reading, and for what a socket is sent by its client. A socket that takes longer than ``send_seconds`` for
    one message is dropped.
    """

    body: int = 64 * 1024
    message: int = 16_000
    user_id: int = 200
    rate: float = 5.0
    burst: int = 20
    read_rate: float = 20.0
    read_burst: int = 60
    frame: int = 4096
    sockets: int = 1000
    sockets_each: int = 8
    send_seconds: float = 10.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} has to be above 0, not {getattr(self, name)!r}.")


class Rate:
    """Counts calls by user. Of more than ``users``, those that were not heard of for longest are forgotten."""

    def __init__(
        self, rate: float, burst: int, *, users: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._users, self._clock = rate, burst, users, clock
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def wait(self, user: object) -> float:
        """Count a call; return 0, or after how many seconds the user may try again."""
        now = self._clock()
        left, at = self._left.pop(user, (float(self._burst), now))
        left = min(self._burst, left + (now - at) * self._rate)
        is_allowed = left >= 1
        self._left[user] = (left - 1 if is_allowed else left, now)
        if len(self._left) > self._users:
            self._left.popitem(last=False)
        return 0.0 if is_allowed else (1 - left) / self._rate


class Sockets:
    """Counts open sockets, of all and of each user."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[object, int] = {}
        self._count = 0

    def take(self, user: object) -> bool:
        """Count one more. Return False, and count nothing, when there is no room."""
        own = self._open.get(user, 0)
        if own >= self._limits.sockets_each or self._count >= self._limits.sockets:
            return False
        self._open[user] = own + 1
        self._count += 1
        return True

    def give_back(self, user: object) -> None:
        """Count one less."""
        self._count -= 1
        left = self._open[user] - 1
        if left:
            self._open[user] = left
        else:
            del self._open[user]
