"""What the protocol carries ⇄ messages and plain values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

from acp.schema import (
    AgentMessageChunk,
    AudioContentBlock,
    ContentToolCallContent,
    EmbeddedResourceContentBlock,
    ImageContentBlock,
    ResourceContentBlock,
    TextContentBlock,
    TextResourceContents,
    UserMessageChunk,
)
from pydantic_core import to_jsonable_python

from taf.state.messages import Block, MediaBlock, Message, TextBlock

PromptBlock: TypeAlias = (
    TextContentBlock | ImageContentBlock | AudioContentBlock | ResourceContentBlock | EmbeddedResourceContentBlock
)

MAX_JSON = 16_384
"""How many characters of a node's update or a question's data are shown."""


def message_of(blocks: Sequence[PromptBlock]) -> Message:
    """Return a user's message: plain text where the prompt is nothing but text, otherwise blocks."""
    found = [_block(block) for block in blocks]
    if all(isinstance(block, TextBlock) for block in found):
        return Message.text_message(text_of(blocks))
    return Message(role="user", content=found)


def text_of(blocks: Sequence[PromptBlock]) -> str:
    """Return what is text in a prompt."""
    return "\n".join(block.text for block in map(_block, blocks) if isinstance(block, TextBlock))


def _block(block: PromptBlock) -> Block:
    if isinstance(block, TextContentBlock):
        return TextBlock(text=block.text)
    if isinstance(block, ImageContentBlock | AudioContentBlock):
        return MediaBlock(media_type=block.mime_type, data=block.data)
    if isinstance(block, ResourceContentBlock):
        return TextBlock(text=f"[{block.title or block.name}]({block.uri})")
    resource = block.resource
    if isinstance(resource, TextResourceContents):
        return TextBlock(text=f"{resource.uri}:\n{resource.text}")
    return MediaBlock(media_type=resource.mime_type or "application/octet-stream", data=resource.blob)


def text_block(text: str) -> TextContentBlock:
    """Return a block of text that can be sent, whatever is in it."""
    return TextContentBlock(type="text", text=text.encode(errors="replace").decode())


def said_by_agent(text: str) -> AgentMessageChunk:
    """Return a piece of what the agent says."""
    return AgentMessageChunk(session_update="agent_message_chunk", content=text_block(text))


def said_by_user(text: str) -> UserMessageChunk:
    """Return what the user said, for a replay."""
    return UserMessageChunk(session_update="user_message_chunk", content=text_block(text))


def tool_text(text: str) -> ContentToolCallContent:
    """Return text to be shown with a tool call."""
    return ContentToolCallContent(type="content", content=text_block(text))


def as_json(value: Any) -> Any:
    """Return a value as JSON shows it: what JSON does not know is shown as its text, and what is long is cut."""
    plain = to_jsonable_python(value, fallback=str, serialize_unknown=True, inf_nan_mode="strings")
    text = json.dumps(plain)
    return plain if len(text) <= MAX_JSON else f"{text[:MAX_JSON]}… ({len(text)} characters)"


def shown(value: Any) -> str:
    """Return a value as a text to read."""
    plain = as_json(value)
    return plain if isinstance(plain, str) else json.dumps(plain, indent=2, ensure_ascii=False)
