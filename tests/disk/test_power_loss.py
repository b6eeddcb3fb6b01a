"""The power may fail at any moment: what was acknowledged is on the disk, and the file is whole."""

from pathlib import Path

from tests.torture.form import run, sized

IMAGES = sized(30, 400)


def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    found = run("outages", tmp_path, IMAGES, "FULL", folder="disk")
    assert (found["lost"], found["wrong"], found["details"]) == (0, 0, [])
    assert found["images"] == IMAGES
    assert found["commits"] > 50 * IMAGES
    assert min(found["with_drops"], found["dropped"] // 4, found["kept"] // 4) > IMAGES // 10


def test_the_loss_of_commits_that_were_not_synced_is_noticed(tmp_path: Path) -> None:
    """The check can fail: with "NORMAL" the last commits are lost, as its documentation says, and nothing else is."""
    found = run("outages", tmp_path, IMAGES, "NORMAL", folder="disk")
    assert (found["images"], found["wrong"]) == (IMAGES, 0), found["details"]
    assert found["with_loss"] > IMAGES // 4
