"""The ends of turns in their users' keys: both messages, and a mark that lets no turn end twice."""

from collections.abc import Sequence

import msgspec

from app.models import AssistantMessage, TurnEnd, TurnRecord, UserMessage
from app.store import keys
from app.store.cluster import ClusterClient
from app.store.connection import RedisClient
from app.store.faults import translated_redis_errors
from app.store.history import HistoryLimits
from app.store.journal_scripts import JournalScripts, mark_of
from app.store.lease_results import CloseResult
from app.store.script import Call, Script, together

_encode = msgspec.json.Encoder().encode
_decode_end = msgspec.json.Decoder(TurnEnd).decode


class FinishedTurns:
    """Closes turns, each once.

    Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        journals: JournalScripts,
        closed_seconds: float,
        history: HistoryLimits,
    ) -> None:
        """Use a client that the caller closes.

        Args:
            redis: A client whose answers are bytes.
            journals: The calls that write journals.
            closed_seconds: How long the end of a turn is kept. Meanwhile the turn is not closed again.
            history: How much of a conversation is kept.
        """
        self._redis = redis
        self._is_cluster = isinstance(redis, ClusterClient)
        self._journals = journals
        self._closed_seconds = int(closed_seconds)
        self._history = history
        self._finish = Script(redis, "finish_turn")

    async def end_of(self, user_id: str, turn_id: str) -> TurnEnd | None:
        """Return how a turn was closed; None: it was not, or its end is no longer kept."""
        async with translated_redis_errors():
            end = await self._redis.get(keys.closed(user_id, turn_id))
        return _decode_end(end) if end else None

    async def finish(
        self,
        record: TurnRecord,
        question: UserMessage,
        answer: AssistantMessage,
        end: TurnEnd,
        *,
        items: Sequence[bytes] = (),
        only_if_lapsed: bool = False,
    ) -> CloseResult:
        """Append both messages and release the conversation, once. A closed turn stays unchanged.

        A conversation of `/v1` gets `items`, an id and a text for each. A blank message of its turns is left
        out: items stand for it.
        """
        async with translated_redis_errors():
            outcome, *rest = await self._call(
                record, question, answer, end, items=items, only_if_lapsed=only_if_lapsed
            )
        if outcome == b"closed":
            return CloseResult("closed", end)
        closed_before = _decode_end(rest[0]) if rest else None
        # The mark is stored without a message. If this end has closed the turn, its message is known here.
        if closed_before == end.without_message():
            closed_before = end
        return CloseResult(outcome.decode(), closed_before)

    async def finish_with_journal(
        self,
        record: TurnRecord,
        question: UserMessage,
        answer: AssistantMessage,
        end: TurnEnd,
        unwritten: tuple[int, Sequence[bytes]],
        *,
        items: Sequence[bytes] = (),
    ) -> bool:
        """Write the last events, close the turn and end its journal, in one round trip.

        The order matters, and each step looks at the one before it:

        1. The last events go into the journal: a reader of it must not meet the end before them.
        2. The turn is closed, unless it is closed already.
        3. The journal ends if it has the last event, and if the turn is closed with this very end.

        Args:
            record: The turn.
            question: The user's message.
            answer: The assistant's message.
            end: How the turn ended.
            unwritten: The number of the last event, and the events that the journal may lack.
            items: What a conversation of `/v1` gets.

        Returns:
            False if a step was refused, or another process has closed the turn. Take the steps one by one
            then; each may be repeated. It is so in a Cluster, which keeps the two families of keys on
            different nodes.
        """
        if self._is_cluster:
            return False
        last, events = unwritten
        steps = [
            self._call(record, question, answer, end, items=items),
            self._journals.close_finished(record, end, last=last),
        ]
        if events:
            steps.insert(0, self._journals.append(record.turn_id, last, events))
        async with translated_redis_errors():
            *_, ended = await together(steps, may_fail=True)
        return bool(ended == last)

    def _call(
        self,
        record: TurnRecord,
        question: UserMessage,
        answer: AssistantMessage,
        end: TurnEnd,
        *,
        items: Sequence[bytes] = (),
        only_if_lapsed: bool = False,
    ) -> Call:
        return self._finish(
            keys=[
                keys.running(record.user_id, record.conversation_id),
                keys.closed(record.user_id, record.turn_id),
                keys.messages(record.user_id, record.conversation_id),
                keys.conversations(record.user_id),
                keys.recent_turns(record.user_id, record.history_id),
                keys.active_turns(record.user_id),
                keys.sizes(record.user_id),
                keys.titles(record.user_id),
                keys.items(record.user_id, record.conversation_id),
                keys.item_order(record.user_id, record.conversation_id),
            ],
            args=[
                record.turn_id,
                mark_of(end),
                int(only_if_lapsed),
                self._closed_seconds,
                record.history_id,
                self._history.max_messages,
                self._history.max_bytes,
                self._history.ttl_seconds,
                b"" if items and not question.content.strip() else _encode(question),
                b"" if items and not answer.content.strip() else _encode(answer),
                *items,
            ],
        )
