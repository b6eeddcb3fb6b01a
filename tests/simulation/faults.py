"""What goes wrong, and how often: each seed has some kinds of faults, at rates of its own."""

from __future__ import annotations

import math
import random
from collections import Counter

CALLS = ("lost request", "lost answer", "late request", "doubled request", "failing node")
NOTIFICATIONS = ("lost notification", "doubled notification", "late notification")
STRIKES = ("kill", "pause", "partition", "clock jump")
KINDS = (*CALLS, *NOTIFICATIONS, *STRIKES)

RATES = (0.0, 0.005, 0.02, 0.08)
"""The rates of a fault in a call or a notification."""

STRIKE_TURNS = (60, 150, 400)
"""After how many turns, on average, a whole process is struck."""


class Faults:
    """Draws faults by chance, and counts them. Chance is the world's, so that a seed says all."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.counts: Counter[str] = Counter()
        self._rates = {kind: chance.choice(RATES) for kind in (*CALLS, *NOTIFICATIONS)}
        self._strikes = [kind for kind in STRIKES if chance.random() < 0.6]
        self._turns = chance.choice(STRIKE_TURNS)
        self._next_strike = self._drawn() if self._strikes else math.inf

    def _drawn(self) -> float:
        return 1 + self._chance.expovariate(1 / self._turns)

    def happens(self, kind: str) -> bool:
        """Say whether this goes wrong now."""
        rate = self._rates[kind]
        if rate and self._chance.random() < rate:
            self.counts[kind] += 1
            return True
        return False

    def strike(self) -> str | None:
        """Return what happens to the process whose turn it is, if anything."""
        self._next_strike -= 1
        if self._next_strike > 0:
            return None
        self._next_strike = self._drawn()
        kind = self._chance.choice(self._strikes)
        self.counts[kind] += 1
        return kind

    def end(self) -> None:
        """Let everything go well from now on."""
        self._rates = dict.fromkeys(self._rates, 0.0)
        self._next_strike = math.inf
