"""The code in the documentation is code that runs, and prints what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, REFERENCE, ROOT, SNIPPETS, python_blocks, section, text


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SNIPPETS, ids=name)
def test_a_snippet_runs_and_prints_what_its_comments_say(
    path: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    if "DATABASE_URL" in path.read_text(encoding="utf-8"):
        environment["DATABASE_URL"] = str(request.getfixturevalue("pg_dsn"))
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == re.findall(r"# → (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=name)
def test_a_page_shows_no_python_but_sections_of_files_that_are_run(page: Path) -> None:
    for block in python_blocks(page):
        found = REFERENCE.fullmatch(block)
        assert found, f"{name(page)} has Python of its own:\n{block}"
        assert found[1].startswith(("docs/snippets/", "examples/"))
        assert section(found[1], found[2])


def test_the_readme_shows_the_quick_start_and_no_other_python() -> None:
    assert python_blocks(ROOT / "README.md") == [section("docs/snippets/quickstart.py", "program")]


def test_every_section_is_shown_somewhere() -> None:
    shown = {found for page in PAGES for found in REFERENCE.findall(page.read_text(encoding="utf-8"))}
    files = [*SNIPPETS, *sorted((ROOT / "examples").rglob("*.py"))]
    there = {(name(path), section) for path in files for section in re.findall(r"\[start:(\w+)\]", text(name(path)))}

    assert there == shown


def test_a_block_in_another_spelling_is_found_too(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("~~~ py\nimport os\n~~~\n\n    ```python title='x'\n    1 + 1\n    ```\n")

    assert python_blocks(page) == ["import os", "1 + 1"]
