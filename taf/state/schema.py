"""A state model, read once: its channels, and how updates become the changes that are stored and applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from taf.errors import ConfigError, InvalidUpdateError, StateError, UpdateConflictError, nearest
from taf.serialization import first_fault, place_of_fault
from taf.state.agent_state import AgentState, MetaSource
from taf.state.channel import MISSING, Channel, Op, channel_for, open_channel
from taf.state.copying import is_immutable
from taf.state.growing import Growing
from taf.state.messages import Message
from taf.state.validation import FieldValidation
from taf.state.view import ViewFactory, owned, parts

Values = Mapping[str, Any]

Joined: TypeAlias = tuple[list[Op], Values | None]
"""What an update of one node alone comes to: its changes, and the values after them.

The values are None, and the changes still as they are wanted, where users' code has to join them or to judge the whole.
"""

_NO_VALUES: Values = {}


class StateSchema:
    """The channels of a state model, and the rules that lead from updates to changes."""

    def __init__(self, model: type[BaseModel]) -> None:
        given: Any = model
        if not (isinstance(given, type) and issubclass(given, BaseModel)):
            raise ConfigError(f"The state has to be a pydantic model class, not {model!r}.")
        self.model = model
        self.read_from = model.__pydantic_validator__
        """What pydantic made of the model when this was read: another one when it has been rebuilt."""
        self.can_ask = issubclass(model, AgentState)
        """True where a node asks for a pause by ``state.set_interrupt``."""
        self.is_open = model is AgentState or model.model_config.get("extra") == "allow"
        validation = FieldValidation(model)
        self.channels: dict[str, Channel] = {
            name: channel_for(validation, name, field) for name, field in model.model_fields.items()
        }
        self.messages = "context" if "context" in self.channels and "messages" not in self.channels else "messages"
        self._is_validated_whole = validation.needs_whole
        is_set = {name: c.checked for name, c in self.channels.items() if c.wants == "set" and not c.is_list}
        self._set_alone: dict[str, Callable[[Any], Any]] = {} if validation.needs_whole else is_set
        """The fields that an update sets, whatever the others hold, each with what checks it."""
        self._joined_by_id = frozenset(name for name, c in self.channels.items() if c.style == "messages")
        self._defaults = [(n, _maker(field)) for n, field in model.model_fields.items() if not field.is_required()]
        self._look_back = any(field.default_factory_takes_validated_data for field in model.model_fields.values())
        self._validated_defaults = {name for name, _ in self._defaults if self._is_default_validated(name)}
        self._constant_ops = self._constants()
        self.joined_plainly: Mapping[type, Callable[[Values, Any, str, int], Joined]] = {
            dict: self._joined_dict,
            Message: self._joined_message,
        }
        """What does all that ``wanted`` and ``merge`` do for an update of one node alone, by the update's type.

        It takes the values, the update, who begins the sentence of an error, and an origin as for ``apply``.
        """
        views = ViewFactory(model, self.channels, is_open=self.is_open)
        self.view, self._view_type = views.make, views.type

    # -- making states -----------------------------------------------------------------------------

    def defaults(self, values: Values = _NO_VALUES) -> dict[str, Any]:
        """Return the defaults of the fields that have one and no value yet. Raise ``ConfigError`` for a wrong one."""
        found: dict[str, Any] = {}
        known = {name: self.channel(name).plain(value) for name, value in values.items()} if self._look_back else found
        for name, default in self._defaults:
            if name not in values:
                value = default(known)
                known[name] = found[name] = self._valid(name, value) if name in self._validated_defaults else value
        return found

    def _is_default_validated(self, name: str) -> bool:
        """True where the model says so, and for a list unless it says no: it is kept in a form of its own."""
        validate = self.model.model_fields[name].validate_default
        is_asked = self.channels[name].is_list if validate is None else validate
        return is_asked or bool(self.model.model_config.get("validate_default"))

    def _valid(self, name: str, default: Any) -> Any:
        try:
            return self.channels[name].whole(default)
        except ValidationError as invalid:
            raise ConfigError(f'The default of field "{name}" is not valid: {first_fault(invalid)}.') from invalid

    def default_ops(self) -> Sequence[Op]:
        """Return the changes that a new thread starts with."""
        if self._constant_ops is not None:
            return self._constant_ops
        return [("set", name, value) for name, value in self.defaults().items()]

    def _constants(self) -> tuple[Op, ...] | None:
        """Return the changes that a new thread starts with where they are always the same, otherwise None."""
        fields = [self.model.model_fields[name] for name, _ in self._defaults]
        if self._validated_defaults or any(f.default_factory or not is_immutable(type(f.default)) for f in fields):
            return None
        return tuple([("set", name, field.default) for (name, _), field in zip(self._defaults, fields, strict=True)])

    def missing(self, values: Values) -> list[str]:
        """Return the required fields that have no value yet."""
        return [name for name in self.channels if name not in values]

    def state(self, values: Values, thread: MetaSource) -> Any:
        """Return an instance of the model that its reader owns. ``thread`` says how its thread stands."""
        state = owned(self.model, {**self._plain(values), **self.defaults(values)})
        if isinstance(state, AgentState):
            state._meta = thread.meta()  # pyright: ignore[reportPrivateUsage]
        return state

    def _plain(self, values: Values) -> dict[str, Any]:
        return {name: self.channel(name).detached(value) for name, value in values.items()}

    def channel(self, name: str) -> Channel:
        """Return the channel of a field; in an open state every name has one."""
        return self.channels.get(name) or open_channel(name)

    # -- updates → wanted changes -----------------------------------------------------------------------

    def wanted(self, update: Any, who: str, error: type[StateError] = InvalidUpdateError) -> list[Op]:
        """Read an update, whatever form it has. ``who`` begins the sentence of an error."""
        if type(update) is dict:
            return self.wanted_by_dict(cast("dict[str, Any]", update), who, error)
        if update is None:
            return []
        if isinstance(update, self.model):
            raise AssertionError("a state is read by wanted_by_state, which needs the values it changed")
        if isinstance(update, Message) or self._is_messages(update):
            return self.wanted_by_dict({self.messages: update}, who, error)
        if isinstance(update, Mapping):
            return self.wanted_by_dict(dict(cast("Mapping[str, Any]", update)), who, error)
        raise error(
            f"{who} {type(update).__name__}. Return a dict of fields, the state, a Message, a list of messages, "
            "a Command, or None."
        )

    @staticmethod
    def _is_messages(update: Any) -> bool:
        return isinstance(update, list) and all(isinstance(message, Message) for message in update)  # pyright: ignore[reportUnknownVariableType]

    def wanted_by_dict(
        self, update: dict[str, Any], who: str, error: type[StateError] = InvalidUpdateError
    ) -> list[Op]:
        """Read a dict of fields; see ``wanted``."""
        found: list[Op] = []
        channels = self.channels
        for name, value in update.items():
            channel = channels.get(name) or self._undeclared(name, who, error)
            try:
                checked = channel.checked(value)
            except Exception as wrong:
                raise _unfit(channel, wrong, who, error) from wrong
            if channel.wants != "append" or checked:
                found.append((channel.wants, channel.name, checked))
        return found

    def wanted_whole(
        self, values: Mapping[str, Any], who: str, error: type[StateError] = InvalidUpdateError
    ) -> list[Op]:
        """Read values that are to stand in place of what fields hold, without their reducers."""
        channels = [self.channels.get(name) or self._undeclared(name, who, error) for name in values]
        given = zip(channels, values.values(), strict=True)
        return [("set", c.name, _whole(c, value, who, error)) for c, value in given]

    def _undeclared(self, name: Any, who: str, error: type[StateError]) -> Channel:
        if name == "messages" and self.messages == "context":
            return self.channels["context"]
        if not isinstance(name, str):
            raise error(f"{who} the key {name!r}; keys are names of fields.")
        if self.is_open:
            return open_channel(name)
        fields = ", ".join(self.channels)
        raise error(
            f'{who} "{name}", which is no field of {self.model.__name__}.{nearest(name, self.channels)} '
            f"Its fields: {fields}."
        )

    def wanted_by_state(self, before: Values, state: BaseModel, who: str) -> list[Op]:
        """Return the fields that a returned state changed: they are set, never reduced twice.

        A view was changed in place, so all its fields count. Of a fresh state those count that it was made with,
        and those that differ from their default.
        """
        now = parts(state)
        is_view = isinstance(state, self._view_type)
        given = {
            n: v
            for n, v in now.items()
            if v is not before.get(n, MISSING) and (is_view or self._was_given(state, n, v))
        }
        found = self.wanted_values(before, given, who)
        if is_view:
            found.extend(("drop", name, None) for name in before if name not in now and name not in self.channels)
        return found

    def wanted_values(self, before: Values, now: Mapping[str, Any], who: str) -> list[Op]:
        """Return what it takes to lead the fields named in ``now`` from what they were to what they are."""
        found: list[Op] = []
        for name, value in now.items():
            channel = self.channels.get(name) or self._undeclared(name, who, InvalidUpdateError)
            new = _whole(channel, channel.plain(value), who, InvalidUpdateError)
            for op in channel.changes(before.get(name, MISSING), new):
                if op[0] != "append" or channel.reducer is None:
                    found.append(op)
                elif channel.style == "messages":  # one that is there already is replaced
                    found.append(("join", name, op[2]))
                else:
                    found.append(("set", name, new) if channel.style == "set" else op)
        return found

    def _was_given(self, state: BaseModel, name: str, value: Any) -> bool:
        field = self.model.model_fields.get(name)
        if field is None or name in state.model_fields_set or field.is_required():
            return True
        return bool(value != field.get_default(call_default_factory=True, validated_data={}))

    # -- wanted → stored changes -----------------------------------------------------------------------

    def merge(
        self, values: Values, wanted: Sequence[tuple[str, Sequence[Op]]], origin: int | None = None
    ) -> tuple[list[Sequence[Op]], Values]:
        """Join what each node of a step wants, in the order given. ``origin``: see ``apply``.

        Return each node's changes and the values after them all. Raise ``UpdateConflictError``, or
        ``InvalidUpdateError`` for a reducer's result or for what the model's own validators refuse.
        """
        if len(wanted) > 1:
            self._refuse_conflicts(wanted)
        changes: list[Sequence[Op]] = []
        after = {**values}
        for who, ops in wanted:
            found = ops
            for op in ops:
                if op[0] == "join":
                    found = self._joined(after, ops, who, origin)
                    break
            else:
                self._apply(after, ops, origin)
            changes.append(found)
        if self._is_validated_whole and any(changes) and not self.missing(after):
            corrections = self._validate_whole(after)
            self._apply(after, corrections, origin)
            changes[-1] = [*changes[-1], *corrections]
        return changes, after

    def _joined_dict(self, values: Values, update: dict[str, Any], who: str, origin: int) -> Joined:
        known, after = self._set_alone, {**values}
        ops: list[Op] = []
        for name, value in update.items():
            check = known.get(name)
            if check is None:
                return self._joined_alone(after, ops, update, who, origin)
            try:
                checked = after[name] = check(value)
            except Exception as wrong:
                raise _unfit(self.channels[name], wrong, who, InvalidUpdateError) from wrong
            ops.append(("set", name, checked))
        return ops, after

    def _joined_message(self, values: Values, message: Message, who: str, origin: int) -> Joined:
        return self._joined_alone({**values}, [], {self.messages: message}, who, origin)

    def _joined_alone(
        self, after: dict[str, Any], begun: list[Op], update: dict[str, Any], who: str, origin: int
    ) -> Joined:
        """Do the same where some fields are not just set, from behind those that have been."""
        ops = self.wanted_by_dict(dict(islice(update.items(), len(begun), None)), who)
        joins = [name for kind, name, _ in ops if kind == "join"]
        if self._is_validated_whole or not self._joined_by_id.issuperset(joins):
            return [*begun, *ops], None
        if not joins:
            self._apply(after, ops, origin)
            return [*begun, *ops], after
        try:
            return [*begun, *self._joined(after, ops, who, origin)], after
        except InvalidUpdateError:
            return [*begun, *ops], None

    def _joined(self, after: dict[str, Any], wanted: Sequence[Op], who: str, origin: int | None) -> list[Op]:
        """Return the changes that one node's wishes come to, and apply them."""
        found: list[Op] = []
        for kind, name, value in wanted:
            new = self._join(after, name, value, who) if kind == "join" else [(kind, name, value)]
            self._apply(after, new, origin)
            found += new
        return found

    def _join(self, after: Values, name: str, update: Any, who: str) -> list[Op]:
        try:
            return self.channels[name].join(after.get(name, MISSING), update)
        except ValidationError as invalid:
            raise InvalidUpdateError(
                f'After node "{who}", field "{name}" is not valid: {first_fault(invalid)}.'
            ) from invalid
        except Exception as broken:
            raise InvalidUpdateError(
                f'The reducer of field "{name}" failed on what node "{who}" returned: {broken!r}.'
            ) from broken

    def _refuse_conflicts(self, wanted: Iterable[tuple[str, Sequence[Op]]]) -> None:
        seen: dict[str, tuple[str, bool]] = {}
        for who, ops in wanted:
            mine: dict[str, bool] = {}
            for kind, name, _ in ops:
                mine[name] = mine.get(name, False) or self._is_whole(kind, name)
            for name, is_whole in mine.items():
                channel = self.channels.get(name)
                has_reducer = channel is not None and channel.reducer is not None
                other = seen.get(name)
                if other is not None and (not has_reducer or is_whole or other[1]):
                    raise UpdateConflictError(name, other[0], who, has_reducer=has_reducer)
                seen[name] = (who, is_whole)

    def _is_whole(self, kind: str, name: str) -> bool:
        """True for a change that stands in place of what the reducer would join: no other node may write there."""
        channel = self.channels.get(name)
        return channel is None or kind != channel.wants

    def _validate_whole(self, values: Values) -> list[Op]:
        """Return what the model's own validators change. Raise ``InvalidUpdateError`` for what they refuse."""
        try:
            valid = parts(self.model.model_validate(self._plain(values), by_name=True, by_alias=False))
        except ValidationError as invalid:
            raise InvalidUpdateError(f"The state would not be valid: {first_fault(invalid)}.") from invalid
        return [op for n, v in valid.items() for op in self.channel(n).changes(values.get(n, MISSING), v)]

    # -- changes → values --------------------------------------------------------------------------

    def apply(self, values: Values, ops: Iterable[Op], origin: int | None = None) -> Values:
        """Return the values after some changes. ``origin``: the sequence of the fact that they belong to.

        A field that the model no longer has is passed over.
        """
        after = {**values}
        self._apply(after, ops, origin)
        return after

    def _apply(self, after: dict[str, Any], ops: Iterable[Op], origin: int | None) -> None:
        channels = self.channels
        for kind, name, value in ops:
            channel = channels.get(name)
            if kind == "set":
                after[name] = Growing(value, origin) if channel is not None and channel.is_list else value
            elif kind == "append":
                held = after.get(name)
                after[name] = Growing(value, origin) if held is None else held.extended(value)
            elif kind == "merge":
                after[name] = {**after.get(name, {}), **value}
            elif kind == "put":
                after[name] = after[name].replaced(*value)
            elif kind == "cut":
                after[name] = after[name].cut(value)
            else:
                after.pop(name, None)


