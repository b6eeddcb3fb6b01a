"""The statements of the Postgres store, and what their rows mean. Names are bytes there; see the schema.

Every sibling of a data-modifying statement reads ``FROM`` the fence: one that does not would be done behind it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import asyncpg

from taf.checkpointer.base import Commit, InterruptRow, Listing, Record, Signal, ThreadRow, cursor_of, place_of
from taf.errors import StoreCorruptError
from taf.serialization import dumps, loads

Row: TypeAlias = asyncpg.Record


def encode_name(name: str) -> bytes:
    """Return a name as it is stored, with NUL and lone surrogates as they are."""
    return name.encode("utf-8", "surrogatepass")


def decode_name(stored: bytes) -> str:
    """Undo ``encode_name``. Raise ``ValueError`` for bytes that are no name."""
    return stored.decode("utf-8", "surrogatepass")


def _shown(stored: bytes) -> str:
    """Return a name for a listing: one bad row must not hide the others."""
    try:
        return decode_name(stored)
    except ValueError:
        return stored.decode("utf-8", "backslashreplace")


class ThreadState(NamedTuple):
    """A thread's row. ``thread`` is its number in the database; ``is_owned`` as far as the server can tell."""

    thread: int
    born: str
    head: int
    floor: int
    status: str
    run_id: str
    revision: int
    epoch: int
    is_owned: bool
    messages: int = 0
    amendments: int = 0


def state_of(row: Row, thread_id: str) -> ThreadState:
    """Read a row of ``find`` or ``claim``. Raise ``StoreCorruptError``."""
    try:
        status, run_id = decode_name(row["status"]), decode_name(row["run_id"])
    except ValueError as error:
        raise StoreCorruptError(thread_id, None, error) from error
    numbers = (row["revision"], row["epoch"], row["is_owned"], row["messages"], row["amendments"])
    return ThreadState(row["id"], row["born"], row["head"], row["floor"], status, run_id, *numbers)


def record_of(row: Row, thread_id: str) -> Record:
    """Read a row of the journal. Raise ``StoreCorruptError``."""
    try:
        kind, run_id = decode_name(row["kind"]), decode_name(row["run_id"])
    except ValueError as error:
        raise StoreCorruptError(thread_id, row["sequence"], error) from error
    return Record(row["sequence"], kind, run_id, row["at"], row["body"], row["items"], row["step"])


def interrupt_of(row: Row) -> InterruptRow:
    """Read a row of the interrupts."""
    return InterruptRow(_shown(row["id"]), _shown(row["status"]), _shown(row["node"]), row["changed"], row["body"])


def listed(row: Row, listing: Listing) -> ThreadRow:
    """Read a line of a listing."""
    name, updated = _shown(row["thread"]), row["updated"]
    facts = (_shown(row["status"]), row["head"], _shown(row["run_id"]), updated, _shown(row["graph"]), row["is_owned"])
    return ThreadRow(name, *facts, cursor_of(listing, name, updated))


def encode_signal(signal: Signal, mark: int) -> bytes:
    """Return a signal as it is stored, but for the number that the database puts before it. ``mark`` tells it apart."""
    return dumps([signal.kind, signal.run_id, signal.body.hex(), mark])


def signals_of(stored: Sequence[bytes], run_id: str) -> tuple[Signal, ...]:
    """Return what is signalled to a run, or to whoever owns the thread, oldest first.

    What cannot be read is passed over: the commit that it comes with was made, and must not look like a failure.
    """
    found = (_signal_of(one) for one in stored)
    return tuple(signal for signal in found if signal is not None and signal.run_id in ("", run_id))


def _signal_of(stored: bytes) -> Signal | None:
    try:
        kind, run_id, body, _ = loads(stored[8:])
        if type(kind) is str and type(run_id) is str:
            return Signal(kind, run_id, bytes.fromhex(body), int.from_bytes(stored[:8]))
    except (ValueError, TypeError):
        pass
    return None


