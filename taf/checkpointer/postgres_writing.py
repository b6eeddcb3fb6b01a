"""The statements of commits, and the parameters that they take.

Every commit gives the same of its thread, as values or, together with others, as columns: owner and mark come first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

from taf.checkpointer.base import Commit, InterruptRow, Record
from taf.checkpointer.postgres_pulse import Lease
from taf.checkpointer.postgres_rows import RECORD, RECORD_KINDS, arrays, encode_name, rows_of, said_once

Form: TypeAlias = tuple[int, bool, bool, bool]
"""What a commit has: records (0, 1, or 2 for many), interrupts, a snapshot, and messages that it takes."""

_HEAD = {
    **{"id": "bigint", "epoch": "bigint", "expected": "bigint", "head": "bigint", "status": "bytea"},
    **{"run_id": "bytea", "updated": "float8", "graph": "bytea", "seconds": "float8"},
}
"""What is given of a thread. A lease of less than no seconds releases it."""

_INTERRUPT = {"id": "bytea", "status": "bytea", "node": "bytea", "changed": "float8", "body": "bytea"}

_MOVED = (
    "head = {head}, status = {status}, run_id = {run_id}, updated = coalesce({updated}, t.updated),"
    " graph = coalesce(nullif({graph}, ''::bytea), t.graph), mark = $2, revision = t.revision + 1,"
    " owner = CASE WHEN {seconds} >= 0 THEN t.owner END, life_lock = CASE WHEN {seconds} >= 0 THEN t.life_lock END,"
    " lease_until = CASE WHEN {seconds} >= 0 THEN clock_timestamp() + {seconds} * interval '1 second' END"
)
_IS_OWNERS = "t.id = {id} AND t.epoch = {epoch} AND t.head = {expected} AND t.owner = $1"
_FENCED = "RETURNING t.id, t.run_id, t.revision, nullif(t.signals, '{{}}') AS signals)"


class CommitStatements:
    """The statements that write what the owner of a thread commits."""

    def __init__(self, of: Callable[[str], str]) -> None:
        self._of = of
        self.append, self.append_many = cache(self._append), cache(self._append_many)
        self.made = of(
            "SELECT t.mark, t.head, t.epoch, t.revision, t.owner, t.signals,"
            " (SELECT body FROM {journal} WHERE thread = t.id AND sequence = $2) AS body"
            " FROM {threads} AS t WHERE id = $1"
        )

    def _append(self, records: int, has_interrupts: bool, has_snapshot: bool, takes: bool) -> str:
        """Return the statement of a commit of this form: fence, new head, rows and release in one."""
        given = {name: f"${n}::{kind}" for n, (name, kind) in enumerate(_HEAD.items(), 3)}
        moved, is_owners, first = _MOVED.format(**given), _IS_OWNERS.format(**given), 3 + len(_HEAD)
        parts: list[str] = []
        if takes:
            moved += f", messages = {_left_behind(first)}"
            is_owners += f" AND t.amendments = coalesce(${first + 1}::bigint, t.amendments)"
            parts.append(
                "taken AS (DELETE FROM {messages} AS m USING fence"
                f" WHERE m.thread = fence.id AND m.id = ANY(${first}::bigint[]))"
            )
            first += 2
        if records == 1:
            values = ", ".join(f"${first + n}" for n in range(len(RECORD_KINDS)))
            parts.append(f"journal AS (INSERT INTO {{journal}} {RECORD} SELECT id, {values} FROM fence)")
        elif records:
            parts.append(f"journal AS ({recorded(first)})")
        first += len(RECORD_KINDS) if records else 0
        if has_interrupts:
            parts.append(f"interrupts AS ({asked(first)})")
            first += len(_INTERRUPT)
        if has_snapshot:
            parts.append(
                "gone AS (DELETE FROM {snapshots} AS s USING fence"
                f" WHERE s.thread = fence.id AND NOT s.is_base AND s.sequence <> ${first}),"
                " snapshot AS (INSERT INTO {snapshots} (thread, is_base, sequence, part, items_from, body)"
                f" SELECT fence.id, FALSE, ${first}, p.part, ${first + 1}, p.body"
                f" FROM fence, unnest(${first + 2}::bytea[]) WITH ORDINALITY AS p (body, part))"
            )
        return self._statement(f"SET {moved} WHERE {is_owners}", parts)

    def _append_many(self, has_interrupts: bool) -> str:
        """Return the statement of many threads' commits, which have records or interrupts and nothing else."""
        given = {name: f"g.{name}" for name in _HEAD}
        first = 3 + len(_HEAD)
        rows = f"{rows_of(first, {'thread': 'bigint', **RECORD_KINDS}, 'kind')} AS r JOIN fence ON fence.id = r.thread"
        given_or_not = {"run_id": "coalesce(r.run_id, fence.run_id)"}
        chosen = ", ".join(given_or_not.get(name, f"r.{name}") for name in RECORD_KINDS)
        parts = [f"journal AS (INSERT INTO {{journal}} {RECORD} SELECT r.thread, {chosen} FROM {rows})"]
        if has_interrupts:
            rows = f"unnest({arrays(first + 1 + len(RECORD_KINDS), 'bigint', *_INTERRUPT.values())})"
            rows += f" WITH ORDINALITY AS r (thread, {', '.join(_INTERRUPT)}, n) JOIN fence ON fence.id = r.thread"
            parts.append(f"interrupts AS ({_asked(rows)})")
        heads = f"{rows_of(3, _HEAD, 'status', 'graph', 'seconds')} AS g"
        return self._statement(f"SET {_MOVED.format(**given)} FROM {heads} WHERE {_IS_OWNERS.format(**given)}", parts)

    def _statement(self, moved: str, parts: Sequence[str]) -> str:
        fence = f"WITH fence AS (UPDATE {{threads}} AS t {moved} {_FENCED}"
        return self._of(f"{', '.join([fence, *parts])} SELECT id, revision, signals FROM fence")


