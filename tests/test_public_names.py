"""What ``import taf`` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import taf
from taf import errors

ROOT = Path(__file__).resolve().parents[1]


def test_every_public_name_is_there() -> None:
    assert [name for name in taf.__all__ if not hasattr(taf, name)] == []
    assert len(set(taf.__all__)) == len(taf.__all__)


def test_every_error_is_public() -> None:
    tree = {name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)}

    assert tree <= set(taf.__all__)


def test_nothing_is_public_by_accident() -> None:
    rooms = {path.stem for path in (ROOT / "taf").iterdir()}
    found = {name for name in vars(taf) if not name.startswith("_")} - rooms

    assert found - {"annotations", "import_module", "TYPE_CHECKING", "Any"} <= set(taf.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(taf, "Sqlite")


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert taf.__version__ == project["version"]


def loaded_by(program: str) -> set[str]:
    code = f"import sys; before = {{*sys.modules}}; {program}; print(*sorted({{*sys.modules}} - before))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(ended.stdout.split())


def test_importing_taf_loads_nothing_but_itself() -> None:
    assert {name for name in loaded_by("import taf") if name.startswith("taf")} == {"taf"}


def test_an_error_is_caught_without_loading_the_engine() -> None:
    assert {name for name in loaded_by("from taf import ThreadBusyError") if name.startswith("taf")} == {
        "taf",
        "taf.errors",
    }


def test_a_graph_loads_no_driver_and_no_server() -> None:
    names = loaded_by("from taf import StateGraph")
    loaded = {name.partition(".")[0] for name in names}

    assert loaded.isdisjoint(
        {"sqlite3", "_sqlite3", "asyncpg", "cryptography", "flask", "multiprocessing", "unittest", "pytest"}
    )
    assert {"taf", "pydantic"} <= loaded


def test_a_graph_is_built_without_loading_what_runs_it() -> None:
    build = "g = StateGraph(); g.add_node('a', lambda s: None)"
    names, more = (
        loaded_by(f"from taf import StateGraph; {build}"),
        loaded_by(f"from taf import StateGraph; {build}; g.compile()"),
    )
    running = {"anyio", "taf.graph.engine", "taf.checkpointer.memory", "taf.publisher.bus"}

    assert names.isdisjoint(running)
    assert running <= more
    assert "taf.graph.draw" not in more


def test_a_package_lists_what_it_has_not_loaded_yet() -> None:
    rooms = "import taf.graph as g, taf.checkpointer as c, taf.publisher as p"
    program = f"{rooms}; print(all({{*m.__all__}} <= {{*dir(m)}} for m in (g, c, p)))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert ended.stdout.strip() == "True"
    assert not hasattr(taf.graph, "Sqlite")


def test_the_kit_for_tests_is_loaded_by_nobody_but_who_asks_for_it() -> None:
    names = loaded_by("import taf; [getattr(taf, name) for name in taf.__all__]")

    assert not [name for name in names if name.startswith("taf.testing") or name.partition(".")[0] == "pytest"]


def test_every_name_is_loaded_by_itself() -> None:
    """In an interpreter that has loaded nothing else, whatever the order of the rooms."""
    program = "; ".join(
        f"[sys.modules.pop(m) for m in list(sys.modules) if m.partition('.')[0] == 'taf']; from taf import {name}"
        for name in (
            "interrupt",
            "task",
            "emit",
            "append",
            "merge",
            "replace",
            "Event",
            "SqliteCheckpointer",
            "EncryptedCheckpointer",
            "Keys",
            "Command",
        )
    )
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print(callable(interrupt), callable(task), callable(replace))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert ended.stdout.strip() == "True True True"


def test_rooms_are_there_by_name() -> None:
    assert taf.errors.TafError is taf.TafError
    assert {"errors", "graph", "StateGraph"} <= set(dir(taf))


def test_a_store_with_a_driver_is_loaded_when_it_is_asked_for() -> None:
    program = "import sys, taf; taf.SqliteCheckpointer; print('sqlite3' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert ended.stdout.strip() == "True"
