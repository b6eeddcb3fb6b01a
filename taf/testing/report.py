"""What an explorer found: the cuts that it made, and where an invariant did not hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from taf.errors import TafError

SHOWN = 10
"""How many failures an error lists; all of them are in its report."""


class BrokenInvariantError(TafError, AssertionError):
    """A graph or a store did not keep what it has to, wherever it is cut. ``report`` says all."""

    def __init__(self, report: Report) -> None:
        self.report = report
        lines = [f"{len(report.failures)} of {len(report.cuts)} cuts broke an invariant:"]
        lines += [f"  {failure}" for failure in report.failures[:SHOWN]]
        if len(report.failures) > SHOWN:
            lines.append(f"  and {len(report.failures) - SHOWN} more")
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class Failure:
    """One invariant that did not hold. ``invariant`` is its short name, ``what`` a sentence with the values."""

    cut: str
    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.cut}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was tried. ``cuts`` names every cut, ``failures`` tells at most one failure of each."""

    cuts: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = field(default=())

    @property
    def invariants(self) -> frozenset[str]:
        """The names of the invariants that were broken."""
        return frozenset(failure.invariant for failure in self.failures)

    def check(self) -> Self:
        """Return this. Raise ``BrokenInvariantError`` if anything failed."""
        if self.failures:
            raise BrokenInvariantError(self)
        return self
