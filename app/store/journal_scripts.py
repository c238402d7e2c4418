"""The calls of scripts that write journals. They can be sent together with calls for users' keys."""

from collections.abc import Sequence

import msgspec

from app.models import TurnEnd, TurnRecord
from app.store import keys
from app.store.codec import pack
from app.store.connection import RedisClient
from app.store.script import Call, Script

EXPIRED_SECONDS = 24 * 3600
"""How long a turn's record outlives its events."""
CREATED_ID = "0-1"
END_ID = f"{2**64 - 1}-{2**64 - 1}"

_UNFINISHED_SECONDS = 24 * 3600
_REFUSED_MS = 2000
"""How long the end of a start that failed is kept: its readers follow the journal already."""

_encode = msgspec.json.Encoder().encode


class JournalScripts:
    """Makes the calls that create, extend and end journals.

    On one server, a call can depend on one for the user's keys that is sent just before it: it looks at what
    that one has left there. In a Cluster the two families of keys are on different nodes.
    """

    def __init__(self, redis: RedisClient, *, ttl_seconds: float) -> None:
        self._ttl_ms = int(ttl_seconds * 1000)
        self._create = Script(redis, "create_journal")
        self._append = Script(redis, "append_journal")
        self._close = Script(redis, "close_journal")
        self._erase = Script(redis, "erase_journal")

    def create(self, record: TurnRecord, *, lease_until_ms: int | None = None) -> Call:
        """Create a journal, and add its turn to the index of leases.

        Args:
            record: Whose turn it is.
            lease_until_ms: The end of the turn's lease. None: it is read from the user's keys, on the same
                server, and without a lease nothing is created.
        """
        names = _keys(record.turn_id)
        if lease_until_ms is None:
            names.append(keys.running(record.user_id, record.conversation_id))
        return self._create(
            keys=names,
            args=[
                record.turn_id,
                "" if lease_until_ms is None else lease_until_ms,
                CREATED_ID,
                record.user_id,
                record.conversation_id,
                _UNFINISHED_SECONDS + EXPIRED_SECONDS,
                _UNFINISHED_SECONDS,
                record.scope,
            ],
        )

    def append(self, turn_id: str, last: int, events: Sequence[bytes]) -> Call:
        """Append events, up to the one with the number `last`."""
        return self._append(keys=[keys.events(turn_id)], args=[last - len(events), last, pack(events)])

    def close(self, turn_id: str, end: TurnEnd, *, last: int) -> Call:
        """Write the terminal entry, after the event with the number `last`."""
        return self._end(_keys(turn_id), turn_id, end, last)

    def close_finished(self, record: TurnRecord, end: TurnEnd, *, last: int) -> Call:
        """Do the same only if the turn was closed with this end in its user's keys, on the same server."""
        names = [*_keys(record.turn_id), keys.closed(record.user_id, record.turn_id)]
        return self._end(names, record.turn_id, end, last, mark_of(end))

    def refuse(self, turn_id: str, end: TurnEnd) -> Call:
        """Write the end of a start that failed, and forget the journal soon."""
        return self._close(
            keys=_keys(turn_id), args=[turn_id, END_ID, _encode(end), end.status, _REFUSED_MS, _REFUSED_MS, 0]
        )

    def erase(self, turn_id: str, end: TurnEnd) -> Call:
        """Erase a journal. Readers that follow it get this end."""
        return self._erase(
            keys=[keys.record(turn_id), keys.events(turn_id)], args=[END_ID, _encode(end), self._ttl_ms]
        )

    def _end(self, names: list[str], turn_id: str, end: TurnEnd, last: int, *mark: bytes) -> Call:
        record_ms = self._ttl_ms + EXPIRED_SECONDS * 1000
        return self._close(
            keys=names, args=[turn_id, END_ID, _encode(end), end.status, self._ttl_ms, record_ms, last, *mark]
        )


def mark_of(end: TurnEnd) -> bytes:
    """Return the mark `closed` that a turn with this end leaves in its user's keys."""
    return _encode(end.without_message())


def _keys(turn_id: str) -> list[str]:
    return [keys.record(turn_id), keys.events(turn_id), keys.running_turns(keys.shard_of(turn_id))]
