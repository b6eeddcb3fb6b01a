"""Values of single fields, validated as the state model itself would: by type, constraints, options and validators."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator
from pydantic.fields import FieldInfo

from taf.serialization import adapter_of

_OPTIONS = (
    "allow_inf_nan",
    "arbitrary_types_allowed",
    "coerce_numbers_to_str",
    "regex_engine",
    "str_max_length",
    "str_min_length",
    "str_strip_whitespace",
    "str_to_lower",
    "str_to_upper",
    "strict",
    "use_enum_values",
)
"""Options of a model that say how its fields are validated."""

_set = object.__setattr__


class FieldValidation:
    """How one state model validates its fields, each alone.

    ``needs_whole`` is True when some validators can only judge the state as a whole: those of the model, and those of a
    field that look at other fields.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        found = model.__pydantic_decorators__
        self.options = cast("ConfigDict", {k: v for k, v in model.model_config.items() if k in _OPTIONS})
        self._validators = list(found.field_validators.values())
        reads_others = any(_reads_others(one) for one in self._validators)
        self.needs_whole = bool(found.model_validators or found.root_validators or found.validators) or reads_others
        self._alone = self._without_model_validators(model) if self._validators else model

    def has_own(self, name: str, field: FieldInfo) -> bool:
        """True when a field has validators or constraints of its own, which judge its whole value."""
        return bool(field.metadata) or any({name, "*"} & {*one.info.fields} for one in self._validators)

    def of(self, name: str, field: FieldInfo) -> Callable[[Any], Any]:
        """Return what validates a whole value of a field."""
        by_type = adapter_of(declared_type(field), self.options).validator.validate_python
        if not any({name, "*"} & {*one.info.fields} for one in self._validators):
            return by_type

        def validate(value: Any) -> Any:
            try:
                return self._assigned(name, value)
            except KeyError:  # a validator that looks at another field: it judges when the whole is known
                return by_type(value)

        return validate

    def _assigned(self, name: str, value: Any) -> Any:
        scratch = object.__new__(self._alone)
        _set(scratch, "__dict__", {})
        _set(scratch, "__pydantic_fields_set__", set())
        _set(scratch, "__pydantic_extra__", None)
        _set(scratch, "__pydantic_private__", None)
        self._alone.__pydantic_validator__.validate_assignment(scratch, name, value)
        return scratch.__dict__[name]

    def _without_model_validators(self, model: type[BaseModel]) -> type[BaseModel]:
        decorate: Any = field_validator
        again = {
            f"validator_{i}": decorate(*one.info.fields, mode=one.info.mode, check_fields=False)(staticmethod(one.func))
            for i, one in enumerate(self._validators)
        }
        fields: dict[str, Any] = {name: (field.annotation, field) for name, field in model.model_fields.items()}
        return create_model(model.__name__, __config__=self.options, __validators__=again, **fields)


def declared_type(field: FieldInfo, *, with_marks: bool = True) -> Any:
    """Return the type of a field, with or without the constraints and functions that were declared beside it."""
    marks = [*field.metadata] if with_marks else []
    if field.discriminator is not None:
        marks.append(Field(discriminator=field.discriminator))
    return Annotated[field.annotation, *marks] if marks else field.annotation


def _reads_others(validator: Any) -> bool:
    """True when a field validator takes pydantic's ``info``, which shows it the other fields."""
    own = 2 if validator.info.mode == "wrap" else 1
    try:
        parameters = signature(validator.func).parameters.values()
    except (TypeError, ValueError):
        return True
    return sum(one.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD) for one in parameters) > own
