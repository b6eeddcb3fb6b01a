"""What a node sees: the state as its model, whose mutable fields are copied when they are first read.

A view is made for every node call, so making one costs a microsecond whatever the state holds. A node may change
it as it likes: the thread's own values stay as they were until something is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict

from taf.state.agent_state import Ask
from taf.state.channel import Channel
from taf.state.copying import copy_value
from taf.state.growing import Growing
from taf.tuples import NamedTuple

_new, _set = object.__new__, object.__setattr__


def _slot(name: str) -> tuple[Callable[[Any], Any], Callable[[Any, Any], None]]:
    """Return what reads and what writes a slot of a model, past the properties by which a view guards it."""
    slot = vars(BaseModel)[name]
    return slot.__get__, slot.__set__


_read_fields, _put_fields = _slot("__dict__")
_fields_of = cast("Callable[[Any], dict[str, Any]]", _read_fields)
_read_extras, _put_extras = _slot("__pydantic_extra__")
_read_private, _put_private = _slot("__pydantic_private__")
_read_given, _put_given = _slot("__pydantic_fields_set__")


def _extras_of(model: Any) -> dict[str, Any] | None:
    """Return the undeclared values of a model. A view of a closed model gets no such slot before it is asked for."""
    try:
        return cast("dict[str, Any] | None", _read_extras(model))
    except AttributeError:
        return None


def parts(model: BaseModel) -> dict[str, Any]:
    """Return all values of a model, declared and extra, as they are kept."""
    known = type(model).model_fields
    return {name: value for name, value in _fields_of(model).items() if name in known} | (_extras_of(model) or {})


class _CopyOnRead:
    """A field of a view. A data descriptor, so it comes before the instance's own values."""

    def __init__(self, name: str, detach: Callable[[Any], Any]) -> None:
        self.name, self.detach = name, detach

    def __get__(self, view: Any, owner: type | None = None) -> Any:
        if view is None:
            return self
        fields = _fields_of(view)
        try:
            value = fields[self.name]
        except KeyError:
            raise AttributeError(f"{type(view).__name__!r} object has no value for {self.name!r} yet") from None
        if type(value) is Growing or value is view._taf_base.get(self.name):
            value = fields[self.name] = self.detach(value)
        return value

    def __set__(self, view: Any, value: Any) -> None:
        _fields_of(view)[self.name] = value

    def __delete__(self, view: Any) -> None:
        del _fields_of(view)[self.name]


def _detached_fields(view: Any) -> dict[str, Any]:
    fields, kind = _fields_of(view), cast("_Kind", view._taf_kind)
    for name in kind.copied:
        if name in fields:
            getattr(view, name)
    return fields


def _given(view: Any) -> set[str]:
    """Return the names that count as given: at first all that have a value."""
    try:
        return cast("set[str]", _read_given(view))
    except AttributeError:
        names = {*_fields_of(view), *(_extras_of(view) or ())}
        _put_given(view, names)
        return names


def _private_of(view: Any) -> dict[str, Any] | None:
    """Return the private attributes of a view, if it has any."""
    try:
        return cast("dict[str, Any] | None", _read_private(view))
    except AttributeError:
        return None


def asked_of(view: Any) -> Ask | None:
    """Return what a node asked for by ``set_interrupt``. Read directly: a private attribute costs a microsecond."""
    private = _private_of(view)
    return private["_ask"] if private is not None and "_ask" in private else None


def _detached_extras(view: Any) -> dict[str, Any] | None:
    extras = _extras_of(view)
    for name in extras or ():
        _detached_extra(view, name, extras)
    return extras


def _detached_extra(view: Any, name: str, extras: Any) -> Any:
    value = extras[name]
    if value is view._taf_base.get(name):
        value = extras[name] = copy_value(value)
    return value


class _Kind(NamedTuple):
    """What all views of a model have in common."""

    model: type[BaseModel]
    copied: tuple[str, ...]
    settable: frozenset[str]
    private: frozenset[str]


