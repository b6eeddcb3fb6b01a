"""Keeps the shape of the house: floors, purity, sizes. Reads `taf/` as syntax trees and imports nothing of it.

Every rule is a function from modules to complaints, and is shown here to catch a planted violation.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "ids", "lazily", "tuples"}),
    frozenset({"events", "serialization"}),
    frozenset({"state"}),
    frozenset({"checkpointer", "publisher"}),
    frozenset({"graph"}),
    frozenset({"interruption", "inbox"}),
    frozenset({"server", "acp", "testing"}),
    frozenset({"cli"}),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
DOORS = FLOOR_OF["acp"]

# Bottom up: a file of taf/graph imports only files named before it.
GRAPH_ORDER = [
    "command",
    "node",
    "edge",
    "spec",
    "compatibility",
    "validate",
    "plan",
    "config",
    "listing",
    "result",
    "telling",
    "answers",
    "context",
    "asking",
    "runner",
    "routing",
    "deciding",
    "handover",
    "intake",
    "multitask",
    "runtime",
    "inner",
    "upgrade",
    "presuming",
    "partials",
    "door",
    "halting",
    "straight",
    "serving",
    "steering",
    "engine",
    "updating",
    "waiting",
    "ending",
    "turn",
    "active",
    "flights",
    "submission",
    "recovery",
    "stop",
    "stream",
    "history",
    "queue",
    "subgraph",
    "forking",
    "retention",
    "outline",
    "layout",
    "draw",
    "app",
    "blocking",
    "compiling",
    "state_graph",
]

PURE_FLOORS = range(3)
PURE_FILES = frozenset({"taf.graph.plan", "taf.graph.compatibility"})
IMPURE = frozenset({"time", "asyncio", "anyio", "threading", "sqlite3", "socket", "os", "random", "logging"})
IMPURE_ALLOWED = {"taf.ids": frozenset({"os", "time", "random"})}
# Making an id reads the clock and chance, so a pure file may not; a message is given its id where it is made.
MAKES_IDS = frozenset({"taf.state.messages"})

THIRD_PARTIES = frozenset({"pydantic", "pydantic_core", "annotated_types", "anyio", "typing_extensions"})
# Optional packages, and the only files that know them.
OPTIONAL = {"asyncpg": "taf/checkpointer/postgres*.py", "cryptography": "taf/checkpointer/keys.py"}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
NAMELESS = frozenset({"utils", "helpers", "common"})
PRINTING_ROOMS = frozenset({"cli"})
PRINTING_FILES = frozenset({"taf.publisher.console"})

AWAITING = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)


@dataclass(frozen=True)
class Import:
    """One imported thing: `target` is the module as written, `name` what was taken from it, if anything."""

    target: str
    name: str | None
    line: int

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]


@dataclass(frozen=True)
class Module:
    """One file of `taf/`."""

    path: str
    source: str

    @property
    def is_package(self) -> bool:
        return self.path.endswith("/__init__.py")

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def room(self) -> str:
        return room_of(self.name)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.source, self.path)))

    @cached_property
    def imports(self) -> list[Import]:
        return list(self._imports())

    def _imports(self) -> Iterator[Import]:
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, None, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                target = self._absolute(node)
                yield from (Import(target, alias.name, node.lineno) for alias in node.names)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        above = node.level - 1 if self.is_package else node.level
        parts = self.name.split(".")
        return ".".join([*parts[: len(parts) - above], *filter(None, [node.module])])


Rule = Callable[[list[Module]], list[str]]


def room_of(name: str) -> str:
    """`state` of `taf.state.run`; nothing for `taf` itself."""
    return name.split(".")[1] if "." in name else ""


def inside(modules: list[Module]) -> Iterator[tuple[Module, str, int]]:
    """Every import from taf to taf: the importer, the module that is meant, the line."""
    known = {module.name for module in modules}
    for module in modules:
        for found in module.imports:
            if found.top == "taf":
                # `from taf.graph import plan` means a file if there is one, `from taf import graph` a room.
                longer = f"{found.target}.{found.name}"
                deeper = longer in known or (found.target == "taf" and found.name in FLOOR_OF)
                yield module, longer if deeper else found.target, found.line


def complain(module: Module, line: int, what: str) -> str:
    return f"{module.path}:{line}: {what}"


# --- the rules ---


def floors(modules: list[Module]) -> list[str]:
    """Every room has a floor, and an import goes down or stays in its room. `taf/__init__.py` is exempt."""
    lost = [
        complain(module, 1, f"room {module.room!r} has no floor: give it one in FLOORS")
        for module in modules
        if module.name != "taf" and module.room not in FLOOR_OF
    ]
    return lost + [
        complain(module, line, f"{module.name} may not import {target}")
        for module, target, line in inside(modules)
        if module.name != "taf" and not is_downward(module.room, room_of(target))
    ]


def is_downward(importer: str, imported: str) -> bool:
    # An unknown room, and `taf` itself, lies above everything: nothing inside may import it.
    top = len(FLOORS)
    return importer == imported or FLOOR_OF.get(imported, top) < FLOOR_OF.get(importer, top)


def graph_order(modules: list[Module]) -> list[str]:
    """The files of taf.graph stand in one order, and import only files before them."""
    place = {f"taf.graph.{name}": index for index, name in enumerate(GRAPH_ORDER)}
    files = [module for module in modules if module.name.startswith("taf.graph.")]
    unplaced = [
        complain(module, 1, "not in GRAPH_ORDER: give it a place") for module in files if module.name not in place
    ]
    return unplaced + [
        complain(module, line, f"{module.name} may not import {target}: it comes later in GRAPH_ORDER")
        for module, target, line in inside(modules)
        if module.name in place and room_of(target) == "graph"
        if place.get(target, len(place)) >= place[module.name]
    ]


def is_pure(module: Module) -> bool:
    return FLOOR_OF.get(module.room) in PURE_FLOORS or module.name in PURE_FILES


def pure_imports(modules: list[Module]) -> list[str]:
    """The pure files know no clock, no I/O, no chance."""
    impure = [
        complain(module, found.line, f"a pure file may not import {found.target}")
        for module in filter(is_pure, modules)
        for found in module.imports
        if found.top in IMPURE - IMPURE_ALLOWED.get(module.name, frozenset())
    ]
    return impure + [
        complain(module, line, "a pure file makes no ids: let the caller pass them")
        for module, target, line in inside(modules)
        if is_pure(module) and target == "taf.ids" and module.name not in MAKES_IDS
    ]


def no_await(modules: list[Module]) -> list[str]:
    """What is decided is decided without waiting."""
    return [
        complain(module, getattr(node, "lineno", 1), "no async or await here")
        for module in modules
        if module.room == "state" or module.name in PURE_FILES
        for node in module.nodes
        if isinstance(node, AWAITING) or (isinstance(node, ast.comprehension) and node.is_async)
    ]


def sizes(modules: list[Module]) -> list[str]:
    """Files and functions stay small. A nested function counts to its parent."""
    files = [(module, 1, len(module.source.splitlines()), MAX_FILE_LINES) for module in modules]
    functions = [
        (module, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1, MAX_FUNCTION_LINES)
        for module in modules
        for node in module.nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [
        complain(module, line, f"{size} lines, at most {limit}: which concept is missing?")
        for module, line, size, limit in files + functions
        if size > limit
    ]


def no_cycles(modules: list[Module]) -> list[str]:
    """No module reaches itself through its imports."""
    edges: dict[str, set[str]] = {}
    for module, target, _ in inside(modules):
        edges.setdefault(module.name, set()).add(target)
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        # graphlib walks from the imported to the importer.
        return ["import cycle: " + " → ".join(reversed(error.args[1]))]
    return []


def named_after_something(modules: list[Module]) -> list[str]:
    """A file is named after what it holds."""
    return [
        complain(module, 1, "names nothing: what does it hold?")
        for module in modules
        if NAMELESS & {part.strip("_") for part in module.name.split(".")}
    ]


def third_parties(modules: list[Module]) -> list[str]:
    """Below the doors only a few packages are known, and a few more each to the files of one backend."""
    return [
        complain(module, found.line, f"{found.top} belongs to a door on floor {DOORS}")
        for module in modules
        if FLOOR_OF.get(module.room, 0) < DOORS
        for found in module.imports
        if found.top not in sys.stdlib_module_names | THIRD_PARTIES | {"taf"}
        and not (found.top in OPTIONAL and fnmatch(module.path, OPTIONAL[found.top]))
    ]


def no_prints(modules: list[Module]) -> list[str]:
    """Only the console publisher and the command line write to the screen."""
    return [
        complain(module, node.lineno, "no print here: tell it by an event")
        for module in modules
        if module.name not in PRINTING_FILES and module.room not in PRINTING_ROOMS
        for node in module.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


RULES: list[Rule] = [
    floors,
    graph_order,
    pure_imports,
    no_await,
    sizes,
    no_cycles,
    named_after_something,
    third_parties,
    no_prints,
]

# --- the house ---

ROOT = Path(__file__).resolve().parent.parent
HOUSE = [
    Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "taf").rglob("*.py"))
]


def test_the_walk_sees_the_house() -> None:
    assert HOUSE


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule) -> None:
    complaints = rule(HOUSE)

    assert not complaints, "\n".join([rule.__doc__ or "", *complaints])


# --- the rules catch what they should, and nothing else ---

GRAPH, STATE, RUN = "taf/graph/__init__.py", "taf/state/__init__.py", "taf/state/run.py"
PLAN = "taf/graph/plan.py"

VIOLATIONS: list[tuple[Rule, dict[str, str]]] = [
    (floors, {RUN: "import taf.graph.app"}),
    (floors, {RUN: "from taf import graph"}),
    (floors, {RUN: "from taf.graph.app import CompiledGraph"}),
    (floors, {RUN: "from ..graph.app import CompiledGraph"}),
    (floors, {STATE: "from ..graph import app"}),
    (floors, {RUN: "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from taf.graph import app"}),
    (floors, {RUN: "def late() -> None:\n    import taf.graph"}),
    (floors, {"taf/events.py": "import taf.serialization"}),
    (floors, {"taf/checkpointer/base.py": "from taf.publisher.base import Publisher"}),
    (floors, {"taf/server/http.py": "from taf import StateGraph"}),
    (floors, {"taf/graph/app.py": "from taf.testing import FakeHuman"}),
    (floors, {"taf/attic.py": ""}),
    (graph_order, {"taf/graph/node.py": "from taf.graph.engine import Engine"}),
    (graph_order, {"taf/graph/node.py": "from . import engine", "taf/graph/engine.py": ""}),
    (graph_order, {"taf/graph/node.py": "from taf.graph import CompiledGraph"}),
    (graph_order, {"taf/graph/attic.py": ""}),
    (pure_imports, {PLAN: "import time"}),
    (pure_imports, {RUN: "from os.path import join"}),
    (pure_imports, {"taf/events.py": "import anyio.abc"}),
    (pure_imports, {"taf/ids.py": "import asyncio"}),
    (pure_imports, {RUN: "from taf.ids import new_id"}),
    (pure_imports, {PLAN: "from taf import ids"}),
    (no_await, {PLAN: "async def plan() -> None: ..."}),
    (no_await, {RUN: "async def fold() -> None:\n    await other()"}),
    (no_await, {RUN: "async def fold(facts):\n    return [fact async for fact in facts]"}),
    (sizes, {RUN: "\n" * 401}),
    (sizes, {RUN: "def long() -> None:\n" + "    pass\n" * 60}),
    (sizes, {RUN: "def outer() -> None:\n    def inner() -> None:\n" + "        pass\n" * 59}),
    (no_cycles, {RUN: "import taf.state.meta", "taf/state/meta.py": "from taf.state import run"}),
    (no_cycles, {STATE: "from taf.state.run import Run", RUN: "from taf.state import Run"}),
    (named_after_something, {"taf/state/utils.py": ""}),
    (named_after_something, {"taf/_helpers.py": ""}),
    (named_after_something, {"taf/common/__init__.py": ""}),
    (third_parties, {"taf/graph/app.py": "import httpx"}),
    (third_parties, {"taf/checkpointer/sqlite.py": "import asyncpg"}),
    (third_parties, {"taf/checkpointer/encrypted.py": "import cryptography"}),
    (third_parties, {"taf/__init__.py": "import flask"}),
    (no_prints, {"taf/graph/engine.py": "print('step')"}),
]

ALLOWED: list[tuple[Rule, dict[str, str]]] = [
    (floors, {"taf/graph/app.py": "import taf.state.run\nfrom taf import errors\nfrom ..events import Event"}),
    (floors, {RUN: "from taf.state.meta import Meta\nfrom . import reducers"}),
    (floors, {"taf/__init__.py": "from taf.graph.app import CompiledGraph"}),
    (graph_order, {"taf/graph/engine.py": "from . import node\nimport taf.state.run", "taf/graph/node.py": ""}),
    (graph_order, {GRAPH: "from taf.graph.app import CompiledGraph"}),
    (pure_imports, {"taf/ids.py": "import os, secrets, time, uuid, random"}),
    (pure_imports, {"taf/state/messages.py": "from taf.ids import new_id"}),
    (pure_imports, {"taf/graph/engine.py": "import time\nfrom taf.ids import new_id"}),
    (no_await, {"taf/graph/engine.py": "async def run() -> None: ..."}),
    (sizes, {RUN: "\n" * 400}),
    (sizes, {RUN: "def long() -> None:\n" + "    pass\n" * 59}),
    (no_cycles, {STATE: "from taf.state.run import Run", RUN: "from taf.state import meta", "taf/state/meta.py": ""}),
    (third_parties, {"taf/checkpointer/postgres.py": "import asyncpg"}),
    (third_parties, {"taf/checkpointer/postgres_schema.py": "import asyncpg"}),
    (third_parties, {"taf/checkpointer/keys.py": "from cryptography.exceptions import InvalidTag"}),
    (third_parties, {"taf/testing/checkpointer.py": "import pytest"}),
    (third_parties, {"taf/server/http.py": "import starlette", RUN: "import json\nfrom pydantic import BaseModel"}),
    (no_prints, {"taf/publisher/console.py": "print(1)", "taf/cli.py": "print(1)", "taf/cli/main.py": "print(1)"}),
]


def house(files: dict[str, str]) -> list[Module]:
    return [Module(path, source) for path, source in files.items()]


@pytest.mark.parametrize(("rule", "files"), VIOLATIONS)
def test_a_planted_violation_is_caught(rule: Rule, files: dict[str, str]) -> None:
    assert rule(house(files))


@pytest.mark.parametrize(("rule", "files"), ALLOWED)
def test_what_is_allowed_passes(rule: Rule, files: dict[str, str]) -> None:
    assert rule(house(files)) == []


def test_every_rule_is_shown_to_catch_something() -> None:
    assert {rule.__name__ for rule, _ in VIOLATIONS} == {rule.__name__ for rule in RULES}
