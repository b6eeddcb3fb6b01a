"""The fold of a journal ⇄ the rows of a snapshot. Lists that only grew are left out: the journal's items hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from taf.checkpointer.base import Snapshot
from taf.checkpointer.encoding import FactCodec
from taf.errors import NotStorableError
from taf.serialization import dumps, loads
from taf.state.growing import Growing
from taf.state.run import Run

CHUNK_BYTES = 1024 * 1024
"""About how large the parts of a snapshot are."""


class SnapshotCodec:
    """Takes snapshots of threads of one state model, and restores threads from them."""

    def __init__(self, codec: FactCodec) -> None:
        self._codec, self._schema = codec, codec.schema

    def restore(self, thread_id: str, snapshot: Snapshot, items: Sequence[tuple[int, bytes]]) -> Run:
        """Return the run of a snapshot. Raise ``Mismatch`` where the model has changed, another error for bad rows."""
        head, references = loads(snapshot.parts[0])
        values = self._schema.apply({}, ())
        for part in snapshot.parts[1:]:
            values = self._schema.apply(values, self._codec.decode_ops(loads(part)))
        channels = self._schema.channels
        origins: dict[str, int] = {name: origin for name, origin in references.items() if name in channels}
        grown = self._grown(origins, items)
        lists = {n: Growing(found, origins[n]) if channels[n].is_list else found for n, found in grown.items()}
        return self._codec.decode_run(thread_id, head)._replace(values={**values, **lists})

    def _grown(self, origins: Mapping[str, int], items: Sequence[tuple[int, bytes]]) -> dict[str, Any]:
        """Return lists that began with the record of their origin, and only grew since."""
        lists: dict[str, Any] = {}
        for sequence, body in items:
            for _, *stored in loads(body):
                name = stored[1]
                if sequence < origins.get(name, sequence + 1):
                    continue
                op = self._codec.decode_op(stored)
                if op is not None and op[0] == "set":  # what came before it in that record was replaced
                    lists[name] = op[2]
                elif op is not None and op[0] == "append":
                    lists.setdefault(name, []).extend(op[2])
                elif sequence > origins[name]:
                    raise ValueError(f"a list that only grew has a change of kind {stored[0]!r}")
        if lists.keys() != origins.keys():
            raise ValueError(f"the items of {sorted(origins.keys() - lists.keys())} are missing")
        return lists

    def take(self, run: Run) -> Snapshot:
        """Return the fold as it is to be stored beside the journal. Raise ``NotStorableError``."""
        references: dict[str, int] = {}
        parts: list[bytes] = []
        for name, value in run.values.items():
            if isinstance(value, Growing) and value.origin is not None:
                references[name] = value.origin
            else:
                parts.extend(self._chunks(name, value))
        head = self._codec.to_row([self._codec.run(run), references])
        return Snapshot(run.sequence, min(references.values(), default=None), (head, *parts))

    def _chunks(self, name: str, value: Any) -> Iterable[bytes]:
        """Yield a value in rows of a bounded size: what grew item by item may be larger than one row holds."""
        if isinstance(value, Growing):
            yield self._codec.to_row([self._codec.op(("set", name, []))])
            yield from self._portions("append", name, value.to_list())
        elif _is_dict(value) and self._schema.channel(name).style == "merge":
            yield self._codec.to_row([self._codec.op(("set", name, {}))])
            yield from self._portions("merge", name, list(value.items()))
        else:
            yield self._codec.to_row([self._codec.op(("set", name, value))])

    def _portions(self, kind: str, name: str, items: list[Any]) -> Iterable[bytes]:
        start, step = 0, 64
        while start < len(items):
            portion = items[start : start + step]
            try:
                body = dumps([self._codec.op((kind, name, dict(portion) if kind == "merge" else portion))])
            except NotStorableError:
                if step == 1:
                    raise
                step = 1
                continue
            yield self._codec.shortened(body)
            start += step
            step = max(1, min(len(items), step * CHUNK_BYTES // max(len(body), 1)))


def _is_dict(value: object) -> bool:
    return type(value) is dict
