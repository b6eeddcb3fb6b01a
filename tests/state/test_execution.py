"""The life of a thread is one table: it is total, and nothing goes past it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taf.errors import InvalidTransitionError
from taf.state.execution import TRANSITIONS, ExecutionMeta, ExecutionStatus, Move, advance

PAUSED = (ExecutionStatus.INTERRUPTED_BEFORE, ExecutionStatus.INTERRUPTED_AFTER)


def test_every_status_has_its_row_and_every_move_leads_somewhere() -> None:
    assert set(TRANSITIONS) == set(ExecutionStatus)
    assert {move for row in TRANSITIONS.values() for move in row} == set(Move)
    assert {status for row in TRANSITIONS.values() for status in row.values()} == set(ExecutionStatus)


@pytest.mark.parametrize("status", ExecutionStatus)
@pytest.mark.parametrize("move", Move)
def test_advance_does_what_the_table_says_and_refuses_all_else(status: ExecutionStatus, move: Move) -> None:
    if move in TRANSITIONS[status]:
        assert advance(status, move) is TRANSITIONS[status][move]
        return
    with pytest.raises(InvalidTransitionError) as refused:
        advance(status, move)
    assert (refused.value.status, refused.value.move) == (status.value, move.value)
    assert str(refused.value) == f'A thread that is {status.value} cannot be "{move.value}".'


@pytest.mark.parametrize("status", [status for status in ExecutionStatus if status is not ExecutionStatus.RUNNING])
def test_only_a_running_thread_moves_on_pauses_ends_or_fails(status: ExecutionStatus) -> None:
    of_runs = {Move.PROGRESS, Move.PAUSE_BEFORE, Move.PAUSE_AFTER, Move.COMPLETE, Move.FAIL}

    assert not of_runs & TRANSITIONS[status].keys()


@pytest.mark.parametrize("status", ExecutionStatus)
def test_an_answer_never_moves_a_thread_by_itself(status: ExecutionStatus) -> None:
    assert TRANSITIONS[status].get(Move.ANSWER, status) is status
    assert status.is_interrupted is (status in PAUSED)


@pytest.mark.parametrize("status", PAUSED)
def test_a_paused_thread_can_be_answered_resumed_and_stopped(status: ExecutionStatus) -> None:
    assert TRANSITIONS[status].keys() >= {Move.ANSWER, Move.RESUME, Move.STOP}


@pytest.mark.parametrize("status", PAUSED)
def test_a_pause_is_never_passed_by_new_input_alone(status: ExecutionStatus) -> None:
    assert Move.START not in TRANSITIONS[status]


@pytest.mark.parametrize("status", ExecutionStatus)
def test_an_update_of_the_state_changes_no_status(status: ExecutionStatus) -> None:
    assert advance(status, Move.UPDATE) is status


@pytest.mark.parametrize("status", ExecutionStatus)
def test_from_every_status_a_thread_can_come_to_its_end(status: ExecutionStatus) -> None:
    seen, front = {status}, {status}
    while front:
        front = {after for one in front for after in TRANSITIONS[one].values()} - seen
        seen |= front

    assert ExecutionStatus.COMPLETED in seen


@given(st.lists(st.sampled_from(Move), max_size=30))
def test_any_moves_follow_the_table_or_leave_the_status_as_it_was(moves: list[Move]) -> None:
    status = ExecutionStatus.IDLE
    for move in moves:
        before = status
        try:
            status = advance(status, move)
        except InvalidTransitionError:
            assert move not in TRANSITIONS[before]
            assert status is before
        else:
            assert TRANSITIONS[before][move] is status


@pytest.mark.parametrize("status", ExecutionStatus)
def test_meta_tells_whether_the_thread_runs_or_waits(status: ExecutionStatus) -> None:
    meta = ExecutionMeta(status)

    assert meta.is_interrupted() is (status in PAUSED)
    assert meta.is_running() is (status is ExecutionStatus.RUNNING)
