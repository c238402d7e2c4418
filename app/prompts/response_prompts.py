"""The prompts of responses: what was said before, read once the turn has its conversation, and the input."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from app.errors import ValidationFailed
from app.prompts.builder import Prompt
from app.prompts.estimates import text_tokens
from app.prompts.response_items import ChatMessage
from app.prompts.sources import CompletionPrompts

Turns = list[list[ChatMessage]]
"""Earlier turns, the oldest first, as the messages of each."""


class ResponsePrompts:
    """Makes the prompt of one response. Only `truncation: "auto"` allows to leave older turns out."""

    def __init__(
        self,
        fields: dict[str, Any],
        *,
        instructions: str | None,
        read_earlier: Callable[[], Awaitable[Turns]],
        new: list[ChatMessage],
        is_trimmed: bool,
        max_tokens: int,
        affinity: str,
    ) -> None:
        """Take what the request says.

        Args:
            fields: The body of the completion, without messages.
            instructions: What the model is told first.
            read_earlier: Reads the turns before this one.
            new: The messages of the new input.
            is_trimmed: Whether older turns are left out if the prompt is too long.
            max_tokens: The service's cap on an answer's tokens.
            affinity: What requests share that should go to the same backend.
        """
        self._fields = fields
        self._head = [] if instructions is None else [{"role": "system", "content": instructions}]
        self._read_earlier = read_earlier
        self._new = new
        self._is_trimmed = is_trimmed
        self._max_tokens = max_tokens
        self._affinity = affinity
        self._earlier: Turns = []

    async def first(self) -> Prompt:
        """Take everything that was said before.

        Raises:
            ValidationFailed: Nothing was said at all.
        """
        self._earlier = await self._read_earlier()
        return await self._prompt(self._earlier)

    async def shorter(self, refused: Prompt, *, share: float) -> Prompt:
        """Take a share of what was said before, if that is allowed."""
        if not self._is_trimmed or not self._earlier:
            return refused
        sizes = [text_tokens(msgspec.json.encode(turn).decode()) for turn in self._earlier]
        left = share * sum(sizes)
        first = len(sizes)
        while first and sizes[first - 1] <= left:
            first -= 1
            left -= sizes[first]
        # What a function has returned is nothing without the call.
        while first < len(sizes) and self._earlier[first] and self._earlier[first][0]["role"] == "tool":
            first += 1
        prompt = await self._prompt(self._earlier[first:])
        return replace(prompt, dropped_messages=sum(map(len, self._earlier[:first])))

    async def without_history(self, refused: Prompt) -> Prompt:
        """Leave nothing out because of a filter: the client decides what its prompt holds."""
        return refused

    def learn(self, prompt: Prompt, counted: int) -> None:
        """Learn nothing: estimates are of prompts that the service builds."""

    async def _prompt(self, earlier: Turns) -> Prompt:
        messages = [*self._head, *(message for turn in earlier for message in turn), *self._new]
        if not messages:
            raise ValidationFailed("input: expected at least one message", param="input")
        body = {**self._fields, "messages": messages}
        prompts = CompletionPrompts(
            self._fields["model"], body, max_tokens=self._max_tokens, affinity=self._affinity
        )
        return await prompts.first()