def recorded(first: int) -> str:
    """Return what writes records into the thread of the fence, given from the parameter ``first`` on."""
    rows = f"unnest({arrays(first, *RECORD_KINDS.values())}) AS r"
    return f"INSERT INTO {{journal}} {RECORD} SELECT fence.id, r.* FROM fence, {rows}"


def asked(first: int) -> str:
    """Return what writes interrupts of the thread of the fence, given from the parameter ``first`` on."""
    rows = f"unnest({arrays(first, *_INTERRUPT.values())})"
    return _asked(f"fence, {rows} WITH ORDINALITY AS r ({', '.join(_INTERRUPT)}, n)")


def _asked(rows: str) -> str:
    """Return the same for rows ``r`` that are joined to the fence."""
    columns = ", ".join(_INTERRUPT)
    changes = ", ".join(f"{name} = excluded.{name}" for name in ("thread", *_INTERRUPT) if name != "id")
    return (
        f"INSERT INTO {{interrupts}} (thread, {columns})"
        f" SELECT fence.id, {', '.join(f'r.{name}' for name in _INTERRUPT)} FROM {rows} ORDER BY r.n"
        f" ON CONFLICT (id) DO UPDATE SET {changes}"
    )


def _left_behind(ids: int) -> str:
    """Return how many messages wait once those of the parameter ``ids`` are taken.

    What is read of the row is read again when the fence had to wait for it; what other tables hold is not. So these
    are counted as they were, and what came since is added; when some were withdrawn since, rather one too many: one too
    few would hide a message.
    """
    was = "(SELECT o.{} FROM {{threads}} AS o WHERE o.id = $3)".format
    waiting = "(SELECT count(*) FROM {messages} AS m WHERE m.thread = $3"
    left = f"{waiting} AND m.id <> ALL(${ids}::bigint[]))"
    there = f"CASE WHEN t.amendments = {was('amendments')} THEN {left} ELSE {waiting}) END"
    return f"greatest(t.messages - {was('messages')} + {there}, 0)"


# -- parameters ------------------------------------------------------------------------------------


