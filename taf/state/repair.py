"""Tool calls that a run left without a result: a model's provider refuses a conversation that has such."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from taf.state.messages import Message, ToolCallBlock, ToolResultBlock

CANCELLED = "cancelled: the run was ended before this call had a result"


def open_calls(messages: Sequence[object]) -> tuple[ToolCallBlock, ...]:
    """Return the calls since the last message of a user that have no result, in order."""
    said = list(takewhile(lambda one: not (isinstance(one, Message) and one.role == "user"), reversed(messages)))
    blocks = [block for one in reversed(said) if isinstance(one, Message) for block in _blocks(one)]
    done = {block.call_id for block in blocks if isinstance(block, ToolResultBlock)}
    return tuple(block for block in blocks if isinstance(block, ToolCallBlock) and block.id not in done)


def closing(calls: Sequence[ToolCallBlock]) -> list[Message]:
    """Return a message that gives each call a result: it was cancelled."""
    results = [ToolResultBlock(call_id=call.id, text=CANCELLED, is_error=True) for call in calls]
    return [Message(role="tool", content=[result]) for result in results]


def _blocks(message: Message) -> Sequence[object]:
    return () if isinstance(message.content, str) else message.content
