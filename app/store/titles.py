"""The titles of conversations: a person's own, or the first words of the first question."""

import json
import re
from collections.abc import Sequence

from app.store import keys
from app.store.connection import RedisClient
from app.store.faults import translated_redis_errors
from app.store.script import Script

MAX_TITLE_CHARS = 100

_DEFAULT_WORDS = 8
_DEFAULT_CHARS = 60
_LOOK_CHARS = 1000
_FIRST_BYTES = 1200
"""A default title needs no more of a message than this."""
_FIRST_QUESTION = re.compile(rb'\{"role":"user","content":("(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*)')


def title_from(question: str) -> str:
    """Make a title of a question's first words."""
    words = question[:_LOOK_CHARS].split()
    start = "".join(char for char in " ".join(words[:_DEFAULT_WORDS]) if char.isprintable())
    is_cut = len(words) > _DEFAULT_WORDS or len(start) > _DEFAULT_CHARS
    return start[:_DEFAULT_CHARS] + ("…" if is_cut else "")


class TitleRepository:
    """Reads and sets the titles of conversations.

    A default title is made and stored when a list is read for the first time: the start of a turn costs
    nothing, and the title stays when the first question has been trimmed.
    Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._read = Script(redis, "read_titles")
        self._set = Script(redis, "set_titles")

    async def titles(self, user_id: str, conversation_ids: Sequence[str]) -> dict[str, str]:
        """Read the titles of these conversations; one of which nothing is stored yet has none."""
        if not conversation_ids:
            return {}
        async with translated_redis_errors():
            found = await self._read(
                keys=[keys.titles(user_id), *(keys.messages(user_id, each) for each in conversation_ids)],
                args=[_FIRST_BYTES, *conversation_ids],
            )
        titles: dict[str, str] = {}
        made: dict[str, str] = {}
        for conversation_id, (title, first) in zip(conversation_ids, found, strict=True):
            if title:
                titles[conversation_id] = title.decode()
            elif default := title_from(_question_in(first)):
                made[conversation_id] = default
        if made:
            await self._store(user_id, made, replaces=False)
        return titles | made

    async def rename(self, user_id: str, conversation_id: str, title: str) -> bool:
        """Set the title; False if there is no such conversation."""
        return bool(await self._store(user_id, {conversation_id: title}, replaces=True))

    async def _store(self, user_id: str, titles: dict[str, str], *, replaces: bool) -> int:
        async with translated_redis_errors():
            existing: int = await self._set(
                keys=[keys.titles(user_id), keys.conversations(user_id)],
                args=[
                    int(replaces),
                    *(part for each in titles.items() for part in each),
                ],
            )
        return existing


def _question_in(first: bytes) -> str:
    """Return the beginning of a question, from the beginning of its message's JSON."""
    found = _FIRST_QUESTION.match(first)
    if found is None:
        return ""
    # The cut may have gone through a character.
    question: str = json.loads(found[1].decode("utf-8", "ignore") + '"')
    return question