_OWNED = """(t.owner IS NOT NULL AND t.lease_until > clock_timestamp() AND (t.life_lock IS NULL
    OR pg_postmaster_start_time() > clock_timestamp() - interval '3 seconds' OR EXISTS (
    SELECT FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint << 32) | l.objid::bigint = t.life_lock)))"""
"""An owner whose lease lasts and whose life-lock, if it had one, is held: the server lets go of it with the session.

Not so just after the server was started: its clients are about to come back.
"""


def owned_unless(owner: str, held: str) -> str:
    """Return when a thread is owned, for an owner who knows what it holds itself. Both are parameters."""
    return f"({_OWNED} AND (t.owner <> {owner} OR {held}))"


_READ = "id tenant thread born head floor status run_id revision epoch mark messages amendments"

STATE = ", ".join(f"t.{name}" for name in _READ.split())
"""What is read of a thread's row."""

RECORD = "(thread, sequence, kind, run_id, at, body, items, step)"
"""The columns of a journal's row, in the order in which they are given."""

_INTERRUPTS = "(thread, id, status, node, changed, body)"
_ASKED, _ASKED_ROW = "fence.id, r.id, status, node, changed, body", "id, status, node, changed, body, n"
_CHANGED = (
    "ON CONFLICT (id) DO UPDATE SET thread = excluded.thread, status = excluded.status, node = excluded.node,"
    " changed = excluded.changed, body = excluded.body"
)


