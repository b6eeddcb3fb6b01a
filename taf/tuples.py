"""``typing.NamedTuple`` for classes that are made at each import: it takes their annotations as they are written.

The one of ``typing`` compiles and checks every annotation of every class, which is most of what such a class costs.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple"]

if TYPE_CHECKING:
    from typing import NamedTuple
else:

    class Unchecked(type):
        """Makes a class statement a named tuple, with the methods and constants of its body."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = body.get("__annotations__", {})
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for key, value in body.items():
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=Unchecked):
        """What is derived from: it is no base of what is made."""
