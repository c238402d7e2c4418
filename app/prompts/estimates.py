"""Estimates of token counts for texts that no backend has counted."""

from collections.abc import Iterable, Mapping

_BYTES_A_TOKEN = 4
"""A rule of thumb: an English token has about 4 letters, and fewer if letters take more bytes."""
_TOKENS_A_MESSAGE = 4
"""Tokens that a chat template adds to each message."""
_PRIOR = 200.0**2
"""Weight of the first estimates: that of one prompt of 200 tokens whose estimate was right."""
_MEMORY = 0.9
_MAX_FACTOR = 8.0
_MIN_FACTOR = 0.5
"""A floor for counts that are too low: some servers leave out the tokens that their cache had."""
_TEMPLATE_TOKENS = 500
"""More than any chat template adds to a prompt."""


def text_tokens(text: str) -> float:
    """Estimate the tokens of a text, for any model."""
    return len(text.encode("utf-8", "replace")) / _BYTES_A_TOKEN


def prompt_tokens(messages: Iterable[Mapping[str, str]]) -> float:
    """Estimate the tokens of messages in OpenAI's shape."""
    return sum(text_tokens(message["content"]) + _TOKENS_A_MESSAGE for message in messages)


class TokenScale:
    """The ratio of counted to estimated tokens for one model, learnt from the counts of its backend.

    Long prompts weigh more, because the chat template is most of a short one. Recent prompts weigh more, too.
    """

    def __init__(self) -> None:
        self._products = self._squares = 0.0

    @property
    def factor(self) -> float:
        """The number of counted tokens for each estimated one."""
        factor = (_PRIOR + self._products) / (_PRIOR + self._squares)
        return min(max(factor, _MIN_FACTOR), _MAX_FACTOR)

    def learn(self, *, guessed: float, counted: int) -> None:
        """Learn from a count, unless it is implausible."""
        if guessed / _MAX_FACTOR <= counted <= guessed * _MAX_FACTOR + _TEMPLATE_TOKENS:
            self._products = _MEMORY * self._products + guessed * counted
            self._squares = _MEMORY * self._squares + guessed * guessed
