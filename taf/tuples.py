"""``typing.NamedTuple`` for classes that are made at each import: it takes their annotations as they are written.

The one of ``typing`` compiles and checks every annotation of every class, which is most of what such a class costs; and
its ``_replace`` looks for every field among the changes, instead of the other way around.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

__all__ = ["NamedTuple", "quick_tuple"]

quick_tuple = cast("Callable[[type, tuple[Any, ...]], Any]", vars(tuple)["__new__"])
"""What a named tuple's own constructor comes to, at a third of its cost: for those that every run or step makes."""

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
            for key, value in {**body, "_replace": replacing(fields)}.items():
                setattr(made, key, value)
            return made

    def replacing(fields: Iterable[str]) -> Callable[..., Any]:
        """Return the ``_replace`` of a named tuple with these fields."""
        places = {name: place for place, name in enumerate(fields)}

        def _replace(self: Any, /, **changes: Any) -> Any:
            row = [*self]
            for name, value in changes.items():
                if name not in places:
                    raise ValueError(f"Got unexpected field names: {[n for n in changes if n not in places]!r}")
                row[places[name]] = value
            return tuple.__new__(self.__class__, row)

        return _replace

    class NamedTuple(metaclass=Unchecked):
        """What is derived from: it is no base of what is made."""
