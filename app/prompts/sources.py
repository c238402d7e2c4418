"""The sources of a turn's prompt: the service builds it from a conversation, or the client sends it whole."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from app.llm.request import Added, CompletionRequest
from app.models import TurnRequest
from app.prompts.builder import Prompt, PromptBuilder
from app.prompts.estimates import text_tokens
from app.store.recent_turns import RecentTurns

CAPS = ("max_tokens", "max_completion_tokens")
"""The fields of a completion that bound its length."""


class PromptSource(Protocol):
    """Makes the prompt of one turn, and shorter ones if the backend refuses it."""

    async def first(self) -> Prompt:
        """Make the prompt to begin with."""

    async def shorter(self, refused: Prompt, *, share: float) -> Prompt:
        """Make a prompt with this share of the refused one's history; the same one if it has none."""

    async def without_history(self, refused: Prompt) -> Prompt:
        """Make a prompt of the new message alone; the same one if there is nothing to leave out."""

    def learn(self, prompt: Prompt, counted: int) -> None:
        """Take in how many tokens the backend has counted in a prompt."""


def _can_be_streamed(body: Mapping[str, Any]) -> bool:
    """Tell whether a stream of this completion can be put together to what the client asks for."""
    if body.get("stream"):
        return True
    modalities = body.get("modalities")
    is_text = not body.get("audio") and (not modalities or modalities == ["text"])
    return is_text and body.get("n") in (None, 1)


class ConversationPrompts:
    """Prompts that the service builds of a conversation and a new message."""

    def __init__(self, builder: PromptBuilder, request: TurnRequest, history: RecentTurns) -> None:
        self._builder = builder
        self._request = request
        self._history = history

    async def first(self) -> Prompt:
        """Take as much of the history as fits."""
        return await self._builder.build(self._request, self._history)

    async def shorter(self, refused: Prompt, *, share: float) -> Prompt:
        """Take a share of the history that the refused prompt had."""
        return await self._builder.build_smaller(self._request, self._history, refused=refused, share=share)

    async def without_history(self, refused: Prompt) -> Prompt:  # noqa: ARG002 - the protocol's
        """Take none of the history."""
        return await self._builder.build_without_history(self._request, self._history)

    def learn(self, prompt: Prompt, counted: int) -> None:
        """Correct the estimates for the model."""
        self._builder.learn(prompt, counted)


class CompletionPrompts:
    """The prompt that a client has written itself. Nothing of it is left out, whatever the backend says."""

    def __init__(self, model: str, body: dict[str, Any], *, max_tokens: int, affinity: str) -> None:
        """Take the client's body.

        Args:
            model: The model that is to answer.
            body: The body of `POST /chat/completions`.
            max_tokens: The service's cap on an answer's tokens.
            affinity: What requests share that should go to the same backend.
        """
        self._model = model
        self._body = body
        self._max_tokens = max_tokens
        self._affinity = affinity

    async def first(self) -> Prompt:
        """Pass the client's body on, with its caps lowered to the service's."""
        own = dict(self._body)
        for cap in CAPS:
            if isinstance(asked := own.get(cap), int):
                own[cap] = min(asked, self._max_tokens)
        added: set[Added] = set() if own.get("stream_options") else {"stream_options"}
        completion = CompletionRequest(
            model=self._model,
            messages=own.pop("messages"),
            max_tokens=own.pop("max_tokens", None),
            sampling=own,
            added=frozenset(added),
            is_streamed=_can_be_streamed(own),
            longest_answer=self._max_tokens,
            affinity=self._affinity,
        )
        tokens = text_tokens(msgspec.json.encode(completion.messages).decode())
        return Prompt(completion=completion, guess=tokens, tokens=tokens, history_guess=0, dropped_messages=0)

    async def shorter(self, refused: Prompt, *, share: float) -> Prompt:  # noqa: ARG002 - the protocol's
        """Leave nothing out: the client decides what its prompt holds."""
        return refused

    async def without_history(self, refused: Prompt) -> Prompt:
        """Leave nothing out: the client decides what its prompt holds."""
        return refused

    def learn(self, prompt: Prompt, counted: int) -> None:
        """Learn nothing: estimates are of prompts that the service builds."""


def prompts_for(
    request: TurnRequest, history: RecentTurns, *, builder: PromptBuilder, max_tokens: int
) -> PromptSource:
    """Choose the source of a turn's prompt."""
    if request.completion is not None:
        return CompletionPrompts(
            request.model, dict(request.completion), max_tokens=max_tokens, affinity=request.affinity
        )
    return ConversationPrompts(builder, request, history)
