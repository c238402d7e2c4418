"""The names of the keys in Redis; `docs/redis-keys.md` describes each.

There are two families, because in a Redis Cluster a script touches one slot: a user's keys, and those of
turns, which are in a few shards, each with an index of those that run. The braces say what the slot
depends on.
"""

import zlib
from urllib.parse import quote

SHARDS = "0123456789abcdef"
"""Of the turns' keys: few, as a process looks into each of them every second."""

OWNER_CHANNELS = "chat:owner:"
"""Prefix of the channels on which the owners of turns are told that others have asked something of one."""


def messages(user_id: str, conversation_id: str) -> str:
    """A LIST: the conversation's messages."""
    return f"{_user(user_id)}:messages:{_quoted(conversation_id)}"


def running(user_id: str, conversation_id: str) -> str:
    """A HASH: the conversation's running turn, with its lease."""
    return f"{_user(user_id)}:running:{_quoted(conversation_id)}"


def recent_turns(user_id: str, conversation_id: str) -> str:
    """A ZSET: the conversation's turns whose journals may still be there, also trimmed ones."""
    return f"{_user(user_id)}:turns:{_quoted(conversation_id)}"


def conversations(user_id: str) -> str:
    """A ZSET: the user's conversations by the time of their last turn."""
    return f"{_user(user_id)}:conversations"


def closed(user_id: str, turn_id: str) -> str:
    """A STRING: how a turn was closed. While it is there the turn is not closed a second time."""
    return f"{_user(user_id)}:closed:{turn_id}"


def request(user_id: str, digest: str) -> str:
    """A HASH: the turn that an Idempotency-Key started."""
    return f"{_user(user_id)}:request:{digest}"


def active_turns(user_id: str) -> str:
    """A ZSET: the user's running turns by the end of their lease; it bounds how many there are at once."""
    return f"{_user(user_id)}:active-turns"


def started_turns(user_id: str) -> str:
    """A STRING: how many turns the user has started in this minute."""
    return f"{_user(user_id)}:started-turns"


def record(turn_id: str) -> str:
    """A HASH: whose turn it is and, once it has ended, its status."""
    return f"{_shard(shard_of(turn_id))}:record:{turn_id}"


def events(turn_id: str) -> str:
    """A STREAM: the turn's journal."""
    return f"{_shard(shard_of(turn_id))}:events:{turn_id}"


def running_turns(shard: str) -> str:
    """A ZSET: the shard's running turns by the end of their lease; lapsed ones are found without SCAN."""
    return f"{_shard(shard)}:running"


def shard_of(turn_id: str) -> str:
    """Where a turn's keys are."""
    return SHARDS[zlib.crc32(turn_id.encode()) % len(SHARDS)]


def _user(user_id: str) -> str:
    return f"chat:{{{_quoted(user_id)}}}"


def _shard(shard: str) -> str:
    return f"chat:turn:{{{shard}}}"


def _quoted(name: str) -> str:
    return quote(name, safe="")
