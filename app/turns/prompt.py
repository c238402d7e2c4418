"""What the model is asked: the system prompt, what fits of the conversation so far, and the new message."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, groupby

from app.errors import ContextLengthExceeded
from app.llm.client import CompletionRequest
from app.llm.context import ContextSize, ContextSizes
from app.models import AssistantMessage, Message, Question
from app.turns.tokens import TokenScale, prompt_tokens

_SMALLER = 0.5
"""Of the room that a refused prompt was given."""
_RESERVE = 1.1
"""For a guess that is too low: a refusal costs more than the oldest turn."""
_ANSWER_RESERVE = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A request for an answer, and what is known of its messages."""

    completion: CompletionRequest
    guess: float
    """How many tokens they are likely to take, before anybody has counted."""
    tokens: float
    """How many they are likely to take as this model counts."""
    trimmed: int
    """How many older ones were left out, so that these fit."""


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
        self, question: Question, history: Iterable[Message], *, refused: Prompt | None = None
    ) -> Prompt:
        """The prompt for a question, with as many of the newest turns before it as fit.

        Args:
            question: What is asked.
            history: The conversation so far, oldest first.
            refused: The prompt that the backend has found too long: this one is smaller.

        Raises:
            ContextLengthExceeded: The question alone does not fit.
        """
        size = await self._sizes.of(question.model)
        if refused is not None:
            self._learn_from_refusal(refused, size)
        scale = self._scales[question.model].factor
        system = [_message("system", self._system_prompt)] if self._system_prompt else []
        asked = [_message("user", question.message)]
        needed = scale * prompt_tokens([*system, *asked])
        if size.known and needed >= size.known:
            raise ContextLengthExceeded(
                f"The message does not fit the model's context of {size.known} tokens.", param="message"
            )
        sampling = dict(question.sampling)
        max_tokens = min(sampling.pop("max_tokens", self._max_tokens), self._max_tokens)
        share = 1 if refused is None else _SMALLER
        room = size.likely - min(max_tokens, size.likely // 2) - needed
        turns = _turns(history)
        kept = _newest(turns, share * room / scale / _RESERVE)
        messages = [*system, *chain.from_iterable(kept), *asked]
        guess = prompt_tokens(messages)
        if limit := size.known if refused is None else size.likely:
            max_tokens = max(1, min(max_tokens, int(share * _ANSWER_RESERVE * (limit - scale * guess))))
        return Prompt(
            completion=CompletionRequest(
                model=question.model, messages=messages, max_tokens=max_tokens, sampling=sampling
            ),
            guess=guess,
            tokens=scale * guess,
            trimmed=sum(len(turn) for turn in turns[: len(turns) - len(kept)]),
        )

    def learn(self, prompt: Prompt, counted: int) -> None:
        """Take in how many tokens the backend has counted in a prompt that it took."""
        model = prompt.completion.model
        self._sizes.accepted(model, counted)
        self._scales[model].learn(guessed=prompt.guess, counted=counted)

    def _learn_from_refusal(self, refused: Prompt, size: ContextSize) -> None:
        """It was at least as long as what would not have fitted."""
        counted = size.likely - refused.completion.max_tokens
        if counted > refused.tokens:
            self._scales[refused.completion.model].learn(guessed=refused.guess, counted=counted)


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
