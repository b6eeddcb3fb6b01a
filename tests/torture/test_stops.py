"""A stop from another process is heard, whatever becomes of the notification, and soon."""

from pathlib import Path

import pytest

from tests.torture.form import IS_TORTURE, run, sized

STOPS = sized(20, 1000)


def check(folder: Path, place: str, variant: str) -> None:
    found = run("stops", folder, place, STOPS, variant)
    assert [found[name] for name in ("stops", "seen", "good", "ended")] == [STOPS] * 4
    assert not IS_TORTURE or found["heard_p99"] < 0.05


def test_every_stop_from_another_process_is_heard(tmp_path: Path, place: str) -> None:
    check(tmp_path, place, "heard")


@pytest.mark.parametrize("variant", ["unlistening", "dropped"])
def test_every_stop_is_heard_without_notifications(tmp_path: Path, pg_dsn: str, variant: str) -> None:
    check(tmp_path, pg_dsn, variant)
