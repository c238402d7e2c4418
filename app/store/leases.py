"""The running turn of each conversation: who may write its end, and until when."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import msgspec
import structlog
from redis.exceptions import RedisError

from app.errors import HistoryUnavailable, Quota, RateLimited, TooManyTurns
from app.models import AssistantMessage, TurnEnd, TurnRecord, UserMessage
from app.store import keys
from app.store.connection import AWAY_ERRORS, RedisClient
from app.store.faults import translated_redis_errors
from app.store.lease_index import LeaseIndex
from app.store.script import Call, Script

REQUEST_TTL_SECONDS = 24 * 3600
"""How long an Idempotency-Key stands for the turn that it started."""

_FIRST_LEASE_MS = 3000
"""Short: a start that Redis carries out when its caller has given up frees the conversation soon."""

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
_decode_end = msgspec.json.Decoder(TurnEnd).decode


class AdmissionResult(NamedTuple):
    """What came of an attempt to start a turn; `turn_id` is the other turn, where there is one."""

    outcome: Literal["started", "attached", "reused", "busy", "lapsed", "interrupting"]
    turn_id: str = ""
    lease_until_ms: int = 0
    quota: Quota | None = None
    """What the user may still start, where that is limited."""


class UserLimits(NamedTuple):
    """How many turns a user may have, over all replicas; 0: any number."""

    at_once: int
    per_minute: int

    def quota(self, started: int, left_ms: int) -> Quota | None:
        """What is left of a minute in which so many turns were started, and which lasts so long yet."""
        if not self.per_minute:
            return None
        return Quota(self.per_minute, 60, self.per_minute - started, max(1, -(-left_ms // 1000)))


class Lease(NamedTuple):
    """What a renewal found."""

    outcome: Literal["held", "closed", "lost", "unknown"]
    stop: str = ""
    """What the turn is asked to be stopped for; empty: it is not."""
    has_remote_reader: bool = False
    end: TurnEnd | None = None
    """How somebody else closed it."""


class CloseResult(NamedTuple):
    """What came of an attempt to close a turn."""

    outcome: Literal["closed", "closed before", "alive", "lost"]
    end: TurnEnd | None = None
    """How it was closed, by this attempt or an earlier one."""


class TurnLeases:
    """Starts, keeps and closes the running turns of conversations.

    A turn's id is its fencing token: whoever finds another in the key has lost the turn and writes nothing.
    Every method raises HistoryUnavailable where Redis does not do its part in time.
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
        """Use a client that somebody else closes.

        Args:
            redis: With answers as bytes.
            index: Where others look for turns whose leases have lapsed.
            owner: The id of this process, by which others reach the owner of a turn.
            lease_seconds: How long a turn stays its owner's without a renewal.
            closed_seconds: For how long a turn is known to be closed, and is not closed again.
            history_ttl_seconds: A conversation untouched for so long is forgotten; 0: never.
            history_max_messages: Above it the oldest turns are dropped.
            limits: Of one user.
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

    async def start(self, turn: TurnRecord, *, fingerprint: str, may_interrupt: bool) -> AdmissionResult:
        """Take the conversation for this turn, or say why not.

        A running turn that may be interrupted, or has no reader, is asked to stop; the caller tries again.

        Raises:
            RateLimited: The user has started as many turns as this minute may have.
            TooManyTurns: The user has as many running as there may be at once.
        """
        async with translated_redis_errors():
            outcome, *rest = await self._start(
                keys=[
                    keys.running(turn.user_id, turn.conversation_id),
                    keys.request(turn.user_id, turn.request),
                    keys.conversations(turn.user_id),
                    keys.active_turns(turn.user_id),
                    keys.started_turns(turn.user_id),
                ],
                args=[
                    turn.turn_id,
                    _FIRST_LEASE_MS,
                    fingerprint if turn.request else "",
                    int(may_interrupt),
                    REQUEST_TTL_SECONDS,
                    turn.conversation_id,
                    self._history_ttl_seconds,
                    keys.OWNER_CHANNELS,
                    self._limits.at_once,
                    self._limits.per_minute,
                    "owner",
                    self._owner,
                    *_fields(turn),
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

    async def find_request(self, turn: TurnRecord, *, fingerprint: str) -> AdmissionResult | None:
        """What a request with this turn's Idempotency-Key has started before, if it has."""
        async with translated_redis_errors():
            found: list[Any] = await self._redis.hmget(
                keys.request(turn.user_id, turn.request), "fingerprint", "turn_id"
            )
        known, turn_id = found
        if known is None or turn_id is None:
            return None
        return AdmissionResult("attached" if known.decode() == fingerprint else "reused", turn_id.decode())

    async def end_of(self, user_id: str, turn_id: str) -> TurnEnd | None:
        """How a turn was closed, as long as that is known here."""
        async with translated_redis_errors():
            end = await self._redis.get(keys.closed(user_id, turn_id))
        return _decode_end(end) if end else None

    async def find(self, user_id: str, conversation_id: str) -> TurnRecord | None:
        """The conversation's running turn, or one whose owner has died."""
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
        """Renew the leases of turns, each with whether its owner has a reader; all in one round trip."""
        async with translated_redis_errors():
            answers = await self._renew.call_all(
                [
                    Call(
                        [
                            keys.running(turn.user_id, turn.conversation_id),
                            keys.closed(turn.user_id, turn.turn_id),
                            keys.active_turns(turn.user_id),
                        ],
                        [turn.turn_id, self._lease_ms, int(has_reader)],
                    )
                    for turn, has_reader in turns
                ],
                may_fail=True,
            )
        failures = [answer for answer in answers if isinstance(answer, RedisError)]
        if damaged := [failure for failure in failures if not isinstance(failure, AWAY_ERRORS)]:
            # One damaged key costs no other turn its lease.
            _log.error("leases cannot be renewed", count=len(damaged), reason=str(damaged[0]))
        elif failures and len(failures) == len(answers):
            raise HistoryUnavailable from failures[0]
        # Where this fails, whoever finds a turn lapsed there looks at its lease before it closes it.
        with suppress(HistoryUnavailable):
            await self._index.note_renewed(
                {
                    turn.turn_id: int(answer[3])
                    for (turn, _), answer in zip(turns, answers, strict=True)
                    if not isinstance(answer, RedisError) and answer[0] == b"held"
                }
            )
        return [_lease(answer) for answer in answers]

    async def finish(
        self,
        turn: TurnRecord,
        question: UserMessage,
        answer: AssistantMessage,
        end: TurnEnd,
        *,
        only_if_lapsed: bool = False,
    ) -> CloseResult:
        """Append both messages and release the conversation, once: a turn that is closed stays as it is."""
        async with translated_redis_errors():
            outcome, *rest = await self._finish(
                keys=[
                    keys.running(turn.user_id, turn.conversation_id),
                    keys.closed(turn.user_id, turn.turn_id),
                    keys.messages(turn.user_id, turn.conversation_id),
                    keys.conversations(turn.user_id),
                    keys.recent_turns(turn.user_id, turn.conversation_id),
                    keys.active_turns(turn.user_id),
                ],
                args=[
                    turn.turn_id,
                    _encode(end),
                    int(only_if_lapsed),
                    self._closed_seconds,
                    turn.conversation_id,
                    self._history_max_messages,
                    self._history_ttl_seconds,
                    _encode(question),
                    _encode(answer),
                ],
            )
        return CloseResult(outcome.decode(), _decode_end(rest[0]) if rest else None)

    async def abandon(
        self, turn: TurnRecord, *, only_if_lapsed: bool = False
    ) -> Literal["alive", "read", "unread"]:
        """Take a start back, as if it had never been; `read`: a reader elsewhere waits for the turn."""
        async with translated_redis_errors():
            outcome = await self._abandon(
                keys=[
                    keys.running(turn.user_id, turn.conversation_id),
                    keys.request(turn.user_id, turn.request),
                    keys.conversations(turn.user_id),
                    keys.messages(turn.user_id, turn.conversation_id),
                    keys.active_turns(turn.user_id),
                ],
                args=[turn.turn_id, turn.conversation_id, int(only_if_lapsed)],
            )
        found: Literal["alive", "read", "unread"] = outcome.decode()
        return found


_DESCRIBED = ("turn_id", "message", "model", "created_at", "request")


def _fields(turn: TurnRecord) -> list[str]:
    return [
        part for name in ("message", "model", "created_at", "request") for part in (name, getattr(turn, name))
    ]


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
