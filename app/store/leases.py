"""The running turn of each conversation: which process may write its end, and until when."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec
import structlog
from redis.exceptions import RedisError

from app.errors import HistoryUnavailable, RateLimited, TooManyConversations, TooManyTurns
from app.models import Busy, TurnEnd, TurnRecord
from app.store import keys
from app.store.cluster import ClusterClient
from app.store.connection import RedisClient
from app.store.conversation_index import ConversationIndex
from app.store.faults import UNREACHABLE_ERRORS, translated_redis_errors
from app.store.history import HistoryLimits, RawBlock
from app.store.journal import TurnJournal
from app.store.lease_index import LeaseIndex
from app.store.lease_results import AdmissionResult, Lease, UserLimits
from app.store.recent_turns import FIRST_BLOCK_BYTES
from app.store.script import Call, Script, together

REQUEST_TTL_SECONDS = 24 * 3600
"""How long a repeated Idempotency-Key finds the turn that it started."""

_FIRST_LEASE_MS = 3000
"""Short: if Redis executes a start after its caller has timed out, the conversation is soon free again."""

_log = structlog.get_logger()
_decode_end = msgspec.json.Decoder(TurnEnd).decode


class TurnLeases:
    """Acquires, renews and releases the leases of conversations' running turns.

    A turn's id is its fencing token: an owner that finds another id in the key has lost the turn and writes
    nothing. Every method raises HistoryUnavailable if Redis does not answer in time.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        index: LeaseIndex,
        journal: TurnJournal,
        owner: str,
        lease_seconds: float,
        history: HistoryLimits,
        limits: UserLimits,
    ) -> None:
        """Use a client that the caller closes.

        Args:
            redis: A client whose answers are bytes.
            index: The index in which other processes find turns whose leases have expired.
            journal: Gets the journals of turns that start.
            owner: The id of this process, with which other processes reach it as the owner of a turn.
            lease_seconds: How long a lease is valid without a renewal.
            history: How much of a conversation is kept.
            limits: The limits of each user.
        """
        self._redis = redis
        self._is_cluster = isinstance(redis, ClusterClient)
        self._index = index
        self._journal = journal
        self._owner = owner
        self._lease_ms = int(lease_seconds * 1000)
        self._history_ttl_seconds = history.ttl_seconds
        self._block_bytes = min(FIRST_BLOCK_BYTES, history.max_bytes)
        self._limits = limits
        self._conversations = ConversationIndex(redis)
        self._start = Script(redis, "start_turn")
        self._renew = Script(redis, "renew_turn")
        self._abandon = Script(redis, "abandon_turn")

    async def start(
        self,
        record: TurnRecord,
        *,
        fingerprint: str,
        if_busy: Busy,
        is_limited: bool,
        with_history: bool = False,
    ) -> AdmissionResult:
        """Make this the conversation's running turn and create its journal, or return why it is not.

        If the running turn may be interrupted, or has no reader, it is asked to stop. The caller tries again.

        Args:
            record: The turn.
            fingerprint: What a request with the same Idempotency-Key has to have in common with this one.
            if_busy: What to do if another turn is running.
            is_limited: Whether the limits of the user apply.
            with_history: Whether to read the newest messages of the conversation as well.

        Raises:
            RateLimited: The user has started as many turns as a minute allows.
            TooManyTurns: The user has as many running turns as are allowed.
            TooManyConversations: The user has as many conversations as are allowed.
        """
        call = self._start_call(
            record, fingerprint, if_busy, is_limited=is_limited, with_history=with_history
        )
        outcome, *rest = await self._start_with_journal(record, call)
        if outcome == b"too many conversations" and await self._conversations.forget_expired(record.user_id):
            outcome, *rest = await self._start_with_journal(record, call)
        match outcome:
            case b"started":
                _, started, left_ms, position, messages = rest
                quota = self._limits.quota(int(started), int(left_ms)) if is_limited else None
                history = RawBlock(position, messages) if with_history else None
                return AdmissionResult("started", quota=quota, history=history)
            case b"limited":
                quota = self._limits.quota(self._limits.per_minute, int(rest[0]))
                raise RateLimited(quota=quota, retry_after=quota and quota.reset_seconds)
            case b"too many":
                raise TooManyTurns
            case b"too many conversations":
                raise TooManyConversations
            case _:
                return AdmissionResult(outcome.decode(), *(part.decode() for part in rest))

    async def _start_with_journal(self, record: TurnRecord, start: Call) -> list[Any]:
        """Send the start. On one server, the creation of the journal goes with it and depends on it."""
        answer: list[Any]
        async with translated_redis_errors():
            if not self._is_cluster:
                answer, _ = await together([start, self._journal.scripts.create(record)])
                return answer
            answer = await start
        if answer[0] == b"started":
            await self._journal.create(record, lease_until_ms=int(answer[1]))
        return answer

    def _start_call(
        self, record: TurnRecord, fingerprint: str, if_busy: Busy, *, is_limited: bool, with_history: bool
    ) -> Call:
        limits = self._limits if is_limited else UserLimits(0, 0)
        return self._start(
            keys=[
                keys.running(record.user_id, record.conversation_id),
                keys.request(record.user_id, record.request),
                keys.conversations(record.user_id),
                keys.active_turns(record.user_id),
                keys.started_turns(record.user_id),
                keys.messages(record.user_id, record.conversation_id),
            ],
            args=[
                record.turn_id,
                _FIRST_LEASE_MS,
                fingerprint if record.request else "",
                if_busy,
                REQUEST_TTL_SECONDS,
                record.history_id,
                self._history_ttl_seconds,
                keys.OWNER_CHANNELS,
                limits.at_once,
                limits.per_minute,
                limits.conversations,
                self._block_bytes if with_history else 0,
                "owner",
                self._owner,
                *_fields(record),
            ],
        )

    async def find_request(self, record: TurnRecord, *, fingerprint: str) -> AdmissionResult | None:
        """Find the turn that an earlier request with this Idempotency-Key has started, if there is one."""
        async with translated_redis_errors():
            found: list[Any] = await self._redis.hmget(
                keys.request(record.user_id, record.request), "fingerprint", "turn_id"
            )
        known, turn_id = found
        if known is None or turn_id is None:
            return None
        return AdmissionResult("attached" if known.decode() == fingerprint else "reused", turn_id.decode())

    async def find(self, user_id: str, conversation_id: str) -> TurnRecord | None:
        """Find the conversation's running turn. Its owner may have died."""
        async with translated_redis_errors():
            fields: Any = await self._redis.hgetall(keys.running(user_id, conversation_id))
        if b"turn_id" not in fields:
            return None
        return TurnRecord(
            user_id=user_id,
            conversation_id=conversation_id,
            **{name: fields[name.encode()].decode() for name in _DESCRIBED},
        )

    async def renew(self, turns: Sequence[tuple[TurnRecord, bool]]) -> list[Lease]:
        """Renew leases in one round trip.

        Args:
            turns: Each turn, and whether it has a reader on this process.
        """
        async with translated_redis_errors():
            answers = await together(
                [
                    self._renew(
                        keys=[
                            keys.running(record.user_id, record.conversation_id),
                            keys.closed(record.user_id, record.turn_id),
                            keys.active_turns(record.user_id),
                        ],
                        args=[record.turn_id, self._lease_ms, int(has_reader)],
                    )
                    for record, has_reader in turns
                ],
                may_fail=True,
            )
        failures = [answer for answer in answers if isinstance(answer, RedisError)]
        if damaged := [failure for failure in failures if not isinstance(failure, UNREACHABLE_ERRORS)]:
            # A damaged key of one turn must not expire the leases of the rest.
            _log.error("leases not renewed", count=len(damaged), reason=str(damaged[0]))
        elif failures and len(failures) == len(answers):
            raise HistoryUnavailable from failures[0]
        # If this fails, another process finds the turn expired in the index, and checks its lease first.
        with suppress(HistoryUnavailable):
            await self._index.note_renewed(
                {
                    record.turn_id: int(answer[3])
                    for (record, _), answer in zip(turns, answers, strict=True)
                    if not isinstance(answer, RedisError) and answer[0] == b"held"
                }
            )
        return [_lease(answer) for answer in answers]

    async def abandon(
        self, record: TurnRecord, *, only_if_lapsed: bool = False
    ) -> Literal["alive", "read", "unread"]:
        """Roll back a start; `read`: a reader on another process waits for the turn."""
        async with translated_redis_errors():
            outcome = await self._abandon(
                keys=[
                    keys.running(record.user_id, record.conversation_id),
                    keys.request(record.user_id, record.request),
                    keys.conversations(record.user_id),
                    keys.messages(record.user_id, record.conversation_id),
                    keys.active_turns(record.user_id),
                    keys.started_turns(record.user_id),
                    keys.item_order(record.user_id, record.conversation_id),
                ],
                args=[record.turn_id, record.history_id, int(only_if_lapsed)],
            )
        found: Literal["alive", "read", "unread"] = outcome.decode()
        return found


_DESCRIBED = ("turn_id", "message", "model", "created_at", "request")


def _fields(record: TurnRecord) -> list[str]:
    return [part for name in _DESCRIBED if name != "turn_id" for part in (name, getattr(record, name))]


def _lease(answer: list[bytes] | RedisError) -> Lease:
    match answer:
        case RedisError():
            return Lease("unknown")
        case [b"held", stop, has_remote_reader, _]:
            return Lease("held", stop.decode(), has_remote_reader == b"1")
        case [b"closed", end]:
            return Lease("closed", end=_decode_end(end))
        case _:
            return Lease("lost")
