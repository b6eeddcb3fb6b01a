"""A disk may be full: whoever runs a graph is told, no run fails by it, and all goes on when there is room."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.disk.small import with_mounted
from tests.torture.form import run, sized

ROUNDS, SERVER_ROUNDS, CRASHES = sized(6, 200), sized(2, 30), sized(2, 12)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that a server's account can enter, too."""
    with TemporaryDirectory(prefix="taf-disk-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def check(found: dict[str, Any], rounds: int) -> None:
    assert (found["lost"], found["wrong"], found["details"]) == (0, 0, [])
    assert found["rounds"] == rounds
    assert found["refused"] >= 4 * rounds
    assert found["commits"] > 15 * rounds


def test_a_full_disk_refuses_what_does_not_fit_and_nothing_else(tmp_path: Path) -> None:
    found = run("shortages", tmp_path, "layer", ROUNDS, folder="disk")
    check(found, ROUNDS)
    assert found["refusals"] >= ROUNDS
    assert found["begun_too_small"] > 5


@pytest.mark.e2e
def test_a_full_file_system_refuses_what_does_not_fit_and_nothing_else(folder: Path) -> None:
    found = run("shortages", folder, "file system", ROUNDS, folder="disk", by=with_mounted(folder, 32))
    check(found, ROUNDS)
    assert found["begun_too_small"] > 5


@pytest.mark.e2e
def test_a_server_whose_tables_have_no_room_refuses_and_goes_on(folder: Path) -> None:
    found = run("pg_shortages", folder, "data", SERVER_ROUNDS, folder="disk", by=with_mounted(folder, 64))
    check(found, SERVER_ROUNDS)
    assert found["by_DiskFullError"] >= SERVER_ROUNDS


@pytest.mark.e2e
def test_a_server_whose_log_has_no_room_ends_and_nothing_is_lost(folder: Path) -> None:
    # Room for the files of the log that a server keeps to use them again, and for those that it needs to come back.
    found = run("pg_shortages", folder, "log", CRASHES, folder="disk", by=with_mounted(folder, 256))
    check(found, CRASHES)
    assert found["refusals"] == CRASHES
