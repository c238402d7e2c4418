"""What the model is asked: the system prompt, what fits of the conversation so far, and the new message."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, groupby

from app.errors import ContextLengthExceeded
from app.llm.context import ContextSize, ContextSizes
from app.llm.request import EVERYTHING_ADDED, CompletionRequest
from app.models import AssistantMessage, Message, Question
from app.prompts.estimates import TokenScale, prompt_tokens

_RESERVE = 1.1
"""For a guess that is too low: a refusal costs more than the oldest turn."""
_LEAST_ANSWER_TOKENS = 256
"""An answer's cap is not lowered below it for the sake of what is only likely."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A request for an answer, and what is known of its messages."""

    completion: CompletionRequest
    guess: float
    """How many tokens they are likely to take, before anybody has counted."""
    tokens: float
    """How many they are likely to take as this model counts."""
    history_guess: float
    """The part of the guess that is of the conversation so far."""
    dropped_messages: int
    """How many older messages were left out, so that these fit."""


class PromptBuilder:
    """Builds prompts that fit each model's context."""

    def __init__(self, sizes: ContextSizes, *, system_prompt: str | None, max_tokens: int) -> None:
        """Begin without knowing how a model counts.

        Args:
            sizes: How many tokens each model's context holds.
            system_prompt: First message of every prompt.
            max_tokens: Cap on the tokens of an answer.
        """
        self._sizes = sizes
        self._system_prompt = system_prompt
        self._max_tokens = max_tokens
        self._scales: defaultdict[str, TokenScale] = defaultdict(TokenScale)

    async def build(
        self, question: Question, history: Iterable[Message], *, most_history: float = math.inf
    ) -> Prompt:
        """The prompt for a question, with as many of the newest turns before it as fit.

        Args:
            question: What is asked.
            history: The conversation so far, oldest first.
            most_history: What the guess of the conversation's part may come to at most, after a refusal.

        Raises:
            ContextLengthExceeded: The question alone does not fit.
        """
        size = await self._sizes.of(question.model)
        scale = self._scales[question.model].factor
        system = [_message("system", self._system_prompt)] if self._system_prompt else []
        asked = [_message("user", question.message)]
        needed = prompt_tokens([*system, *asked])
        # What was learnt is left out here: where it is wrong, a message would be refused that fits.
        if size.known and needed >= size.known:
            raise ContextLengthExceeded(
                f"The message does not fit the model's context of {size.known} tokens.", param="message"
            )
        sampling = dict(question.sampling)
        max_tokens = min(sampling.pop("max_tokens", self._max_tokens), self._max_tokens)
        room = math.inf
        if size.likely is not None:
            room = (size.likely - min(max_tokens, size.likely // 4)) / (scale * _RESERVE) - needed
        turns = _turns(history)
        kept = _newest(turns, min(room, most_history))
        messages = [*system, *chain.from_iterable(kept), *asked]
        guess = prompt_tokens(messages)
        least = 1 if most_history < math.inf else int(((size.known or 0) - guess) / 2)
        return Prompt(
            completion=CompletionRequest(
                model=question.model,
                messages=messages,
                max_tokens=_cap(max_tokens, size, scale * _RESERVE * guess, least),
                sampling=sampling,
                # A cap that the client sent is the client's own business.
                added=EVERYTHING_ADDED - ({"max_tokens"} & question.sampling.keys()),
            ),
            guess=guess,
            tokens=scale * guess,
            history_guess=guess - needed,
            dropped_messages=sum(len(turn) for turn in turns[: len(turns) - len(kept)]),
        )

    async def build_smaller(
        self, question: Question, history: Iterable[Message], *, refused: Prompt, share: float
    ) -> Prompt:
        """The prompt in place of one that was too long, with a share of its part of the conversation."""
        size = await self._sizes.of(question.model)
        counted = (size.likely or 0) - refused.completion.max_tokens
        if counted > refused.tokens:
            # It took at least what would not have fitted.
            self._scales[question.model].learn(guessed=refused.guess, counted=counted)
        return await self.build(question, history, most_history=share * refused.history_guess)

    def learn(self, prompt: Prompt, counted: int) -> None:
        """Take in how many tokens the backend has counted in a prompt that it took."""
        model = prompt.completion.model
        self._sizes.accepted(model, counted)
        self._scales[model].learn(guessed=prompt.guess, counted=counted)


def _cap(max_tokens: int, size: ContextSize, used: float, least: int) -> int:
    """The answer's cap: some backends refuse a prompt and a cap that are too much together."""
    if size.likely is None:
        return max_tokens
    if size.learnt:
        least = _LEAST_ANSWER_TOKENS
    return min(max_tokens, max(int(size.likely - used), least, 1))


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _turns(history: Iterable[Message]) -> list[list[dict[str, str]]]:
    """The conversation in OpenAI's shape; without empty answers, as backends refuse empty messages."""
    return [
        [
            _message("assistant" if isinstance(kept, AssistantMessage) else "user", kept.content)
            for kept in turn
            if kept.content
        ]
        for _, turn in groupby(history, key=lambda kept: kept.turn_id)
    ]


def _newest(turns: list[list[dict[str, str]]], tokens: float) -> list[list[dict[str, str]]]:
    """The last turns, as many as take no more than so many tokens."""
    first = len(turns)
    for turn in reversed(turns):
        tokens -= prompt_tokens(turn)
        if tokens < 0:
            break
        first -= 1
    return turns[first:]
