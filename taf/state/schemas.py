"""The schemas that are in use, one for each state model: reading a model costs milliseconds, as pydantic is asked."""

from __future__ import annotations

from typing import cast
from weakref import WeakValueDictionary

from pydantic import BaseModel

from taf.state.schema import StateSchema

_in_use: WeakValueDictionary[type, StateSchema] = WeakValueDictionary()


def schema_of(model: type[BaseModel]) -> StateSchema:
    """Return the schema of a model: that of another graph over it, if pydantic has not rebuilt the model since."""
    found = _in_use.get(model) if isinstance(cast("object", model), type) else None
    if found is None or found.read_from is not model.__pydantic_validator__:
        found = _in_use[model] = StateSchema(model)
    return found
