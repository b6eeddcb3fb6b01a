"""Names that a package loads when they are first asked for: who does not use them does not pay for them at import."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def loads_lazily(package: str, files: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package. ``files``: names, each with the module that has it.

    A module is one of the package, or (with a dot in it) named in full.
    """
    own = vars(sys.modules[package])

    def load(name: str) -> Any:
        if name not in files:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        file = files[name]
        found = own[name] = getattr(import_module(file if "." in file else f"{package}.{file}"), name)
        return found

    def names() -> list[str]:
        return sorted({*own, *files})

    return load, names
