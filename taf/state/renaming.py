"""Nodes got new names: what a thread says of where it is, said again in the new ones. What it did keeps the old."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from taf.state.facts import Entry, Output, Task
from taf.state.interrupts import InterruptKind, InterruptRecord

_BRANCH = re.compile(r"(.*)(#\d+#*)", re.DOTALL)
"""The key of a branch that a ``Send`` made: its node, and its number."""


def gate_reason(kind: InterruptKind, node: str) -> str:
    """Return the sentence with which a breakpoint asks for leave."""
    return f'Paused {kind.value} node "{node}".'


class Renaming:
    """Translates the parts of one run. ``names`` leads from old names to new ones, ``joins`` likewise for joins.

    A key belongs to the task that has it, so that a node called "a#1" is not taken for a branch of "a".
    """

    def __init__(self, names: Mapping[str, str], joins: Mapping[str, str], tasks: Iterable[Task]) -> None:
        self._names, self._joins = names, joins
        self._nodes = {task.key: task.node for task in tasks}

    def name(self, node: str) -> str:
        """Return the name that a node has now."""
        return self._names.get(node, node)

    def key(self, key: str) -> str:
        """Return the key that a task has now."""
        node = self._nodes.get(key)
        if node is None:
            found = None if key in self._names else _BRANCH.fullmatch(key)
            node = key if found is None else found[1]
        return self.name(node) + key[len(node) :]

    def task(self, task: Task) -> Task:
        """Translate what is to run."""
        return task._replace(node=self.name(task.node), key=self.key(task.key))

    def tasks(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        """Translate all that is to run."""
        return tuple(map(self.task, tasks))

    def output(self, output: Output) -> Output:
        """Translate what a node returned."""
        goto = None if output.goto is None else self.tasks(output.goto)
        ask = None if output.ask is None else self.ask(output.ask)
        return output._replace(key=self.key(output.key), node=self.name(output.node), goto=goto, ask=ask)

    def ask(self, ask: Any) -> Any:
        """Translate what ``set_interrupt`` asked for."""
        return ask._replace(node=self.name(ask.node))

    def entry(self, entry: Entry) -> Entry:
        """Translate what a human decided, where that leads to a node."""
        said = _said(entry.value)
        if entry.kind != "reject" or not said or type(said[-1]) is not str:
            return entry
        return entry._replace(value=[*said[:-1], self.name(said[-1])])

    def reason(self, kind: InterruptKind, node: str, reason: str) -> str:
        """Translate the sentence of a breakpoint; what a node asked stays as it was said."""
        return gate_reason(kind, self.name(node)) if reason == gate_reason(kind, node) else reason

    def record(self, record: InterruptRecord) -> InterruptRecord:
        """Translate an open interrupt. Below a subgraph, names are those of its own graph."""
        path = record.path and (self.name(record.path[0]), *record.path[1:])
        node = "/".join(path) if record.inner_id is not None else self.name(record.node)
        task = None if record.task is None else self.key(record.task)
        reason = self.reason(record.kind, record.node, record.reason)
        if (node, path, task, reason) == (record.node, record.path, record.task, record.reason):
            return record
        return replace(record, node=node, path=path, task=task, reason=reason, version=record.version + 1)

    def details(self, details: Any) -> Any:
        """Translate a run's details."""
        name, key = self.name, self.key
        finished = map(self.output, details.finished.values())
        return details._replace(
            interrupts=tuple(map(self.record, details.interrupts)),
            finished={output.key: output for output in finished},
            memo={key(k): {p: self.entry(e) for p, e in found.items()} for k, found in details.memo.items()},
            carried=self.tasks(details.carried),
            asks=tuple((name(node), key(k), self.ask(ask)) for node, k, ask in details.asks),
            settled=tuple((k, name(n), self.reason(k, n, why), data) for k, n, why, data in details.settled),
            passed=frozenset(map(key, details.passed)),
            joins={self._joins.get(j, j): tuple(sorted(map(name, names))) for j, names in details.joins.items()},
            reached={name(node): tuple(map(key, keys)) for node, keys in details.reached.items()},
            node=None if details.node is None else name(details.node),
        )


def _said(value: Any) -> Sequence[Any]:
    """Return the parts of a rejection: why, by whom, and where it leads."""
    return value if type(value) is list else ()  # pyright: ignore[reportUnknownVariableType]


def tasks_ahead(run: Any) -> list[Task]:
    """Return all tasks that a run may still come to: those that are next, wait behind them, or were asked for."""
    details = run.details
    gotos = [task for output in details.finished.values() for task in output.goto or ()]
    return [*run.frontier, *details.carried, *gotos]


def renamed(run: Any, names: Mapping[str, str], joins: Mapping[str, str]) -> Any:
    """Return a run with new names for its nodes and joins."""
    found = Renaming(names, joins, tasks_ahead(run))
    return run._replace(
        node=None if run.node is None else found.name(run.node),
        frontier=found.tasks(run.frontier),
        ran=tuple(map(found.name, run.ran)),
        details=found.details(run.details),
    )
