"""What a backend is asked: the system prompt, the part of the conversation that fits, and the new message."""

import math
from collections import defaultdict
from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple, Protocol

import msgspec

from app.errors import ContextLengthExceeded
from app.llm.context import ContextSize
from app.llm.request import EVERYTHING_ADDED, CompletionRequest
from app.prompts.estimates import TokenScale, prompt_tokens
from app.prompts.transcript import as_sent, message
from app.store.recent_turns import RecentTurns

_RESERVE = 1.1
"""Margin for estimates that are too low: a refusal costs more than the oldest turn."""
_ANSWER_SHARE = 4
"""At most one part in so many of the window is kept free for the answer."""
_BELOW_REFUSED = 0.9
"""How long a prompt may be, in proportion to one that was refused, if the window is unknown."""
_LEAST_ANSWER_TOKENS = 256
"""The answer's cap is not lowered below this because of a size that is only likely."""


class Request(Protocol):
    """What is asked, whichever front it came through."""

    @property
    def model(self) -> str:
        """The model that is to answer."""

    @property
    def message(self) -> str:
        """The new message of the user."""

    @property
    def sampling(self) -> Mapping[str, Any]:
        """OpenAI's parameters, as they came."""

    @property
    def affinity(self) -> str:
        """What requests share that should go to the same backend."""


class Windows(Protocol):
    """The windows of models."""

    async def of(self, model: str) -> ContextSize:
        """Return what is known of the window of a model."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A request for an answer, and what is known of its messages."""

    completion: CompletionRequest
    guess: float
    """The estimate of its tokens, before any backend has counted."""
    tokens: float
    """The estimate of its tokens, as this model counts."""
    history_guess: float
    """The part of `guess` that the conversation so far takes."""
    dropped_messages: int
    """How many older messages were left out, so that the others fit."""


class _KeptTurns(NamedTuple):
    messages: list[dict[str, str]]
    dropped_messages: int


class PromptBuilder:
    """Builds prompts that fit each model's window, and that the strictest chat template takes."""

    def __init__(self, sizes: Windows, *, system_prompt: str | None, max_tokens: int) -> None:
        """Begin without knowing how a model counts.

        Args:
            sizes: How many tokens each model's window holds.
            system_prompt: The first message of every prompt.
            max_tokens: Cap on the tokens of an answer.
        """
        self._sizes = sizes
        self._system = [message("system", system_prompt)] if system_prompt and system_prompt.strip() else []
        self._max_tokens = max_tokens
        self._scales: defaultdict[str, TokenScale] = defaultdict(TokenScale)
        self._refused: dict[str, float] = {}
        """The estimate of the shortest prompt that was refused, for models whose windows are unknown."""

    async def build(
        self, request: Request, history: RecentTurns, *, most_history: float = math.inf
    ) -> Prompt:
        """Build a prompt with as many of the newest turns as fit. Only so much of the history is read.

        Args:
            request: What is asked.
            history: The conversation so far.
            most_history: What the estimate of the conversation's part may come to at most, after a refusal.

        Raises:
            ContextLengthExceeded: The message alone does not fit.
            HistoryUnavailable: The history could not be read.
        """
        size = await self._sizes.of(request.model)
        scale = self._scales[request.model].factor
        asked = [message("user", request.message)]
        needed = prompt_tokens([*self._system, *asked])
        # Not what a refusal seems to have said: if that is wrong, a message that fits would be refused here.
        if size.known and needed >= size.known:
            raise ContextLengthExceeded(
                f"The message does not fit the model's context of {size.known} tokens.", param="message"
            )
        sampling = dict(request.sampling)
        max_tokens = min(sampling.pop("max_tokens", self._max_tokens), self._max_tokens)
        room = self._room(request.model, size, max_tokens, scale) - needed
        kept = await _newest(history, min(room, most_history))
        messages = [*self._system, *kept.messages, *asked]
        guess = prompt_tokens(messages)
        least = 1 if most_history < math.inf else int(((size.known or 0) - guess) / 2)
        return Prompt(
            completion=CompletionRequest(
                model=request.model,
                messages=messages,
                max_tokens=_cap(max_tokens, size, scale * _RESERVE * guess, least),
                sampling=sampling,
                # A cap that the client sent is the client's own business.
                added=EVERYTHING_ADDED - ({"max_tokens"} & request.sampling.keys()),
                affinity=request.affinity,
            ),
            guess=guess,
            tokens=scale * guess,
            history_guess=guess - needed,
            dropped_messages=kept.dropped_messages,
        )

    async def build_smaller(
        self, request: Request, history: RecentTurns, *, refused: Prompt, share: float
    ) -> Prompt:
        """Build a prompt to replace one that was too long, with a share of its part of the conversation."""
        size = await self._sizes.of(request.model)
        if size.likely is None:
            shortest = self._refused.get(request.model, math.inf)
            self._refused[request.model] = min(shortest, refused.guess)
        else:
            counted = size.likely - refused.completion.bound
            if counted > refused.tokens:
                # The prompt took at least what would not have fitted.
                self._scales[request.model].learn(guessed=refused.guess, counted=counted)
        return await self.build(request, history, most_history=share * refused.history_guess)

    async def build_without_history(self, request: Request, history: RecentTurns) -> Prompt:
        """Build a prompt of the message alone, in place of one whose content was refused."""
        return await self.build(request, history, most_history=0)

    def learn(self, prompt: Prompt, counted: int) -> None:
        """Take in how many tokens the backend has counted in a prompt that it took."""
        model = prompt.completion.model
        self._scales[model].learn(guessed=prompt.guess, counted=counted)
        if prompt.guess >= self._refused.get(model, math.inf):
            del self._refused[model]  # the model was given a larger window

    def _room(self, model: str, size: ContextSize, max_tokens: int, scale: float) -> float:
        """Return how much the messages may take, as an estimate; infinite if the window is unknown."""
        if size.likely is None:
            return self._refused.get(model, math.inf) * _BELOW_REFUSED
        return (size.likely - min(max_tokens, size.likely // _ANSWER_SHARE)) / (scale * _RESERVE)


def _cap(max_tokens: int, size: ContextSize, used: float, least: int) -> int:
    """Lower the answer's cap: some backends refuse a prompt and a cap that are too much together."""
    if size.likely is None:
        return max_tokens
    if size.learnt:
        least = _LEAST_ANSWER_TOKENS
    return min(max_tokens, max(int(size.likely - used), least, 1))


async def _newest(history: RecentTurns, tokens: float) -> _KeptTurns:
    """Take the newest turns, as many as take no more than so many tokens."""
    kept: list[list[dict[str, str]]] = []
    async for turn in history.newest_first():
        messages = as_sent(turn.messages)
        tokens -= prompt_tokens(messages)
        if tokens < 0:
            return _KeptTurns(_oldest_first(kept), turn.stop)
        kept.append(messages)
    return _KeptTurns(_oldest_first(kept), history.unread)


def _oldest_first(turns: list[list[dict[str, str]]]) -> list[dict[str, str]]:
    return list(chain.from_iterable(reversed(turns)))