class Statements:
    """All statements, for tables of one schema and prefix."""

    def __init__(self, schema: str, prefix: str) -> None:
        self.schema, self.prefix = schema, prefix
        names = ("threads", "journal", "snapshots", "interrupts", "messages", "epochs", "migrations")
        self.tables = {name: f'"{schema}".{prefix}{name}' for name in names}
        self.tables["prefix"] = prefix
        self.append, self.append_many = cache(self._append), cache(self._append_many)
        self._prepare_reading()
        self._prepare_owning()
        self._prepare_removing()

    def _prepare_reading(self) -> None:
        self.find = self.of(
            f"SELECT {STATE}, {owned_unless('$3', '$4')} AS is_owned FROM {{threads}} AS t"
            " WHERE tenant = $1 AND thread = $2"
        )
        self.snapshot = self.of(
            "SELECT sequence, items_from, body FROM {snapshots} WHERE thread = $1 AND is_base = $2 ORDER BY part"
        )
        self.items = self.of(
            "SELECT sequence, items FROM {journal} WHERE thread = $1 AND sequence BETWEEN $2 AND $3"
            " AND items IS NOT NULL ORDER BY sequence"
        )
        self.records = self.of(
            "SELECT sequence, kind, run_id, at, body, items, step FROM {journal} WHERE thread = $1 AND sequence > $2"
            " ORDER BY sequence LIMIT $3"
        )
        self.made = self.of(
            "SELECT t.mark, t.head, t.epoch, t.revision, t.owner, t.signals,"
            " (SELECT body FROM {journal} WHERE thread = t.id AND sequence = $2) AS body"
            " FROM {threads} AS t WHERE id = $1"
        )
        self.look = self.of(
            "SELECT id, tenant, thread, head, status, run_id, revision, signals, owner IS NULL AS is_released"
            " FROM {threads} WHERE (tenant, thread) IN (SELECT * FROM unnest($1::bytea[], $2::bytea[]))"
        )

    def _prepare_owning(self) -> None:
        is_owners = "id = $1 AND epoch = $2 AND owner = $3"
        self.discard = self.of(
            f"DELETE FROM {{threads}} WHERE {is_owners} AND head = 0 AND messages = 0"
            " RETURNING revision + 1 AS revision, signals"
        )
        self.sweep = self.of("DELETE FROM {threads} WHERE id = $1 AND head = 0 AND messages = 0 AND owner IS NULL")
        self.release = self.of(
            "UPDATE {threads} SET owner = NULL, life_lock = NULL, lease_until = NULL"
            f" WHERE {is_owners} RETURNING revision + 1 AS revision, signals"
        )
        self.renew = self.of(
            "UPDATE {threads} AS t SET lease_until = clock_timestamp() + r.seconds * interval '1 second',"
            " life_lock = $5 FROM unnest($1::bigint[], $2::bigint[], $3::float8[]) AS r (id, epoch, seconds)"
            " WHERE t.id = r.id AND t.epoch = r.epoch AND t.owner = $4 RETURNING t.id, t.epoch"
        )
        self.signal = self.of(
            "WITH told AS (UPDATE {threads} AS t SET revision = revision + 1,"
            " signals = array_append(signals, int8send(revision + 1) || $6::bytea)"
            f" WHERE tenant = $1 AND thread = $2 AND run_id = $5 AND {owned_unless('$3', '$4')}"
            " RETURNING id, head, status, run_id, revision, signals)"
            " SELECT told.*, pg_notify($7, id::text) FROM told"
        )

    def _prepare_removing(self) -> None:
        siblings = ("journal", "snapshots", "interrupts", "messages")
        removed = ", ".join(
            f"{name}_gone AS (DELETE FROM {{{name}}} USING gone WHERE thread = gone.id)" for name in siblings
        )
        self.delete = self.of(
            "WITH gone AS (DELETE FROM {threads} AS t WHERE tenant = $1 AND thread = $2"
            f" AND NOT {owned_unless('$3', '$4')} AND head = coalesce($5::bigint, head) RETURNING id, head),"
            f" {removed} SELECT head FROM gone"
        )
        self.cut = self.of(
            "UPDATE {threads} AS t SET floor = $6 WHERE tenant = $1 AND thread = $2 AND born = $7 AND head = $5"
            f" AND floor < $6 AND NOT {owned_unless('$3', '$4')} RETURNING id"
        )
        self.cut_records = self.of("DELETE FROM {journal} WHERE thread = $1 AND sequence < $2")
        self.cut_snapshots = self.of("DELETE FROM {snapshots} WHERE thread = $1")
        self.cut_interrupts = self.of("DELETE FROM {interrupts} WHERE thread = $1 AND id = ANY($2::bytea[])")
        self.put_snapshot = self.of(
            "INSERT INTO {snapshots} (thread, is_base, sequence, part, items_from, body)"
            " SELECT $1, $2, $3, part, $4, body FROM unnest($5::bytea[]) WITH ORDINALITY AS p (body, part)"
        )

    def of(self, statement: str) -> str:
        """Fill in the names of the tables."""
        return statement.format_map(self.tables)

    def _append_many(self, has_interrupts: bool) -> str:
        """Return the statement of many threads' commits. Seconds of a lease that are NULL release the thread."""
        given = arrays(3, *("bigint",) * 4, "bytea", "bytea", "float8", "bytea", "float8")
        records = arrays(12, "bigint", "bigint", "bytea", "bytea", "float8", "bytea", "bytea", "bigint")
        parts = [
            "WITH fence AS (UPDATE {threads} AS t SET head = g.head, status = g.status, run_id = g.run_id,"
            " updated = coalesce(g.updated, t.updated), graph = coalesce(nullif(g.graph, ''::bytea), t.graph),"
            " mark = $2, revision = t.revision + 1,"
            " owner = CASE WHEN g.seconds IS NULL THEN NULL ELSE t.owner END,"
            " life_lock = CASE WHEN g.seconds IS NULL THEN NULL ELSE t.life_lock END,"
            " lease_until = clock_timestamp() + g.seconds * interval '1 second'"
            f" FROM unnest({given}) AS g (id, epoch, expected, head, status, run_id, updated, graph, seconds)"
            " WHERE t.id = g.id AND t.epoch = g.epoch AND t.head = g.expected AND t.owner = $1"
            " RETURNING t.id, t.revision, t.signals)",
            f"journal AS (INSERT INTO {{journal}} {RECORD}"
            f" SELECT r.* FROM unnest({records}) AS r (thread) JOIN fence ON fence.id = r.thread)",
        ]
        if has_interrupts:
            asked = arrays(20, "bigint", "bytea", "bytea", "bytea", "float8", "bytea")
            parts.append(
                f"interrupts AS (INSERT INTO {{interrupts}} AS i {_INTERRUPTS} SELECT {_ASKED} FROM unnest({asked})"
                f" WITH ORDINALITY AS r (thread, {_ASKED_ROW}) JOIN fence ON fence.id = r.thread ORDER BY n"
                f" {_CHANGED})"
            )
        return self.of(", ".join(parts) + " SELECT id, revision, nullif(signals, '{{}}') AS signals FROM fence")

    # -- writing -----------------------------------------------------------------------------------

    def _append(self, records: int, has_interrupts: bool, has_snapshot: bool, takes: bool) -> str:
        """Return the statement of a commit: fence, new head, rows and release in one. See ``append_values``.

        ``records``: 0, 1, or 2 for many.
        """
        parts = [
            "WITH fence AS (UPDATE {threads} SET head = $5, status = $6, run_id = $7, updated = coalesce($8, updated),"
            " graph = coalesce(nullif($9, ''::bytea), graph), mark = $10, revision = revision + 1,"
            " owner = CASE WHEN $11 THEN NULL ELSE owner END,"
            " life_lock = CASE WHEN $11 THEN NULL ELSE life_lock END,"
            " lease_until = CASE WHEN $11 THEN NULL ELSE clock_timestamp() + $12 * interval '1 second' END"
        ]
        first = 13
        fence = " WHERE id = $1 AND epoch = $2 AND head = $3 AND owner = $4"
        if takes:
            parts[0] += f", messages = {_left_behind(first)}"
            fence += f" AND amendments = coalesce(${first + 1}::bigint, amendments)"
        parts[0] += f"{fence} RETURNING id, revision, signals)"
        if takes:
            parts.append(
                "taken AS (DELETE FROM {messages} AS m USING fence"
                f" WHERE m.thread = fence.id AND m.id = ANY(${first}::bigint[]))"
            )
            first += 2
        if records == 1:
            values = ", ".join(f"${first + n}" for n in range(7))
            parts.append(f"journal AS (INSERT INTO {{journal}} {RECORD} SELECT id, {values} FROM fence)")
        elif records:
            rows = arrays(first, "bigint", "bytea", "bytea", "float8", "bytea", "bytea", "bigint")
            parts.append(
                f"journal AS (INSERT INTO {{journal}} {RECORD} SELECT fence.id, r.* FROM fence, unnest({rows}) AS r)"
            )
        first += 7 if records else 0
        if has_interrupts:
            rows = arrays(first, "bytea", "bytea", "bytea", "float8", "bytea")
            parts.append(
                f"interrupts AS (INSERT INTO {{interrupts}} AS i {_INTERRUPTS} SELECT {_ASKED} FROM fence,"
                f" unnest({rows}) WITH ORDINALITY AS r ({_ASKED_ROW}) ORDER BY n {_CHANGED})"
            )
            first += 5
        if has_snapshot:
            parts.append(
                "gone AS (DELETE FROM {snapshots} AS s USING fence"
                f" WHERE s.thread = fence.id AND NOT s.is_base AND s.sequence <> ${first}),"
                " snapshot AS (INSERT INTO {snapshots} (thread, is_base, sequence, part, items_from, body)"
                f" SELECT fence.id, FALSE, ${first}, p.part, ${first + 1}, p.body"
                f" FROM fence, unnest(${first + 2}::bytea[]) WITH ORDINALITY AS p (body, part))"
            )
        return self.of(", ".join(parts) + " SELECT revision, signals FROM fence")

    # -- listing -----------------------------------------------------------------------------------

    def threads(self, tenant: str, listing: Listing, after: str, limit: int) -> tuple[str, list[Any]]:
        """Return the statement of a listing and its parameters. Raise ``ConfigError`` for a cursor that is none."""
        values: list[Any] = [encode_name(tenant)]
        conditions = ["tenant = $1", "head > 0"]

        def where(condition: str, *given: Any) -> None:
            places = [f"${len(values) + n}" for n in range(1, len(given) + 1)]
            conditions.append(condition.format(*places))
            values.extend(given)

        if listing.status:
            where("status = ANY({0}::bytea[])", [encode_name(status) for status in listing.status])
        if listing.graph is not None:
            where("graph = {0}", encode_name(listing.graph))
        if listing.since is not None:
            where("updated >= {0}", listing.since)
        if listing.before is not None:
            where("updated < {0}", listing.before)
        if listing.has_mail:
            where("messages > 0")
        if not listing.is_newest_first:
            where("thread > {0}", encode_name(after))
        elif after:
            updated, name = place_of(after)
            where("(updated, thread) < ({0}, {1})", updated, encode_name(name))
        order = "updated DESC, thread DESC" if listing.is_newest_first else "thread"
        values.append(limit)
        return (
            self.of(
                f"SELECT thread, status, head, run_id, updated, graph, {_OWNED} AS is_owned FROM {{threads}} AS t"
                f" WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ${len(values)}"
            ),
            values,
        )

    def interrupts(self, thread: int | None, interrupt_id: str | None, status: str | None) -> tuple[str, list[Any]]:
        """Return the statement that finds interrupts, newest first, and its parameters. None means any."""
        asked: dict[str, Any] = {"thread": thread}
        asked |= {"id": interrupt_id and encode_name(interrupt_id), "status": status and encode_name(status)}
        wanted = {name: value for name, value in asked.items() if value is not None}
        conditions = " AND ".join(f"{name} = ${n}" for n, name in enumerate(wanted, 1)) or "TRUE"
        chosen = "SELECT id, status, node, changed, body FROM {interrupts}"
        return self.of(f"{chosen} WHERE {conditions} ORDER BY number DESC"), list(wanted.values())


