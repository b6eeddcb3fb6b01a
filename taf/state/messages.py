"""Messages: what people, models and tools said on a thread. They are frozen; make a new one to change one."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, Literal, NoReturn, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from taf.ids import new_id


class _Unchangeable:
    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("A message is frozen: make a new one with message.model_copy(update={...}).")

    __setitem__ = __delitem__ = _refuse


class FrozenList(_Unchangeable, list[Any]):
    """A list that refuses to change, so that a message which is shared between states stays what it was."""

    _refuse = _Unchangeable._refuse
    append = extend = insert = remove = pop = clear = sort = reverse = __iadd__ = __imul__ = _refuse  # pyright: ignore

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenList, (list(self),)


class FrozenDict(_Unchangeable, dict[str, Any]):
    """A dict that refuses to change."""

    _refuse = _Unchangeable._refuse
    update = setdefault = pop = popitem = clear = __ior__ = _refuse  # pyright: ignore

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


def frozen(value: Any) -> Any:
    """Return JSON values with every list and dict in them frozen."""
    kind = type(value)  # pyright: ignore[reportUnknownVariableType]
    if issubclass(kind, dict):
        return FrozenDict((key, frozen(item)) for key, item in value.items())
    return FrozenList(map(frozen, value)) if issubclass(kind, list) else value


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class TextBlock(_Frozen):
    """A piece of text."""

    type: Literal["text"] = "text"
    text: str


class MediaBlock(_Frozen):
    """An image, a sound or a file, by address or as base64 text."""

    type: Literal["media"] = "media"
    media_type: str
    url: str | None = None
    data: str | None = None


class ToolCallBlock(_Frozen):
    """A model asks for a tool."""

    type: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    arguments: Annotated[dict[str, JsonValue], AfterValidator(frozen)] = Field(default_factory=FrozenDict)


class ToolResultBlock(_Frozen):
    """What a tool returned, for the call of that id."""

    type: Literal["tool_result"] = "tool_result"
    call_id: str
    text: str
    is_error: bool = False


Block: TypeAlias = Annotated[TextBlock | MediaBlock | ToolCallBlock | ToolResultBlock, Field(discriminator="type")]


class Message(BaseModel):
    """One message. ``content`` is a text, or a list of blocks for anything richer."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str = Field(default_factory=new_id)
    role: str = "user"
    content: str | Annotated[list[Block], AfterValidator(FrozenList)] = ""
    name: str | None = None

    @classmethod
    def text_message(cls, text: str, role: str = "user") -> Message:
        """Make a message of plain text: ``Message.text_message("hello").content == "hello"``."""
        return cls(role=role, content=text)

    def text(self) -> str:
        """Return what is text in the content, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(block.text for block in self.content if isinstance(block, TextBlock))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields changed. Unlike pydantic's own it is validated, and so frozen again."""
        copied = super().model_copy(deep=deep)
        return copied if not update else self.__class__.model_validate({**dict(copied), **update})

    def __taf_exact__(self) -> bool:
        return _is_sound(self) and (type(self.content) is str or all(map(_is_sound, self.content)))

    def __taf_plain__(self) -> dict[str, Any] | None:
        """Return a message of text alone as the JSON types that it is stored as; None for any other."""
        if type(self) is not Message:
            return None
        row = self.id, self.role, self.content, self.name
        is_text = (*map(type, row),) in _ALL_TEXT
        return {"id": row[0], "role": row[1], "content": row[2], "name": row[3]} if is_text else None


_ALL_TEXT = frozenset({(str, str, str, str), (str, str, str, NoneType)})

_SOUND: Mapping[type, Mapping[str, tuple[type, ...]]] = {
    Message: {"id": (str,), "role": (str,), "name": (str, NoneType)},
    TextBlock: {"text": (str,)},
    MediaBlock: {"media_type": (str,), "url": (str, NoneType), "data": (str, NoneType)},
    ToolCallBlock: {"id": (str,), "name": (str,), "arguments": (FrozenDict,)},
    ToolResultBlock: {"call_id": (str,), "text": (str,), "is_error": (bool,)},
}


def _is_sound(part: object) -> bool:
    """True for a message or a block that is as it was validated: ``model_construct`` makes others."""
    fields = _SOUND.get(type(part))
    return fields is not None and all([type(getattr(part, name, None)) in kinds for name, kinds in fields.items()])
