"""Python values ⇄ JSON bytes, without ever naming code.

Two layers. ``pack`` and ``unpack`` know a closed list of value types and note as marks what plain JSON cannot tell
apart (a tuple from a list, a Decimal from a text). A ``Codec`` adds a declared type on top: models, enums and
dataclasses go through pydantic by their declared type, never by a name found in the data.

A value that would not come back as it went in is refused when it is produced, with its path. Private attributes of
models are no data: they are not stored.
"""

from taf.serialization.codec import Codec, adapter_of, first_fault, is_exact, place_of_fault
from taf.serialization.comparison import difference, model_parts
from taf.serialization.compression import LEAST, compressed, decompressed, full_length
from taf.serialization.packing import MAX_DEPTH, Mark, Path, dotted, pack, unpack
from taf.serialization.rows import ENCRYPTED, MAX_ROW_BYTES, SHORT, dumps, is_bounded, loads

__all__ = [
    "ENCRYPTED",
    "LEAST",
    "MAX_DEPTH",
    "MAX_ROW_BYTES",
    "SHORT",
    "Codec",
    "Mark",
    "Path",
    "adapter_of",
    "compressed",
    "decompressed",
    "difference",
    "dotted",
    "dumps",
    "first_fault",
    "full_length",
    "is_bounded",
    "is_exact",
    "loads",
    "model_parts",
    "pack",
    "place_of_fault",
    "unpack",
]
