"""The journal of a turn: what readers on other processes read, and every reader after the turn's end.

A journal is one STREAM. An entry holds the events of some tens of milliseconds; its id is the number of the
last one. So a repeated write changes nothing, no entry follows a gap, and a reader's cursor is the number of
the last event that it has. The terminal entry has the greatest id there is: Redis accepts nothing after it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from redis.exceptions import RedisError, ResponseError

from app.clock import now
from app.models import TurnEnd, TurnRecord, TurnStatus
from app.store import keys
from app.store.cluster import ClusterClient
from app.store.codec import unpack
from app.store.connection import RedisClient
from app.store.faults import translated_redis_errors
from app.store.journal_scripts import CREATED_ID, JournalScripts
from app.store.script import together

_BEGUN_ID = "0-2"
_REFUSED_IDS = ("equal or smaller than the target stream", "exhausted the last possible ID")
"""Redis's words for an entry whose id is below the newest one's, or that follows the terminal entry."""

_POLL_SECONDS = 0.05

_Entries = Sequence[tuple[bytes, Mapping[bytes, bytes]]]

_decode_end = msgspec.json.Decoder(TurnEnd).decode


class JournalRecord(NamedTuple):
    """Whose turn it is, and its status once it has ended."""

    user_id: str
    conversation_id: str
    status: TurnStatus | None
    scope: str = ""


class JournalSlice(NamedTuple):
    """A part of a journal.

    Attributes:
        events: In order.
        end: How the turn ended; None if the terminal entry is not in this part.
        is_committed: Whether the turn's HTTP 200 has been committed.
    """

    events: list[bytes]
    end: TurnEnd | None
    is_committed: bool


class JournalCursor(NamedTuple):
    """A reader's position: the number of its last event, and whether it knows of the status's commit."""

    last: int
    is_committed: bool

    def entry_id(self) -> str:
        """Return the id of the last entry that the reader does not need any more."""
        if self.last:
            return f"{self.last}-0"
        return _BEGUN_ID if self.is_committed else CREATED_ID


class TurnJournal:
    """Writes and reads journals.

    Every method raises HistoryUnavailable if Redis does not do its part in time.

    Attributes:
        scripts: The calls that write journals, to be sent together with calls for users' keys.
    """

    def __init__(self, redis: RedisClient, *, ttl_seconds: float) -> None:
        """Use a client that its opener closes.

        Args:
            redis: Returns bytes.
            ttl_seconds: How long after its end a turn can be followed.
        """
        self._redis = redis
        self.scripts = JournalScripts(redis, ttl_seconds=ttl_seconds)

    async def create(self, record: TurnRecord, *, lease_until_ms: int) -> None:
        """Create a journal, and add its turn to the index of leases."""
        async with translated_redis_errors():
            await self.scripts.create(record, lease_until_ms=lease_until_ms)

    async def discard(self, turn_id: str) -> None:
        """Remove a journal, as if it had never been created."""
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.delete(keys.record(turn_id), keys.events(turn_id))
            pipeline.zrem(keys.running_turns(keys.shard_of(turn_id)), turn_id)
            await pipeline.execute()

    async def append(self, batches: Mapping[str, tuple[int, Sequence[bytes]]]) -> dict[str, int]:
        """Append events to many journals in one round trip. Repeated events change nothing.

        Args:
            batches: By turn id, the number of the last event and the events.

        Returns:
            The number of the last event stored, by turn id. Turns whose events Redis refused are missing. A
            number below the batch's first means that Redis has lost events.
        """
        async with translated_redis_errors():
            answers = await together(
                [self.scripts.append(turn_id, *batch) for turn_id, batch in batches.items()], may_fail=True
            )
        return {
            turn_id: answer
            for turn_id, answer in zip(batches, answers, strict=True)
            if not isinstance(answer, RedisError)
        }

    async def mark_committed(self, turn_id: str) -> None:
        """Note that the HTTP 200 was committed: from now on the question is stored, however the turn ends."""
        async with translated_redis_errors():
            try:
                await self._redis.xadd(keys.events(turn_id), {"begun": ""}, id=_BEGUN_ID, nomkstream=True)
            except ResponseError as error:
                if not any(reason in str(error) for reason in _REFUSED_IDS):
                    raise

    async def close(self, turn_id: str, end: TurnEnd, *, last: int = 0) -> int:
        """Write the terminal entry, once. The journal expires from now on, and the turn leaves the index.

        Returns:
            `last`, the number of the last event. A smaller number means that Redis has lost the events after
            it: the journal stays open until they are written again.
        """
        async with translated_redis_errors():
            written: int = await self.scripts.close(turn_id, end, last=last)
        return written

    async def refuse(self, turn_id: str, end: TurnEnd) -> None:
        """Write the end of a start that failed, for readers on other processes, and forget it soon."""
        async with translated_redis_errors():
            await self.scripts.refuse(turn_id, end)

    async def erase(self, turn_ids: Sequence[str], end: TurnEnd) -> None:
        """Erase journals. Readers that follow one get this end."""
        async with translated_redis_errors():
            await together([self.scripts.erase(turn_id, end) for turn_id in turn_ids])

    async def record(self, turn_id: str) -> JournalRecord | None:
        """Return whose turn it is, or None if it is unknown."""
        async with translated_redis_errors():
            fields: list[Any] = await self._redis.hmget(
                keys.record(turn_id), "user_id", "conversation_id", "status", "scope"
            )
        user_id, conversation_id, status, scope = fields
        if user_id is None:
            return None
        return JournalRecord(
            user_id.decode(),
            conversation_id.decode(),
            status and status.decode(),
            scope.decode() if scope else "",
        )

    async def read(self, turn_id: str) -> JournalSlice | None:
        """Return the whole journal, or None if it is no longer kept."""
        async with translated_redis_errors():
            entries: Any = await self._redis.xrange(keys.events(turn_id))
        return _journalled(entries) if entries else None

    async def tail(self, cursors: Mapping[str, JournalCursor], *, wait_ms: int) -> dict[str, JournalSlice]:
        """Return what follows each cursor, by turn id; wait for a first entry for up to `wait_ms`."""
        read = self._poll if isinstance(self._redis, ClusterClient) else self._read_blocking
        async with translated_redis_errors():
            arrived = await read(
                {keys.events(turn_id): cursor.entry_id() for turn_id, cursor in cursors.items()}, wait_ms
            )
        return {
            turn_id: _journalled(entries, have=cursor.last)
            for turn_id, cursor in cursors.items()
            if (entries := arrived.get(keys.events(turn_id)))
        }

    async def _read_blocking(self, cursors: Mapping[str, str], wait_ms: int) -> dict[str, _Entries]:
        streams: dict[Any, Any] = {**cursors}
        answer: Any = await self._redis.xread(streams, block=wait_ms)
        return {key.decode(): entries for key, entries in answer or ()}

    async def _poll(self, cursors: Mapping[str, str], wait_ms: int) -> dict[str, _Entries]:
        """Poll: a cluster keeps the journals in several slots, and no command waits for all of them."""
        until = now() + wait_ms / 1000
        while True:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key, cursor in cursors.items():
                    pipeline.xrange(key, min=f"({cursor}")
                answers = await pipeline.execute(raise_on_error=False)
            # An unreachable node does not hold back the entries of other nodes.
            answered = {
                key: entries
                for key, entries in zip(cursors, answers, strict=True)
                if not isinstance(entries, Exception)
            }
            if not answered:
                raise answers[0]
            arrived = {key: entries for key, entries in answered.items() if entries}
            if arrived or now() >= until:
                return arrived
            await asyncio.sleep(_POLL_SECONDS)

    async def missing(self, turn_ids: Sequence[str]) -> list[str]:
        """Return those of the turns whose journals are gone."""
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for turn_id in turn_ids:
                pipeline.exists(keys.events(turn_id))
            found = await pipeline.execute(raise_on_error=False)
        return [turn_id for turn_id, exists in zip(turn_ids, found, strict=True) if exists == 0]


def _journalled(entries: _Entries, *, have: int = 0) -> JournalSlice:
    """Return what the entries add to the `have` events that a reader has.

    An entry may overlap the one before it: if the reply to a write was lost, its events were written again,
    with later ones.
    """
    events: list[bytes] = []
    end = None
    is_committed = False
    for entry_id, fields in entries:
        if b"z" in fields:
            fresh = int(entry_id.partition(b"-")[0]) - have - len(events)
            if fresh > 0:
                events += unpack(fields[b"z"])[-fresh:]
        elif b"end" in fields:
            end = _decode_end(fields[b"end"])
        elif b"begun" in fields:
            is_committed = True
    return JournalSlice(events, end, is_committed or bool(events))
