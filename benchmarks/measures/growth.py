"""CPU for each token against the number of streams and the lengths of history and answer."""

import functools
import itertools
import uuid
from collections.abc import Iterator

import msgspec
from redis.asyncio import Redis

from app.clock import now_rfc3339
from app.models import AssistantMessage, Message, UserMessage
from app.store import keys
from benchmarks.answers import MODEL
from benchmarks.effort import Effort, Values
from benchmarks.measures.measure import Measure, cpu_microseconds_a_token, warm_up
from benchmarks.peers import Peer
from benchmarks.peers.peer import Request
from benchmarks.peers.service import ask
from benchmarks.question import Question
from benchmarks.stage import Stage

STREAMS = (10, 100, 1000)
HISTORY = (0, 100, 1000)
ANSWERS = (50, 200, 2000)

_FEW = 20
_SLOW_RATE = 5
"""Tokens per second of each stream, so that one core can serve a thousand streams."""
_ARRIVALS_A_SECOND = 50
_RATE = 50
_FAST_RATE = 250
_ARRIVAL_SECONDS = 1.07
_REPEAT_SECONDS = 6.0
"""Few or short answers, requested once, would show little."""
_STREAMS_QUESTION = Question(150, rate=_SLOW_RATE)
_HISTORY_QUESTION = Question(200, rate=_RATE)
_WORDS = "What was said before, in a sentence of a usual length, as people write it to a model. "

_users = itertools.count()


async def _with_streams(stage: Stage, peer: Peer, effort: Effort) -> Values:  # noqa: ARG001 - a Measure's signature
    async with peer.start(stage) as server:
        await warm_up(server)
        return {
            f"µs at {streams}": await cpu_microseconds_a_token(
                server,
                _STREAMS_QUESTION,
                streams=streams,
                arrival_seconds=max(_ARRIVAL_SECONDS, streams / _ARRIVALS_A_SECOND),
            )
            for streams in STREAMS
        }


async def _with_answers(stage: Stage, peer: Peer, effort: Effort) -> Values:  # noqa: ARG001 - a Measure's signature
    async with peer.start(stage) as server:
        await warm_up(server)
        return {
            f"µs at {tokens}": await cpu_microseconds_a_token(
                server,
                Question(tokens, rate=_FAST_RATE),
                streams=_FEW,
                arrival_seconds=_ARRIVAL_SECONDS,
                seconds=_REPEAT_SECONDS,
            )
            for tokens in ANSWERS
        }


async def _with_history(stage: Stage, peer: Peer, effort: Effort) -> Values:  # noqa: ARG001 - a Measure's signature
    async with peer.start(stage) as server, Redis.from_url(stage.store_url) as redis:
        await warm_up(server)
        found: dict[str, float] = {}
        for messages in HISTORY:
            users = [f"returning{next(_users)}" for _ in range(_FEW)]
            for user in users:
                await _remember(redis, user, messages)
            found[f"µs at {messages}"] = await cpu_microseconds_a_token(
                server,
                _HISTORY_QUESTION,
                streams=_FEW,
                arrival_seconds=_ARRIVAL_SECONDS,
                request=_asked_by(iter(users)),
            )
        return found


def _asked_by(users: Iterator[str]) -> Request:
    return lambda question: ask(question, user=next(users))


async def _remember(redis: Redis, user: str, messages: int) -> None:
    """Write a conversation as the service stores it."""
    if messages:
        await redis.rpush(keys.messages(user, "default"), *_conversation(messages))


@functools.cache
def _conversation(messages: int) -> list[bytes]:
    return [msgspec.json.encode(message) for _ in range(messages // 2) for message in _turn()]


def _turn() -> tuple[Message, Message]:
    turn_id, now = uuid.uuid4().hex, now_rfc3339()
    return (
        UserMessage(_WORDS, turn_id, now),
        AssistantMessage(_WORDS, turn_id, now, status="complete", model=MODEL, finish_reason="stop"),
    )


GROWTH = (
    Measure("growth-streams", "CPU a token by streams at once", ("service",), _with_streams, is_once=True),
    Measure("growth-answer", "CPU a token by tokens of the answer", ("service",), _with_answers),
    Measure("growth-history", "CPU a token by messages before it", ("service",), _with_history),
)
