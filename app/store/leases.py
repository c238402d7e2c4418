"""The leases of running turns: which process may end a conversation's turn, and until when."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import msgspec
import structlog
from redis.exceptions import RedisError

from app.errors import HistoryUnavailable, Quota, RateLimited, TooManyTurns
from app.models import AssistantMessage, TurnEnd, TurnRecord, UserMessage
from app.store import keys
from app.store.connection import RedisClient
from app.store.faults import UNREACHABLE_ERRORS, translated_redis_errors
from app.store.lease_index import LeaseIndex
from app.store.script import Call, Script

REQUEST_TTL_SECONDS = 24 * 3600
"""How long an Idempotency-Key leads to the turn that it started."""

_FIRST_LEASE_MS = 3000
"""Short, so that a start that Redis executes after its caller has given up frees the conversation soon."""

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
_decode_end = msgspec.json.Decoder(TurnEnd).decode


class AdmissionResult(NamedTuple):
    """The outcome of an attempt to start a turn; `turn_id` is the other turn, if there is one."""

    outcome: Literal["started", "attached", "reused", "busy", "lapsed", "interrupting"]
    turn_id: str = ""
    lease_until_ms: int = 0
    quota: Quota | None = None
    """What the user may still start; None if that is not limited."""


class UserLimits(NamedTuple):
    """How many turns a user may have, over all replicas; 0: no limit."""

    at_once: int
    per_minute: int

    def quota(self, started: int, left_ms: int) -> Quota | None:
        """Return what is left of the minute, given the turns started in it and the time until it ends."""
        if not self.per_minute:
            return None
        return Quota(self.per_minute, 60, self.per_minute - started, max(1, -(-left_ms // 1000)))


class Lease(NamedTuple):
    """What the renewal of a lease found."""

    outcome: Literal["held", "closed", "lost", "unknown"]
    stop: str = ""
    """The reason why the turn is asked to stop; empty: it is not."""
    has_remote_reader: bool = False
    end: TurnEnd | None = None
    """How another process closed the turn."""


class CloseResult(NamedTuple):
    """The outcome of an attempt to close a turn."""

    outcome: Literal["closed", "closed before", "alive", "lost"]
    end: TurnEnd | None = None
    """How the turn was closed, by this attempt or an earlier one."""


class TurnLeases:
    """Acquires, renews and releases the leases of conversations' running turns.

    A turn's id is its fencing token: an owner that finds another id in the key has lost the turn and writes
    nothing. Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        index: LeaseIndex,
        owner: str,
        lease_seconds: float,
        closed_seconds: float,
        history_ttl_seconds: int,
        history_max_messages: int,
        limits: UserLimits,
    ) -> None:
        """Use a client that its opener closes.

        Args:
            redis: Returns bytes.
            index: The index in which processes look for expired leases.
            owner: The id of this process, by which other processes reach it.
            lease_seconds: How long a lease lasts without a renewal.
            closed_seconds: How long a closed turn is known to be closed, and is not closed again.
            history_ttl_seconds: A conversation untouched for so long expires; 0: never.
            history_max_messages: Above this number the oldest turns of a conversation are dropped.
            limits: The limits of one user.
        """
        self._redis = redis
        self._index = index
        self._owner = owner
        self._lease_ms = int(lease_seconds * 1000)
        self._closed_seconds = int(closed_seconds)
        self._history_ttl_seconds = history_ttl_seconds
        self._history_max_messages = history_max_messages
        self._limits = limits
        self._start = Script(redis, "start_turn")
        self._renew = Script(redis, "renew_turn")
        self._finish = Script(redis, "finish_turn")
        self._abandon = Script(redis, "abandon_turn")

    async def start(self, record: TurnRecord, *, fingerprint: str, may_interrupt: bool) -> AdmissionResult:
        """Acquire the conversation's lease for this turn, or report why that is impossible.

        A running turn that may be interrupted, or has no reader, is asked to stop; the caller tries again.

        Raises:
            RateLimited: The user has started as many turns as a minute allows.
            TooManyTurns: The user has as many turns running as are allowed at once.
        """
        async with translated_redis_errors():
            outcome, *rest = await self._start(
                keys=[
                    keys.running(record.user_id, record.conversation_id),
                    keys.request(record.user_id, record.request),
                    keys.conversations(record.user_id),
                    keys.active_turns(record.user_id),
                    keys.started_turns(record.user_id),
                ],
                args=[
                    record.turn_id,
                    _FIRST_LEASE_MS,
                    fingerprint if record.request else "",
                    int(may_interrupt),
                    REQUEST_TTL_SECONDS,
                    record.conversation_id,
                    self._history_ttl_seconds,
                    keys.OWNER_CHANNELS,
                    self._limits.at_once,
                    self._limits.per_minute,
                    "owner",
                    self._owner,
                    *_fields(record),
                ],
            )
        if outcome == b"started":
            until, started, left_ms = map(int, rest)
            return AdmissionResult(
                "started", lease_until_ms=until, quota=self._limits.quota(started, left_ms)
            )
        if outcome == b"limited":
            quota = self._limits.quota(self._limits.per_minute, int(rest[0]))
            raise RateLimited(quota=quota, retry_after=quota and quota.reset_seconds)
        if outcome == b"too many":
            raise TooManyTurns
        return AdmissionResult(outcome.decode(), *(part.decode() for part in rest))

    async def find_request(self, record: TurnRecord, *, fingerprint: str) -> AdmissionResult | None:
        """Return what a request with this Idempotency-Key has started before; None if nothing."""
        async with translated_redis_errors():
            found: list[Any] = await self._redis.hmget(
                keys.request(record.user_id, record.request), "fingerprint", "turn_id"
            )
        known, turn_id = found
        if known is None or turn_id is None:
            return None
        return AdmissionResult("attached" if known.decode() == fingerprint else "reused", turn_id.decode())

    async def end_of(self, user_id: str, turn_id: str) -> TurnEnd | None:
        """Return how a turn was closed; None if it was not, or if that is no longer known."""
        async with translated_redis_errors():
            end = await self._redis.get(keys.closed(user_id, turn_id))
        return _decode_end(end) if end else None

    async def find(self, user_id: str, conversation_id: str) -> TurnRecord | None:
        """Return the conversation's running turn, whether or not its owner is alive."""
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
        """Renew leases in one round trip. Each turn comes with whether its owner has a reader."""
        async with translated_redis_errors():
            answers = await self._renew.call_all(
                [
                    Call(
                        [
                            keys.running(record.user_id, record.conversation_id),
                            keys.closed(record.user_id, record.turn_id),
                            keys.active_turns(record.user_id),
                        ],
                        [record.turn_id, self._lease_ms, int(has_reader)],
                    )
                    for record, has_reader in turns
                ],
                may_fail=True,
            )
        failures = [answer for answer in answers if isinstance(answer, RedisError)]
        if damaged := [failure for failure in failures if not isinstance(failure, UNREACHABLE_ERRORS)]:
            # One damaged key costs no other turn its lease.
            _log.error("leases not renewed", count=len(damaged), reason=str(damaged[0]))
        elif failures and len(failures) == len(answers):
            raise HistoryUnavailable from failures[0]
        # If this fails, a sweeper that finds the turn still checks its lease before it closes the turn.
        with suppress(HistoryUnavailable):
            await self._index.note_renewed(
                {
                    record.turn_id: int(answer[3])
                    for (record, _), answer in zip(turns, answers, strict=True)
                    if not isinstance(answer, RedisError) and answer[0] == b"held"
                }
            )
        return [_lease(answer) for answer in answers]

    async def finish(
        self,
        record: TurnRecord,
        question: UserMessage,
        answer: AssistantMessage,
        end: TurnEnd,
        *,
        only_if_lapsed: bool = False,
    ) -> CloseResult:
        """Append both messages and free the conversation, once: a closed turn stays as it is."""
        async with translated_redis_errors():
            outcome, *rest = await self._finish(
                keys=[
                    keys.running(record.user_id, record.conversation_id),
                    keys.closed(record.user_id, record.turn_id),
                    keys.messages(record.user_id, record.conversation_id),
                    keys.conversations(record.user_id),
                    keys.recent_turns(record.user_id, record.conversation_id),
                    keys.active_turns(record.user_id),
                ],
                args=[
                    record.turn_id,
                    _encode(end),
                    int(only_if_lapsed),
                    self._closed_seconds,
                    record.conversation_id,
                    self._history_max_messages,
                    self._history_ttl_seconds,
                    _encode(question),
                    _encode(answer),
                ],
            )
        return CloseResult(outcome.decode(), _decode_end(rest[0]) if rest else None)

    async def abandon(
        self, record: TurnRecord, *, only_if_lapsed: bool = False
    ) -> Literal["alive", "read", "unread"]:
        """Undo a start; `read` means that a remote reader waits for the turn."""
        async with translated_redis_errors():
            outcome = await self._abandon(
                keys=[
                    keys.running(record.user_id, record.conversation_id),
                    keys.request(record.user_id, record.request),
                    keys.conversations(record.user_id),
                    keys.messages(record.user_id, record.conversation_id),
                    keys.active_turns(record.user_id),
                ],
                args=[record.turn_id, record.conversation_id, int(only_if_lapsed)],
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
