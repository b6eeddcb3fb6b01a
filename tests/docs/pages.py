"""The documentation as the tests read it: pages, blocks, sections and tables."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SNIPPETS = sorted((ROOT / "docs" / "snippets").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

REFERENCE = re.compile(r'--8<-- "([^":]+):(\w+)"')


def text(page: str) -> str:
    """Return a page by its path below the root."""
    return (ROOT / page).read_text(encoding="utf-8")


def python_blocks(page: Path) -> list[str]:
    """Return what stands between the fences of Python blocks, however they are written."""
    fence = r"^[ \t]*(`{3,}|~{3,})[ \t]*\{?\.?(?:python3?|py|pycon)\b.*?\n(.*?)^[ \t]*\1"
    found = re.findall(fence, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL | re.IGNORECASE)
    return [block.strip() for _, block in found]


def section(file: str, name: str) -> str:
    """Return a section of a snippet file."""
    begin, end = f"# --8<-- [start:{name}]\n", f"# --8<-- [end:{name}]"
    source = text(file)
    assert source.count(begin) == source.count(end) == 1, f"{file} has no single section {name}"
    body = source[source.index(begin) + len(begin) : source.index(end)]
    return textwrap.dedent(body.rpartition("\n")[0]).strip()


def table(page: str, head: str) -> list[list[str]]:
    """Return the rows of the table whose first line begins with ``head``; backticks are left out."""
    lines = text(page).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(head))
    rows: list[list[str]] = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")])
    return rows
