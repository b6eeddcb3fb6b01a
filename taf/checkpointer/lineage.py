"""The versions of a state model: what leads from each to the next, and an old thread in the types of the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any, cast

from taf.checkpointer.encoding import FactCodec
from taf.checkpointer.untyped import UntypedCodec, plain_values
from taf.errors import GraphChangedError, NotStorableError, nearest
from taf.serialization import difference
from taf.state.channel import Op
from taf.state.execution import ExecutionStatus
from taf.state.facts import Output, Task
from taf.state.renaming import tasks_ahead
from taf.state.run import Run
from taf.state.schema import StateSchema
from taf.tuples import NamedTuple

Migration = Callable[[dict[str, Any]], Mapping[str, Any]]
"""Takes the plain values of all fields at one version, and returns those of the next. It may change what it gets."""


class Lineage(NamedTuple):
    """The version of a state model, and the migrations that lead to it, each by the version from which it leads."""

    version: int = 1
    migrations: Mapping[int, Migration] = MappingProxyType({})

    def require_known(self, thread_id: str, version: int) -> None:
        """Raise ``GraphChangedError`` for a version that is newer than this one."""
        if version > self.version:
            what = f"its state is of version {version}, and this graph knows version {self.version}"
            raise GraphChangedError(thread_id, what, "Run it with the newer graph.")

    def _require_ways(self, thread_id: str, version: int) -> None:
        self.require_known(thread_id, version)
        missing = next((v for v in range(version, self.version) if v not in self.migrations), None)
        if missing is not None:
            what = f"its state is of version {version}, and no migration leads from version {missing} to the next"
            raise GraphChangedError(thread_id, what, f"Pass it: compile(migrations={{{missing}: fn}}).")

    def migrated(self, thread_id: str, version: int, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plain values of this version. Raise ``GraphChangedError``, also for what a migration raises."""
        self._require_ways(thread_id, version)
        found: Any = deepcopy(dict(values))
        for step in range(version, self.version):
            try:
                found = self.migrations[step](found)
                if not isinstance(found, Mapping):
                    raise TypeError(f"it returned {type(found).__name__} and not a dict of fields")
            except Exception as error:  # a migration of the user's may raise anything
                what = f"the migration from version {step} failed: {error!r}"
                raise GraphChangedError(thread_id, what, "Correct the migration. Nothing was changed.") from error
            found = dict(cast("Mapping[str, Any]", found))
        return cast("dict[str, Any]", found)


class Lift:
    """Brings an untyped run into the types of a state model, by way of the form in which it would be stored."""

    def __init__(self, codec: FactCodec, untyped: UntypedCodec, lineage: Lineage) -> None:
        self._codec, self._untyped, self._lineage = codec, untyped, lineage
        self._schema: StateSchema = codec.schema

    def run(self, run: Run) -> tuple[Run, tuple[Op, ...]]:
        """Return the run as it is at the model's version, and the changes that lead there.

        Raise ``GraphChangedError``, ``Mismatch``.
        """
        before = plain_values(run)
        after = self._lineage.migrated(run.thread_id, run.edition.version, before)
        dropped = [name for name in before if name not in after]
        changed = [n for n, v in after.items() if n not in before or difference(before[n], v) is not None]
        self._require_fields(run, changed)
        found = {name: self._typed(run, name, value) for name, value in after.items() if name in self._fields(after)}
        fresh = self._schema.defaults(found)
        ops = [("set", name, found[name]) for name in changed] + [("set", name, value) for name, value in fresh.items()]
        ops += [("drop", name, None) for name in dropped if name not in fresh]
        values = self._schema.apply({}, [("set", name, value) for name, value in {**found, **fresh}.items()])
        if run.edition.version != self._lineage.version:
            self._require_untouched(run, {*changed, *dropped})
            run = self._with_overlays(run, before, after)
        run = run._replace(past=tuple(left._replace(ops=()) for left in run.past))  # of another version
        typed = self._codec.decode_run(run.thread_id, self._untyped.run(run))
        return typed._replace(values=values), tuple(ops)

    def _fields(self, names: Iterable[str]) -> set[str]:
        schema = self._schema
        return {name for name in names if name in schema.channels or schema.is_open}

    def _require_fields(self, run: Run, changed: Iterable[str]) -> None:
        known = self._fields(changed)
        lost = next((name for name in changed if name not in known), None)
        if lost is not None:
            what = f'the migrations return "{lost}", which is no field of the state model'
            cure = f"Declare it, or let them leave it out.{nearest(lost, self._schema.channels)}"
            raise GraphChangedError(run.thread_id, what, cure)

    def _typed(self, run: Run, name: str, value: Any) -> Any:
        try:
            op = self._codec.decode_op(self._untyped.op(("set", name, value)))
        except NotStorableError as refused:
            what = f'what the migrations return for field "{name}" is no plain value: {refused}'
            raise GraphChangedError(run.thread_id, what, "Let them return what JSON can hold.") from refused
        assert op is not None
        return op[2]

    @staticmethod
    def _require_untouched(run: Run, fields: set[str]) -> None:
        """What a node returned joins the state when its step is done: it is of the old version."""
        outputs: Iterable[Output] = run.details.finished.values()
        found = next(((o.node, op[1]) for o in outputs for op in o.ops if op[1] in fields), None)
        if found is not None and run.status is not ExecutionStatus.COMPLETED:
            what = f'node "{found[0]}" has returned field "{found[1]}", which is migrated, and its step is not done'
            raise GraphChangedError(run.thread_id, what, "Let the old graph finish the step.")

    def _with_overlays(self, run: Run, before: dict[str, Any], after: dict[str, Any]) -> Run:
        """Migrate what ``Send`` laid over the state: the branch sees both together."""
        if all(task.overlay is None for task in tasks_ahead(run)):
            return run

        def moved(task: Task) -> Task:
            if task.overlay is None:
                return task
            seen = self._lineage.migrated(run.thread_id, run.edition.version, {**before, **task.overlay})
            kept = {n: v for n, v in seen.items() if n not in after or difference(after[n], v) is not None}
            kept |= {name: seen[name] for name in task.overlay if name in seen}
            return task._replace(overlay=kept)

        details = run.details
        finished = {
            key: output if output.goto is None else output._replace(goto=tuple(map(moved, output.goto)))
            for key, output in details.finished.items()
        }
        details = details._replace(carried=tuple(map(moved, details.carried)), finished=finished)
        return run._replace(frontier=tuple(map(moved, run.frontier)), details=details)
