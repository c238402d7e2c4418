"""Turns for tests of the store."""

from app.models import AssistantMessage, TurnRecord, UserMessage
from app.store.connection import RedisClient
from app.store.finished_turns import FinishedTurns
from app.store.history import HistoryLimits
from app.store.journal import TurnJournal
from app.store.lease_index import LeaseIndex
from app.store.lease_results import UserLimits
from app.store.leases import TurnLeases

ANSWER_AT = "2026-01-01T00:00:00.000Z"


class RunningTurns(TurnLeases):
    """The leases of turns, and what closes the turns."""

    finished: FinishedTurns


def running_turns(
    redis: RedisClient,
    *,
    ttl_seconds: int = 60,
    max_messages: int = 100,
    max_bytes: int = 2**23,
    at_once: int = 0,
    a_minute: int = 0,
    conversations: int = 0,
) -> RunningTurns:
    journal = TurnJournal(redis, ttl_seconds=300)
    history = HistoryLimits(ttl_seconds, max_messages, max_bytes)
    running = RunningTurns(
        redis,
        index=LeaseIndex(redis),
        journal=journal,
        owner="owner",
        lease_seconds=10,
        history=history,
        limits=UserLimits(at_once=at_once, per_minute=a_minute, conversations=conversations),
    )
    running.finished = FinishedTurns(redis, journals=journal.scripts, closed_seconds=300, history=history)
    return running


def turn(
    turn_id: str, *, user_id: str = "user", conversation_id: str = "default", request: str = ""
) -> TurnRecord:
    return TurnRecord(
        turn_id=turn_id,
        user_id=user_id,
        conversation_id=conversation_id,
        message="Hi",
        model="test-model",
        created_at=ANSWER_AT,
        request=request,
    )


def turn_messages(turn_id: str, content: str = "Hello") -> tuple[UserMessage, AssistantMessage]:
    return (
        UserMessage("Hi", turn_id, ANSWER_AT),
        AssistantMessage(content, turn_id, ANSWER_AT, "complete", "test-model"),
    )
