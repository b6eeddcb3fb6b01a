"""The checkpointer contract finds what a store does not keep: each broken store fails where its promise is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FINDS = {
    "TestNoFence": {
        "test_nothing_is_written_behind_the_fence",
        "test_an_abandoned_thread_is_free",
        "test_a_thread_released_without_records_is_gone",
    },
    "TestNoHeadCheck": {
        "test_who_expects_another_head_is_refused",
        "test_of_many_who_append_at_one_head_one_does",
        "test_a_commit_sent_twice_is_written_once",
    },
    "TestForgetsPauses": {
        "test_interrupts_are_found_by_thread_id_and_status",
        "test_interrupts_outlive_the_owner",
        "test_an_interrupt_that_is_answered_keeps_its_place",
    },
    "TestHalfWritten": {
        "test_a_commit_of_which_a_part_cannot_be_stored_leaves_nothing_half_written",
    },
    "TestLosesSignals": {
        "test_a_signal_reaches_the_active_run_only",
        "test_signals_come_in_the_order_in_which_they_were_left",
    },
    "TestUnorderedRead": {
        "test_what_was_appended_is_read_back",
        "test_records_are_read_page_by_page",
        "test_sequences_may_leave_numbers_out",
    },
    "TestClosesLate": {
        "test_a_closed_store_takes_no_more_runs",
        "test_leaving_a_block_closes",
    },
    "TestListsAsInSchool": {"test_names_stand_in_the_order_of_their_code_points"},
    "TestForgetsItsFile": {
        "test_threads_outlive_the_store",
        "test_a_thread_that_one_owns_is_busy_for_the_other",
        "test_a_signal_reaches_the_owner_in_the_other",
    },
}


@pytest.fixture(scope="module")
def failed() -> set[tuple[str, str]]:
    """The tests that fail, as class and name."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/testing/broken_stores.py",
        "--tb=no",
        "-rf",
        "-p",
        "no:cacheprovider",
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 1, ended.stdout[-3000:] + ended.stderr[-3000:]
    return set(re.findall(r"^FAILED .*::(Test\w+)::(test_\w+)", ended.stdout, re.MULTILINE))


@pytest.mark.parametrize("store", FINDS)
def test_a_broken_store_fails_where_its_promise_is(failed: set[tuple[str, str]], store: str) -> None:
    assert FINDS[store] <= {test for name, test in failed if name == store}


def test_a_sound_store_fails_nowhere(failed: set[tuple[str, str]]) -> None:
    assert {name for name, _ in failed} == set(FINDS)
