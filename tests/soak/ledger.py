"""The answers that clients got, compared with what is stored."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from redis.asyncio import Redis

from tests.support.store import stored_messages

Told = Literal["refused", "stored", "broken off", "left"]
"""An error as a status · `[DONE]` · an error in the stream · the client left and did not hear the end."""


@dataclass
class Question:
    """A question, and the end that its client got."""

    user: str
    conversation: str
    text: str
    told: Told = "left"
    begun: bool = False
    """Whether an event has arrived; from then on the turn must be stored."""
    heard: str = ""


@dataclass
class Ledger:
    """All questions of a run."""

    questions: list[Question] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def ask(self, user: str, conversation: str) -> Question:
        """Note a question before it is sent."""
        question = Question(user, conversation, f"{user} asks {len(self.questions)}")
        self.questions.append(question)
        return question

    async def check(self, redis: Redis) -> None:
        """Compare all questions with what is stored."""
        by_conversation: dict[tuple[str, str], list[Question]] = {}
        for question in self.questions:
            by_conversation.setdefault((question.user, question.conversation), []).append(question)
        for (user, conversation), questions in by_conversation.items():
            messages = await stored_messages(redis, user, conversation)
            for message in messages:
                if not message["content"].startswith(user) and message["content"]:
                    self.violations.append(f"{user} has a message of another user: {message['content']!r}")
            asked = Counter(message["content"] for message in messages if message["role"] == "user")
            answers = {message["turn_id"]: message for message in messages if message["role"] == "assistant"}
            by_question = {m["content"]: answers[m["turn_id"]] for m in messages if m["role"] == "user"}
            for question in questions:
                self._check(question, asked[question.text], by_question.get(question.text))

    def _check(self, question: Question, times: int, answer: dict[str, object] | None) -> None:
        if times > 1:
            self.violations.append(f"stored {times} times: {question.text}")
        if question.told == "refused" and times:
            self.violations.append(f"stored although it was refused: {question.text}")
        if question.begun and not times:
            self.violations.append(f"lost: {question.text} ({question.told})")
        if question.told == "stored" and (answer is None or answer["content"] != question.heard):
            self.violations.append(
                f"stored otherwise than it was received: {question.text}: {answer} / {question.heard!r}"
            )
