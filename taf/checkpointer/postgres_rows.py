"""The statements of the Postgres store, and what their rows mean. Names are bytes there; see the schema.

Every sibling of a data-modifying statement reads ``FROM`` the fence: one that does not would be done behind it, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import asyncpg

from taf.checkpointer.base import InterruptRow, Listing, Record, Signal, ThreadRow, cursor_of, place_of
from taf.errors import StoreCorruptError
from taf.serialization import dumps, loads

Row: TypeAlias = asyncpg.Record
T = TypeVar("T")


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

_NEWS = (
    "SELECT part, sequence, items_from, NULL::bytea AS kind, NULL::bytea AS run_id, NULL::float8 AS at, body,"
    " NULL::bytea AS items, NULL::bigint AS step FROM {{snapshots}} AS s WHERE thread = {thread} AND {after} IS NULL"
    " AND (NOT is_base OR NOT EXISTS (SELECT FROM {{snapshots}} AS o WHERE o.thread = s.thread AND NOT o.is_base))"
    " UNION ALL SELECT NULL, sequence, NULL, kind, run_id, at, body, items, step FROM {{journal}} WHERE"
    " thread = {thread} AND sequence > coalesce({after},"
    " (SELECT max(s.sequence) FROM {{snapshots}} AS s WHERE s.thread = {thread}), 0) ORDER BY part, sequence"
)
"""What a reader does not know of a thread: the records behind ``after``, or the newest snapshot and those behind it."""

RECORD_KINDS = {
    **{"sequence": "bigint", "kind": "bytea", "run_id": "bytea", "at": "float8", "body": "bytea"},
    **{"items": "bytea", "step": "bigint"},
}
"""What is given of a record."""

RECORD = f"(thread, {', '.join(RECORD_KINDS)})"
"""The columns of a journal's row, in the order in which they are given."""


class Statements:
    """All statements, for tables of one schema and prefix."""

    def __init__(self, schema: str, prefix: str) -> None:
        self.schema, self.prefix = schema, prefix
        names = ("threads", "journal", "snapshots", "interrupts", "messages", "epochs", "migrations")
        self.tables = {name: f'"{schema}".{prefix}{name}' for name in names}
        self.tables["prefix"] = prefix
        self._prepare_reading()
        self._prepare_owning()
        self._prepare_removing()

    def _prepare_reading(self) -> None:
        self.find = self.of(
            f"SELECT {STATE}, {owned_unless('$3', '$4')} AS is_owned FROM {{threads}} AS t"
            " WHERE tenant = $1 AND thread = $2"
        )
        self.base = self.of(
            "SELECT sequence, items_from, body FROM {snapshots} WHERE thread = $1 AND is_base ORDER BY part"
        )
        self.news = self.of(_NEWS.format(thread="$1", after="$2::bigint"))
        # OFFSET 0 keeps the planner from joining with all of a table, however few threads it expects.
        each = _NEWS.format(thread="w.thread", after="w.after")
        self.news_of_many = self.of(
            "SELECT w.thread, n.* FROM unnest($1::bigint[], $2::bigint[]) AS w (thread, after),"
            f" LATERAL ({each} OFFSET 0) AS n"
        )
        self.items = self.of(
            "SELECT sequence, items FROM {journal} WHERE thread = $1 AND sequence BETWEEN $2 AND $3"
            " AND items IS NOT NULL ORDER BY sequence"
        )
        self.records = self.of(
            "SELECT sequence, kind, run_id, at, body, items, step FROM {journal} WHERE thread = $1 AND sequence > $2"
            " ORDER BY sequence LIMIT $3"
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


def arrays(first: int, *kinds: str) -> str:
    """Return parameters from the number ``first`` on, as arrays of these kinds."""
    return ", ".join(f"${first + n}::{kind}[]" for n, kind in enumerate(kinds))


def rows_of(first: int, columns: Mapping[str, str], *once: str) -> str:
    """Return rows of these names and kinds, whose columns are parameters from the number ``first`` on: see ``arrays``.

    Those of ``once`` may come as ``said_once`` returns them.
    """
    chosen = [
        f"coalesce({name}, (${number}::{kind}[])[1]) AS {name}" if name in once else name
        for number, (name, kind) in enumerate(columns.items(), first)
    ]
    return f"(SELECT {', '.join(chosen)} FROM unnest({arrays(first, *columns.values())}) AS u ({', '.join(columns)}))"


def said_once(values: list[T]) -> list[T]:
    """Return a column, or the one value that all of it is: the driver takes long to look at each element of an array.

    The column must not hold None.
    """
    return values[:1] if values and values.count(values[0]) == len(values) else values
