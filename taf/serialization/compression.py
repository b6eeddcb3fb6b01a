"""JSON ⇄ fewer bytes that say the same: what rows say again and again is in a dictionary that all of them share."""

from __future__ import annotations

import zlib

COMPRESSED = b"\x82"
"""What a compressed row begins with; no JSON does, and no text. It is the version of the dictionary, too."""

LEAST, MOST = 200, 64 * 1024
"""How many bytes a row has that is compressed. It takes 10 to 25 µs, and 10 for each further kilobyte: what most plain
steps say is too short for that, and what is longer would hold up the event loop."""

_FEW = 4096
"""Up to how many bytes a row is compressed with a small window."""

# Rows are not read without it, and it lies in no store: it must never change, and another one would get a beginning of
# its own. The likeliest comes last, since what is near takes fewer bits.
_DICTIONARY = (
    rb'"is_error":false}{"type":"tool_result","call_id":"call_{"type":"tool_call","id":"call_","name":"","arguments":{"'
    rb'{"type":"media","media_type":"image/png","url":"https://","data":"[{"type":"text","text":"","role":"tool","'
    rb'false,true,null,"superseded""cancelled""rejected""expired""withdrawn""after""Paused after node \"'
    rb'["append","merge","remove","inner_id":"[["error","failed","running","completed","waiting"'
    rb'"additionalProperties":false,"anyOf":[{"type":"null"},{"type":"boolean"},{"type":"integer"},{"type":"number"}]'
    rb'"enum":["$ref":"#/$defs/"$defs":{"items":{"default":"","description":"'
    rb'"answer_schema":{"properties":{"title":"","type":"string"},"required":["],"title":"","type":"object"}'
    rb'"allowed":["respond","approve","reject"],"due_at":null,"status":"open","version":1,"path":["'
    rb'"before","","Paused before node \"\".",[[{"id":"01","thread_id":"","run_id":"01","node":"","kind":"node",'
    rb'"reason":"","created_at":["2026-01-01T00:00:00.000000+00:00",0],"data":null,"answer_schema":null,'
    rb'"allowed":["approve","reject","edit"],"due_at":null,"status":"answered","version":2,"path":[""],"task":null,'
    rb'"position":0,"inner_id":null,"answer":null,"answered_by":null,"answered_at":null},'
    rb'[[["created_at"],"datetime"],[["allowed"],"tuple"],[["path"],"tuple"],[["answered_at"],"datetime"]]]]],null,null,[]]'
    rb'["01a",[["set","",""],["set","",[["set","",0]]]],["'
    rb'[[0,"set","context",[]],[0,"append","context",[{"id":"01a","role":"system","content":"'
    rb'[[0,"append","context",[{"id":"01a","role":"user","content":"role":"assistant","content":"","name":null}]]]'
)

_HEAD = len(COMPRESSED) + 3
"""A compressed row begins with the marker and its length in full, with which nothing need be read to know it."""

# Copied for each row, with the dictionary in it. A small window is made in a fraction of the time.
_SMALL = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=-11, memLevel=4, zdict=_DICTIONARY)
_LARGE = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=-15, memLevel=8, zdict=_DICTIONARY)


def compressed(data: bytes) -> bytes:
    """Return JSON in fewer bytes, or as it is where that saves nothing."""
    if not LEAST <= len(data) <= MOST:
        return data
    deflate = (_SMALL if len(data) <= _FEW else _LARGE).copy()
    found = COMPRESSED + len(data).to_bytes(3) + deflate.compress(data) + deflate.flush()
    return found if len(found) < len(data) else data


def full_length(row: bytes) -> int:
    """Return how many bytes a row has uncompressed, as it says itself."""
    return int.from_bytes(row[1:_HEAD]) if row.startswith(COMPRESSED) else len(row)


def decompressed(row: bytes) -> bytes:
    """Undo ``compressed``. Raise ``ValueError`` for what is cut or damaged. It is never longer than it says."""
    if not row.startswith(COMPRESSED):
        return row
    inflate, length = zlib.decompressobj(-15, _DICTIONARY), full_length(row)
    try:
        data = inflate.decompress(row[_HEAD:], length + 1)
    except zlib.error as error:
        raise ValueError(f"it is damaged ({error})") from None
    if len(data) != length or not inflate.eof or inflate.unused_data:
        raise ValueError("it is damaged (its length is another)")
    return data