def _maker(field: FieldInfo) -> Callable[[dict[str, Any]], Any]:
    """Return what makes the default of a field, given the values of the fields before it."""
    factory: Any = field.default_factory
    if factory is None and is_immutable(type(field.default)):
        return lambda known: field.default
    if factory is None or field.default_factory_takes_validated_data:
        return lambda known: field.get_default(call_default_factory=True, validated_data=known)
    return lambda known: factory()


def _whole(channel: Channel, value: Any, who: str, error: type[StateError]) -> Any:
    """Return a value for a whole field, or raise ``error``."""
    try:
        return channel.whole(value)
    except Exception as wrong:
        raise _unfit(channel, wrong, who, error) from wrong


def _unfit(channel: Channel, wrong: Exception, who: str, error: type[StateError]) -> StateError:
    """Say that a value does not fit its field. A validator of the user's may have raised anything."""
    if isinstance(wrong, ValidationError):
        place, what = place_of_fault(wrong)
        where = ".".join(map(str, (channel.name, *place)))
        return error(f'{who} a value that does not fit field "{where}": {what}.')
    if isinstance(wrong, RecursionError):
        return error(f'{who} a value of field "{channel.name}" that is nested too deep, or in itself.')
    return error(f'{who} a value that does not fit field "{channel.name}": {wrong}.')
