"""Messages are frozen all the way down, and are texts or lists of blocks."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from taf.state import Message, add_messages
from taf.state.messages import FrozenDict, FrozenList, MediaBlock, TextBlock, ToolCallBlock, ToolResultBlock

CALL = ToolCallBlock(id="1", name="search", arguments={"query": {"words": ["a"]}, "limit": 3})
RICH = Message(
    id="m", content=[TextBlock(text="see "), MediaBlock(media_type="image/png", url="u"), CALL, TextBlock(text="this")]
)


def test_a_message_of_text_has_its_text_as_content() -> None:
    message = Message.text_message("hello", role="assistant")

    assert (message.content, message.text(), message.role) == ("hello", "hello", "assistant")
    assert Message.text_message("hello").role == "user"


def test_the_text_of_blocks_is_joined() -> None:
    assert RICH.text() == "see this"
    assert Message(content=[ToolResultBlock(call_id="1", text="found")]).text() == ""


def test_every_message_has_an_id_of_its_own_and_later_ones_sort_behind() -> None:
    ids = [Message().id for _ in range(50)]

    assert len(set(ids)) == 50
    assert ids[0][:12] <= ids[-1][:12]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.append(1),
        lambda content: content.extend([1]),
        lambda content: content.insert(0, 1),
        lambda content: content.remove(CALL),
        lambda content: content.pop(),
        lambda content: content.clear(),
        lambda content: content.sort(key=str),
        lambda content: content.reverse(),
        lambda content: content.__setitem__(0, 1),
        lambda content: content.__delitem__(0),
        lambda content: content.__iadd__([1]),
        lambda content: content.__imul__(2),
        lambda content: content[2].arguments.update(a=1),
        lambda content: content[2].arguments.setdefault("a", 1),
        lambda content: content[2].arguments.pop("query"),
        lambda content: content[2].arguments.popitem(),
        lambda content: content[2].arguments.clear(),
        lambda content: content[2].arguments.__setitem__("a", 1),
        lambda content: content[2].arguments.__delitem__("query"),
        lambda content: content[2].arguments.__ior__({"a": 1}),
        lambda content: content[2].arguments["query"]["words"].append("b"),
    ],
)
def test_nothing_inside_a_message_can_be_changed(change: Any) -> None:
    before = RICH.model_dump_json()

    with pytest.raises(TypeError, match="A message is frozen: make a new one"):
        change(RICH.content)
    assert RICH.model_dump_json() == before


def test_a_copy_with_changes_is_valid_and_frozen_again() -> None:
    changed = RICH.model_copy(update={"content": [{"type": "text", "text": "new"}]})

    assert changed.content == [TextBlock(text="new")]
    assert type(changed.content) is FrozenList
    assert changed.id == "m"
    with pytest.raises(ValidationError):
        RICH.model_copy(update={"role": 5})
    assert RICH.model_copy() == RICH


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda it: it.model_copy(deep=True), lambda it: pickle.loads(pickle.dumps(it))],
)
def test_a_duplicate_is_equal_and_frozen(duplicate: Any) -> None:
    twin = duplicate(RICH)

    assert twin == RICH
    assert type(twin.content) is FrozenList
    assert type(twin.content[2].arguments["query"]) is FrozenDict
    with pytest.raises(TypeError, match="frozen"):
        twin.content[2].arguments["query"]["words"].append("b")


def test_a_message_is_dumped_as_plain_json() -> None:
    dumped = RICH.model_dump()

    assert json.loads(RICH.model_dump_json()) == dumped
    assert type(dumped["content"][2]["arguments"]["query"]["words"]) is list
    assert Message.model_validate(dumped) == RICH


@pytest.mark.parametrize(
    "wrong", [{"content": 5}, {"content": [{"type": "song"}]}, {"text": "x"}, {"content": ["x"]}], ids=str
)
def test_what_is_no_message_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Message(**wrong)


def test_the_reducer_of_messages_can_be_called_by_hand() -> None:
    first, second = Message(id="1", content="a"), Message(id="2", content="b")
    edited = Message(id="1", content="edited")

    assert add_messages([], first) == [first]
    assert add_messages([first], [second, edited]) == [edited, second]
