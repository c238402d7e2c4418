"""How many tokens a text is likely to take, where nobody has counted them."""

from collections.abc import Iterable, Mapping

_BYTES_A_TOKEN = 4
"""A rule of thumb: English has some 4 letters a token; where a letter takes more bytes, it is fewer."""
_TOKENS_A_MESSAGE = 4
"""What a chat template puts around each message."""
_PRIOR = 200.0**2
"""What the first guesses weigh: as much as one prompt of 200 tokens that was counted as guessed."""
_MEMORY = 0.9
_MAX_FACTOR = 8.0
_MIN_FACTOR = 0.5
"""Higher than what some servers report, who leave out the tokens that they had in their cache."""
_TEMPLATE_TOKENS = 500
"""More than any chat template adds to a prompt."""


def text_tokens(text: str) -> float:
    """A guess for a text, for any model."""
    return len(text.encode("utf-8", "replace")) / _BYTES_A_TOKEN


def prompt_tokens(messages: Iterable[Mapping[str, str]]) -> float:
    """A guess for messages in OpenAI's shape."""
    return sum(text_tokens(message["content"]) + _TOKENS_A_MESSAGE for message in messages)


class TokenScale:
    """How far guesses are off for one model, learnt from what its backend counts.

    Long prompts count most, as a chat template is most of a short one; and the latest ones.
    """

    def __init__(self) -> None:
        self._products = self._squares = 0.0

    @property
    def factor(self) -> float:
        """Tokens that are counted for each that is guessed."""
        factor = (_PRIOR + self._products) / (_PRIOR + self._squares)
        return min(max(factor, _MIN_FACTOR), _MAX_FACTOR)

    def learn(self, *, guessed: float, counted: int) -> None:
        """Take in a count, unless it is beyond belief."""
        if guessed / _MAX_FACTOR <= counted <= guessed * _MAX_FACTOR + _TEMPLATE_TOKENS:
            self._products = _MEMORY * self._products + guessed * counted
            self._squares = _MEMORY * self._squares + guessed * guessed
