"""What a node sees: the state as its model, whose mutable fields are copied when they are first read.

A view is made for every node call, so making one costs a microsecond whatever the state holds. A node may change
it as it likes: the thread's own values stay as they were until something is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict

from taf.state.growing import Growing

if TYPE_CHECKING:
    from taf.state.schema import StateSchema

_set = object.__setattr__


class _CopyOnRead:
    """A field of a view. A data descriptor, so it comes before the instance's ``__dict__``."""

    def __init__(self, name: str, detach: Callable[[Any], Any]) -> None:
        self.name, self.detach = name, detach

    def __get__(self, view: Any, owner: type | None = None) -> Any:
        if view is None:
            return self
        fields: dict[str, Any] = view.__dict__
        try:
            value = fields[self.name]
        except KeyError:
            raise AttributeError(f"{type(view).__name__!r} object has no value for {self.name!r} yet") from None
        if type(value) is Growing or value is view._taf_base.get(self.name):
            value = fields[self.name] = self.detach(value)
        return value

    def __set__(self, view: Any, value: Any) -> None:
        view.__dict__[self.name] = value

    def __delete__(self, view: Any) -> None:
        del view.__dict__[self.name]


class ViewMethods:
    """What reads a model as a whole has to see plain, detached values first."""

    __slots__ = ()

    def _taf_detach(self) -> Any:
        view = cast("Any", self)
        for name in type(view).model_fields:
            if name in view.__dict__:
                getattr(view, name)
        for name in view.__pydantic_extra__ or ():
            getattr(view, name)
        return view

    def __getattr__(self, name: str) -> Any:
        extra: dict[str, Any] | None = object.__getattribute__(self, "__pydantic_extra__")
        if extra is not None and name in extra:
            value = extra[name]
            base: Mapping[str, Any] = object.__getattribute__(self, "_taf_base")
            if value is base.get(name):
                from taf.state.copying import copy_value

                value = extra[name] = copy_value(value)
            return value
        return cast("Any", super()).__getattr__(name)

    @property
    def model_extra(self) -> dict[str, Any] | None:
        return cast("dict[str, Any] | None", self._taf_detach().__pydantic_extra__)

    def model_dump(self, **options: Any) -> dict[str, Any]:
        self._taf_detach()
        return cast("Any", super()).model_dump(**options)

    def model_dump_json(self, **options: Any) -> str:
        self._taf_detach()
        return cast("Any", super()).model_dump_json(**options)

    def model_copy(self, **options: Any) -> Any:
        copied = cast("Any", super()).model_copy(**options)
        _set(copied, "_taf_base", self._taf_base)  # type: ignore[attr-defined]
        return copied

    def __copy__(self) -> Any:
        copied = cast("Any", super()).__copy__()
        _set(copied, "_taf_base", self._taf_base)  # type: ignore[attr-defined]
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        self._taf_detach()
        copied = cast("Any", super()).__deepcopy__(memo)
        _set(copied, "_taf_base", self._taf_base)  # type: ignore[attr-defined]
        return copied

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        self._taf_detach()
        return cast("Any", super()).__iter__()

    def __repr_args__(self) -> Any:
        self._taf_detach()
        return cast("Any", super()).__repr_args__()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BaseModel):
            return NotImplemented
        return parts(self._taf_detach()) == parts(other)

    __hash__ = None  # type: ignore[assignment]


def parts(model: BaseModel) -> dict[str, Any]:
    """Return all values of a model, declared and extra, as they are kept."""
    return {**model.__dict__, **(model.__pydantic_extra__ or {})}


class ViewFactory:
    """Makes views of one state model."""

    def __init__(self, schema: StateSchema) -> None:
        model = schema.model
        config = ConfigDict(extra=model.model_config.get("extra", "ignore"))
        namespace = {
            "__module__": model.__module__,
            "__qualname__": model.__qualname__,
            "__doc__": model.__doc__,
            "__slots__": ("_taf_base",),
            "model_config": ConfigDict(extra="allow") if schema.is_open else config,
        }
        self.type = cast("type[BaseModel]", type(model)(model.__name__, (ViewMethods, model), namespace))
        for channel in schema.channels.values():
            if channel.copy is not None or channel.is_list:
                type.__setattr__(self.type, channel.name, _CopyOnRead(channel.name, channel.detached))
        self._fields = frozenset(model.model_fields)
        self._private = {
            name: private
            for name, private in model.__private_attributes__.items()
            if name not in ("_meta", "_ask")
        }
        self._has_meta = "_meta" in model.__private_attributes__
        self._is_open = schema.is_open

    def __call__(self, values: Mapping[str, Any], meta: Any) -> Any:
        """Return a view of ``values``; ``meta`` is what says how the thread stands."""
        view = object.__new__(self.type)
        private: dict[str, Any] = {"_meta": meta, "_ask": None} if self._has_meta else {}
        for name, attribute in self._private.items():
            private[name] = attribute.get_default()
        if self._is_open:
            fields = self._fields
            _set(view, "__dict__", {name: value for name, value in values.items() if name in fields})
            extra = {name: value for name, value in values.items() if name not in fields}
        else:
            _set(view, "__dict__", dict(values))
            extra = None
        _set(view, "__pydantic_fields_set__", set(values))
        _set(view, "__pydantic_extra__", extra)
        _set(view, "__pydantic_private__", private or None)
        _set(view, "_taf_base", values)
        return view
