"""All graphs over one model share what was read of it."""

from __future__ import annotations

import gc
import weakref

import pytest
from pydantic import BaseModel

from taf.errors import InvalidUpdateError
from taf.state.schemas import schema_of


def test_graphs_over_one_model_share_its_schema() -> None:
    class Shared(BaseModel):
        a: int = 0

    class Other(Shared):
        """Inherits the field, and nothing of what was read."""

    first, second = schema_of(Shared), schema_of(Shared)
    assert first is second
    assert schema_of(Other).model is Other


def test_a_model_that_was_rebuilt_is_read_anew() -> None:
    class Rebuilt(BaseModel):
        a: int = 0

    before = schema_of(Rebuilt)
    Rebuilt.model_fields["a"].annotation = str
    assert Rebuilt.model_rebuild(force=True)
    after = schema_of(Rebuilt)
    assert after.wanted({"a": "x"}, "N returned") == [("set", "a", "x")]
    with pytest.raises(InvalidUpdateError):
        before.wanted({"a": "x"}, "N returned")
    assert schema_of(Rebuilt) is after


def test_a_schema_keeps_no_model_alive() -> None:
    class Gone(BaseModel):
        a: int = 0

    model = weakref.ref(Gone)
    schema_of(Gone)
    del Gone
    gc.collect()  # the schema
    gc.collect()  # the model
    assert model() is None
