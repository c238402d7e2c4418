"""The names of the keys in Redis; `docs/redis-keys.md` describes each.

There are two families of keys, because in a Redis Cluster a script touches one slot: those of a user, and
those of turns. Turns are spread over a few shards, each with an index of the turns that run. The part in
braces selects the slot.
"""

import zlib
from urllib.parse import quote

SHARDS = "0123456789abcdef"
"""The shards of the turns' keys. They are few, because every process looks into each of them every second."""

OWNER_CHANNELS = "chat:owner:"
"""Prefix of the channels on which the owners of turns are notified of requests from other processes."""

ERASURES_CHANNEL = "chat:erased"
"""The channel that says that text was erased; the embedded store then rewrites its append-only file."""


def messages(user_id: str, conversation_id: str) -> str:
    """Name the LIST of the conversation's messages."""
    return f"{_user(user_id)}:messages:{_quoted(conversation_id)}"


def running(user_id: str, conversation_id: str) -> str:
    """Name the HASH of the conversation's running turn, with its lease."""
    return f"{_user(user_id)}:running:{_quoted(conversation_id)}"


def recent_turns(user_id: str, conversation_id: str) -> str:
    """Name the ZSET of the conversation's turns whose journals may still exist, including trimmed turns.

    The conversation "" stands for turns that belong to none.
    """
    return f"{_user(user_id)}:turns:{_quoted(conversation_id)}"


def conversations(user_id: str) -> str:
    """Name the ZSET of the user's conversations, by the time of their last turn."""
    return f"{_user(user_id)}:conversations"


def sizes(user_id: str) -> str:
    """Name the HASH of how many bytes each conversation of the user takes."""
    return f"{_user(user_id)}:sizes"


def titles(user_id: str) -> str:
    """Name the HASH of the titles of the user's conversations."""
    return f"{_user(user_id)}:titles"


def items(user_id: str, conversation_id: str) -> str:
    """Name the HASH of the items of a conversation of `/v1`, by id."""
    return f"{_user(user_id)}:items:{_quoted(conversation_id)}"


def item_order(user_id: str, conversation_id: str) -> str:
    """Name the ZSET of the ids of a conversation's items, in order. It exists as long as the conversation."""
    return f"{_user(user_id)}:item-order:{_quoted(conversation_id)}"


def closed(user_id: str, turn_id: str) -> str:
    """Name the STRING that says how a turn was closed. While it exists the turn is not closed again."""
    return f"{_user(user_id)}:closed:{turn_id}"


def request(user_id: str, digest: str) -> str:
    """Name the HASH of the turn that an Idempotency-Key started."""
    return f"{_user(user_id)}:request:{digest}"


def active_turns(user_id: str) -> str:
    """Name the ZSET of the user's running turns, by the end of their lease; it limits their number."""
    return f"{_user(user_id)}:active-turns"


def started_turns(user_id: str) -> str:
    """Name the STRING that counts the turns the user has started in this minute."""
    return f"{_user(user_id)}:started-turns"


def responses(user_id: str) -> str:
    """Name the ZSET of the user's turns of responses, by the time of their start."""
    return f"{_user(user_id)}:responses"


def record(turn_id: str) -> str:
    """Name the HASH that says whose turn it is and, once it has ended, its status."""
    return f"{_shard(shard_of(turn_id))}:record:{turn_id}"


def events(turn_id: str) -> str:
    """Name the STREAM of the turn's events, its journal."""
    return f"{_shard(shard_of(turn_id))}:events:{turn_id}"


def response(turn_id: str) -> str:
    """Name the HASH of what a response adds to its turn: the request and, at the end, the response."""
    return f"{_shard(shard_of(turn_id))}:response:{turn_id}"


def conversation(conversation_id: str) -> str:
    """Name the HASH that says whose conversation of `/v1` it is, with its metadata."""
    return f"{_shard(shard_of(conversation_id))}:conversation:{conversation_id}"


def running_turns(shard: str) -> str:
    """Name the ZSET of the shard's running turns, by the end of their lease."""
    return f"{_shard(shard)}:running"


def shard_of(turn_id: str) -> str:
    """Return the shard that holds a turn's keys."""
    return SHARDS[zlib.crc32(turn_id.encode()) % len(SHARDS)]


def _user(user_id: str) -> str:
    return f"chat:{{{_quoted(user_id)}}}"


def _shard(shard: str) -> str:
    return f"chat:turn:{{{shard}}}"


def _quoted(name: str) -> str:
    return quote(name, safe="")