def values_of(lease: Lease, commit: Commit) -> tuple[Form, list[Any]]:
    """Return which form of ``CommitStatements.append`` a commit takes, and its parameters behind owner and mark."""
    records, values = commit.records, [*_head(lease, commit)]
    if commit.taken is not None:
        values += [list(commit.taken.ids), commit.taken.amendments]
    if len(records) == 1:
        values += _record(records[0])
    elif records:
        values += record_columns(records)
    if commit.interrupts:
        values += interrupt_columns(commit.interrupts)
    if commit.snapshot is not None:
        values += [commit.snapshot.sequence, commit.snapshot.items_from, list(commit.snapshot.parts)]
    form = (min(len(records), 2), bool(commit.interrupts), commit.snapshot is not None, commit.taken is not None)
    return form, values


def columns_of(leases: Sequence[Lease], commits: Sequence[Commit]) -> tuple[bool, list[Any]]:
    """Return whether there are interrupts, and the parameters of ``CommitStatements.append_many``.

    No row is put together in between: short lives by the thousand are what the garbage collector counts.
    """
    threads = [lease.thread for lease, commit in zip(leases, commits, strict=True) for _ in commit.records]
    records = [record for commit in commits for record in commit.records]
    has_others = any([record.run_id != commit.run_id for commit in commits for record in commit.records])
    values = [
        *([lease.thread for lease in leases], [commit.epoch for commit in commits]),
        [commit.expected for commit in commits],
        [commit.records[-1].sequence if commit.records else commit.expected for commit in commits],
        [encode_name(status) for status in said_once([commit.status for commit in commits])],
        [encode_name(commit.run_id) for commit in commits],
        [commit.records[-1].at if commit.records else None for commit in commits],
        [encode_name(graph) for graph in said_once([commit.graph for commit in commits])],
        said_once([_seconds(lease, commit) for lease, commit in zip(leases, commits, strict=True)]),
        *(threads, [record.sequence for record in records]),
        [encode_name(kind) for kind in said_once([record.kind for record in records])],
        [encode_name(record.run_id) for record in records] if has_others else [],
        *([record.at for record in records], [record.body for record in records]),
        [record.items for record in records] if any([record.items is not None for record in records]) else [],
        [record.step for record in records],
    ]
    has_interrupts = any([commit.interrupts for commit in commits])
    if has_interrupts:
        asked = [_last_of_each(commit.interrupts) for commit in commits]
        values.append([lease.thread for lease, rows in zip(leases, asked, strict=True) for _ in rows])
        values += _interrupts([row for rows in asked for row in rows])
    return has_interrupts, values


def _head(lease: Lease, commit: Commit) -> tuple[Any, ...]:
    _, epoch, expected, records, status, run_id, _, _, _, graph, _ = commit
    head, at = (records[-1].sequence, records[-1].at) if records else (expected, None)
    names = (encode_name(status), encode_name(run_id))
    return (lease.thread, epoch, expected, head, *names, at, encode_name(graph), _seconds(lease, commit))


def _seconds(lease: Lease, commit: Commit) -> float:
    return -1.0 if commit.is_release else lease.seconds


def _record(record: Record) -> tuple[Any, ...]:
    sequence, kind, run_id, *rest = record
    return (sequence, encode_name(kind), encode_name(run_id), *rest)


def record_columns(records: Sequence[Record]) -> list[list[Any]]:
    """Return records as they are stored, a column each."""
    return [*map(list, zip(*map(_record, records), strict=True))]


def interrupt_columns(interrupts: Sequence[InterruptRow]) -> list[list[Any]]:
    """Return what becomes of interrupts as it is stored, a column each."""
    return _interrupts(_last_of_each(interrupts))


def _interrupts(rows: Sequence[InterruptRow]) -> list[list[Any]]:
    return [
        [encode_name(row.id) for row in rows],
        [encode_name(row.status) for row in rows],
        [encode_name(row.node) for row in rows],
        [row.changed for row in rows],
        [row.body for row in rows],
    ]


def _last_of_each(interrupts: Sequence[InterruptRow]) -> Sequence[InterruptRow]:
    """Return what becomes of each interrupt: one statement cannot change a row twice."""
    return list({row.id: row for row in interrupts}.values())