def _left_behind(ids: int) -> str:
    """Return how many messages wait once those of the parameter ``ids`` are taken.

    What is read of the row is read again when the fence had to wait for it; what other tables hold is not. So these
    are counted as they were, and what came since is added; when some were withdrawn since, rather one too many: one too
    few would hide a message.
    """
    was = "(SELECT o.{} FROM {{threads}} AS o WHERE o.id = $1)".format
    waiting = "(SELECT count(*) FROM {messages} AS m WHERE m.thread = $1"
    left = f"{waiting} AND m.id <> ALL(${ids}::bigint[]))"
    there = f"CASE WHEN amendments = {was('amendments')} THEN {left} ELSE {waiting}) END"
    return f"greatest(messages - {was('messages')} + {there}, 0)"


def arrays(first: int, *kinds: str) -> str:
    """Return parameters from the number ``first`` on, as arrays of these kinds."""
    return ", ".join(f"${first + n}::{kind}[]" for n, kind in enumerate(kinds))


def append_values(commit: Commit) -> tuple[tuple[int, bool, bool, bool], list[Any]]:
    """Return which form of ``Statements.append`` a commit takes, and the parameters of its rows."""
    values: list[Any] = []
    if commit.taken is not None:
        values += [list(commit.taken.ids), commit.taken.amendments]
    rows = [(r.sequence, encode_name(r.kind), encode_name(r.run_id), *r[3:]) for r in commit.records]
    if len(rows) == 1:
        values += rows[0]
    elif rows:
        values += map(list, zip(*rows, strict=True))
    if commit.interrupts:
        values += interrupt_columns(last_of_each(commit.interrupts))
    if commit.snapshot is not None:
        values += [commit.snapshot.sequence, commit.snapshot.items_from, list(commit.snapshot.parts)]
    form = (min(len(rows), 2), bool(commit.interrupts), commit.snapshot is not None, commit.taken is not None)
    return form, values


def last_of_each(interrupts: Sequence[InterruptRow]) -> Sequence[InterruptRow]:
    """Return what becomes of each interrupt: one statement cannot change a row twice."""
    return list({row.id: row for row in interrupts}.values())


def interrupt_columns(asked: Sequence[InterruptRow]) -> list[Any]:
    """Return interrupts as they are stored, a column each."""
    return [
        [encode_name(row.id) for row in asked],
        [encode_name(row.status) for row in asked],
        [encode_name(row.node) for row in asked],
        [row.changed for row in asked],
        [row.body for row in asked],
    ]