class ViewMethods:
    """What a view does otherwise than its model."""

    __slots__ = ()
    _taf_kind: ClassVar[_Kind]

    def __getattr__(self, name: str) -> Any:
        extras = _extras_of(self)
        if extras is not None and name in extras:
            return _detached_extra(self, name, extras)
        return cast("Any", super()).__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._taf_kind.settable:
            _fields_of(self)[name] = value
        else:
            super().__setattr__(name, value)

    def __copy__(self) -> Any:
        view = cast("Any", self)
        copied: Any = object.__new__(type(self))
        extras = _extras_of(view)
        _put_fields(copied, {**_fields_of(view)})
        _put_extras(copied, None if extras is None else {**extras})
        _put_given(copied, {*_given(view)})
        private = _private_of(view)
        _put_private(copied, private and {**private})
        _set(copied, "_taf_base", view._taf_base)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        copied = self.__copy__()
        _put_fields(copied, {name: copy_value(value) for name, value in self.__dict__.items()})
        _put_extras(copied, copy_value(copied.__pydantic_extra__))
        private = _private_of(copied) or {}
        for name in self._taf_kind.private & private.keys():
            private[name] = deepcopy(private[name], memo)
        return copied

    def __eq__(self, other: object) -> bool:
        model = self._taf_kind.model
        if model.__eq__ is not BaseModel.__eq__:
            return model.__eq__(cast("BaseModel", self), other)
        return isinstance(other, model) and _plain_parts(self) == _plain_parts(other)

    __hash__ = None  # type: ignore[assignment]


def _plain_parts(model: Any) -> dict[str, Any]:
    _ = model.__dict__, model.__pydantic_extra__  # detaches, when it is a view
    return parts(model)


class ViewFactory:
    """Makes views of one state model."""

    def __init__(self, model: type[BaseModel], channels: Mapping[str, Channel], *, is_open: bool) -> None:
        config = ConfigDict(extra="allow" if is_open else model.model_config.get("extra", "ignore"))
        namespace: dict[str, Any] = {
            "__module__": model.__module__,
            "__qualname__": model.__qualname__,
            "__doc__": model.__doc__,
            "__slots__": ("_taf_base",),
            # Pydantic asks by these for all values at once; whoever reads one attribute goes past them.
            "__dict__": property(_detached_fields, _put_fields),
            "__pydantic_extra__": property(_detached_extras, _put_extras),
            "__pydantic_fields_set__": property(_given, _put_given),
            "__pydantic_private__": property(_private_of, _put_private),
            "model_config": config,
        }
        make = cast("Callable[..., type[BaseModel]]", type(model))
        self.type = make(model.__name__, (ViewMethods, model), namespace)
        copied = {n: channel for n, channel in channels.items() if channel.copy is not None or channel.is_list}
        for name, channel in copied.items():
            type.__setattr__(self.type, name, _CopyOnRead(name, channel.detached))
        private = {n: a for n, a in model.__private_attributes__.items() if n not in ("_meta", "_ask")}
        kind = _Kind(model, tuple(copied), _settable(model), frozenset(private))
        type.__setattr__(self.type, "_taf_kind", kind)
        # Of a model with nothing but the private attributes: it knows how to make them.
        self._private = make(f"{model.__name__}Private", (BaseModel,), {**private}) if private else None
        self._has_meta = "_meta" in model.__private_attributes__
        self._is_open = is_open
        self._fields = frozenset(model.model_fields)
        self._has_more = is_open or self._has_meta or self._private is not None
        self._put_base: Callable[[Any, Mapping[str, Any]], None] = vars(self.type)["_taf_base"].__set__

    def make(self, values: Mapping[str, Any], meta: Any) -> Any:
        """Return a view of ``values``; ``meta`` is what says how the thread stands."""
        view: Any = _new(self.type)
        _put_fields(view, {**values})
        self._put_base(view, values)
        if self._has_more:
            self._complete(view, values, meta)
        return view

    def _complete(self, view: Any, values: Mapping[str, Any], meta: Any) -> None:
        """Add what only some states have: undeclared values and private attributes."""
        if self._is_open:
            fields = self._fields
            _put_fields(view, {name: value for name, value in values.items() if name in fields})
            _put_extras(view, {name: value for name, value in values.items() if name not in fields})
        private = {"_meta": meta, "_ask": None} if self._has_meta else {}
        if self._private is not None:
            private |= self._private.model_construct().__pydantic_private__ or {}
        _put_private(view, private or None)


def _settable(model: type[BaseModel]) -> frozenset[str]:
    """Return the fields to which a value may be assigned with nothing else happening."""
    config = model.model_config
    if config.get("frozen") or config.get("validate_assignment") or model.__setattr__ is not BaseModel.__setattr__:
        return frozenset()
    return frozenset(name for name, field in model.model_fields.items() if not field.frozen)


def owned(model: type[BaseModel], values: Mapping[str, Any]) -> Any:
    """Return an instance of a model with values that are its own. Nothing is validated again."""
    fields = model.model_fields
    state = model.__new__(model)
    _put_fields(state, {name: values[name] for name in fields if name in values})
    is_open = model.model_config.get("extra") == "allow"
    _put_extras(state, {name: value for name, value in values.items() if name not in fields} if is_open else None)
    _put_given(state, {*values})
    _put_private(state, None)
    if model.model_post_init is not BaseModel.model_post_init:
        state.model_post_init(None)  # makes private attributes too
    return state
