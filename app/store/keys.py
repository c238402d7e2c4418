"""The names of the keys in Redis; `docs/redis-keys.md` describes each."""

from urllib.parse import quote


def messages(user_id: str, conversation_id: str) -> str:
    """A LIST: the conversation's messages. The braces put all keys of a user in one Cluster slot."""
    return f"chat:{{{quote(user_id, safe='')}}}:messages:{quote(conversation_id, safe='')}"


def stored(user_id: str, turn_id: str) -> str:
    """A STRING that says that the turn has been appended."""
    return f"chat:{{{quote(user_id, safe='')}}}:stored:{turn_id}"
