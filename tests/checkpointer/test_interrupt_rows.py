"""What a store lists as interrupts is what the thread's journal says of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from taf.checkpointer.journal import Journal
from taf.checkpointer.memory import InMemoryCheckpointer
from taf.state.facts import (
    Answered,
    Completed,
    Entry,
    Fact,
    Failed,
    Forked,
    Paused,
    Reopened,
    Resumed,
    Started,
    Stepped,
    Stopped,
    Task,
    Updated,
)
from taf.state.interrupts import InterruptKind, InterruptRecord, InterruptStatus
from taf.state.run import Run, replay
from tests.state.journals import SCHEMA, closed

AT = datetime(2024, 1, 1, tzinfo=UTC)
START = Started("r", tuple(SCHEMA.default_ops()), (Task("a", "a"),))
ONE = InterruptRecord("1", "t", "r", "a", InterruptKind.NODE, "one?", AT, task="a")
TWO = replace(ONE, id="2", reason="two?", task="b")
PAUSED = Paused(InterruptKind.NODE, "a", "one?", (ONE, TWO))
ANSWERED = Answered(closed(ONE, InterruptStatus.ANSWERED), Entry("answer", "one?", "x"))
REOPENED = Reopened(replace(ONE, version=3), "no number")


async def rows_after(*facts: Fact) -> dict[str, InterruptRecord]:
    """Return the interrupts that the store lists, after checking that the open ones are the run's own."""
    journal = Journal(InMemoryCheckpointer(), SCHEMA, tenant="", clock=float)
    ledger = await journal.acquire("t", lease_seconds=15)
    assert ledger is not None
    for fact in facts:
        ledger.stage(fact)
    await ledger.save(release=True)
    found = {record.id: record for record in await journal.interrupts("t")}
    is_open = {record.id: record for record in found.values() if record.status is InterruptStatus.OPEN}
    assert is_open == {record.id: record for record in ledger.run.details.interrupts}
    return found


async def statuses_after(*facts: Fact) -> list[str]:
    found = await rows_after(START, PAUSED, *facts)
    return [found[name].status.value for name in sorted(found)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ((), ["open", "open"]),
        ((ANSWERED,), ["answered", "open"]),
        ((ANSWERED, Resumed("r")), ["answered", "open"]),
        ((ANSWERED, Resumed("r"), REOPENED), ["open", "open"]),
        ((Answered(closed(TWO, InterruptStatus.REJECTED)),), ["open", "rejected"]),
        ((Stopped("r", "by hand", "a"),), ["withdrawn", "withdrawn"]),
        ((ANSWERED, Stopped("r", "by hand", "a")), ["answered", "withdrawn"]),
        ((Updated(()),), ["open", "open"]),
        ((Updated((), "a", ()),), ["withdrawn", "withdrawn"]),
        ((ANSWERED, Resumed("r"), Completed()), ["answered", "withdrawn"]),
        ((ANSWERED, Resumed("r"), Stepped((("a", "a", ()),), ())), ["answered", "withdrawn"]),
        ((ANSWERED, Resumed("r"), Failed("E", "no", "a"), START), ["answered", "withdrawn"]),
    ],
    ids=[
        "paused",
        "one answered",
        "resumed",
        "reopened",
        "one rejected",
        "stopped",
        "answered and stopped",
        "updated",
        "put elsewhere",
        "completed",
        "stepped",
        "failed and begun again",
    ],
)
async def test_a_listed_interrupt_has_the_status_that_the_journal_gives_it(
    facts: tuple[Fact, ...], expected: list[str]
) -> None:
    assert await statuses_after(*facts) == expected


async def test_versions_grow_with_every_change_of_status() -> None:
    found = await rows_after(START, PAUSED, ANSWERED, Resumed("r"), REOPENED, Stopped("r", "by hand", "a"))

    assert (found["1"].version, found["2"].version) == (4, 2)


async def test_a_reopened_question_shows_no_answer() -> None:
    found = (await rows_after(START, PAUSED, ANSWERED, Resumed("r"), REOPENED))["1"]

    assert (found.answer, found.answered_by, found.answered_at) == (None, None, None)


async def test_a_fork_lists_its_own_copies_of_open_interrupts() -> None:
    source = replay(SCHEMA, Run("t"), [START, PAUSED])
    copies = tuple(replace(record, id=f"copy of {record.id}") for record in source.details.interrupts)
    copied = source._replace(thread_id="", values={}, details=source.details._replace(interrupts=copies))
    found = await rows_after(Forked("t", 2, copied, tuple(SCHEMA.default_ops())))

    assert sorted(found) == ["copy of 1", "copy of 2"]
