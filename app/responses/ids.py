"""Ids in OpenAI's shape. Those of a response are derived from its turn: every replica makes the same."""

import re
import secrets
from typing import NamedTuple

CONVERSATION_PREFIX = "conv_"

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
}
_RESPONSE = re.compile(r"resp_([0-9a-f]{32})")
_CONVERSATION = re.compile(rf"{CONVERSATION_PREFIX}[0-9a-f]{{32}}")
_ITEM = re.compile(r"[a-z]{2,4}_([0-9a-f]{32})(i?)([0-9a-f]{4,8})")


class ItemPlace(NamedTuple):
    """The place of an item: in the input or in the output of a turn's response."""

    turn_id: str
    is_input: bool
    number: int


def response_id(turn_id: str) -> str:
    """Return the id of a turn's response."""
    return f"resp_{turn_id}"


def turn_of_response(response_id: str) -> str | None:
    """Return the id of a response's turn, or None if no response has such an id."""
    found = _RESPONSE.fullmatch(response_id)
    return found and found[1]


def output_item_id(kind: str, turn_id: str, index: int) -> str:
    """Return the id of the item with this index in a response's output."""
    return f"{_PREFIXES[kind]}_{turn_id}{index:04x}"


def input_item_id(kind: str, turn_id: str, index: int) -> str:
    """Return the id of the item with this index in a response's input."""
    return f"{_PREFIXES[kind]}_{turn_id}i{index:04x}"


def place_of_item(item_id: str) -> ItemPlace | None:
    """Return the place of the item with this id, or None if no item has such an id."""
    found = _ITEM.fullmatch(item_id)
    return found and ItemPlace(found[1], bool(found[2]), int(found[3], 16))


def new_conversation_id() -> str:
    """Make the id of a new conversation; it cannot be guessed."""
    return CONVERSATION_PREFIX + secrets.token_hex(16)


def is_conversation_id(text: str) -> bool:
    """Tell whether a conversation may have this id."""
    return _CONVERSATION.fullmatch(text) is not None


def new_batch_id() -> str:
    """Make what stands for the turn in the ids of items that a client adds to a conversation together."""
    return secrets.token_hex(16)
