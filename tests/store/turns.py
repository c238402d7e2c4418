"""Turns for tests of the store."""

from app.models import AssistantMessage, TurnRecord, UserMessage
from app.store.connection import RedisClient
from app.store.lease_index import LeaseIndex
from app.store.lease_results import UserLimits
from app.store.leases import TurnLeases

ANSWER_AT = "2026-01-01T00:00:00.000Z"


def running_turns(
    redis: RedisClient,
    *,
    ttl_seconds: int = 60,
    max_messages: int = 100,
    max_bytes: int = 2**23,
    at_once: int = 0,
    a_minute: int = 0,
    conversations: int = 0,
) -> TurnLeases:
    return TurnLeases(
        redis,
        index=LeaseIndex(redis),
        owner="owner",
        lease_seconds=10,
        closed_seconds=300,
        history_ttl_seconds=ttl_seconds,
        history_max_messages=max_messages,
        history_max_bytes=max_bytes,
        limits=UserLimits(at_once=at_once, per_minute=a_minute, conversations=conversations),
    )


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
