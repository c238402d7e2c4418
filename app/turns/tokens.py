"""How many tokens a text is likely to take, where nobody has counted them."""

from collections.abc import Iterable, Mapping

_BYTES_A_TOKEN = 4
"""A rule of thumb: English has some 4 letters a token; where a letter takes more bytes, it is fewer."""
_TOKENS_A_MESSAGE = 4
"""What a chat template puts around each message."""
_FIRST_COUNT = 20.0
_MEMORY = 0.9
_MAX_FACTOR = 8.0
_MIN_FACTOR = 0.5
"""Higher than what some servers report, who leave out the tokens that they had in their cache."""


def text_tokens(text: str) -> float:
    """A guess for a text, for any model."""
    return len(text.encode("utf-8", "replace")) / _BYTES_A_TOKEN


def prompt_tokens(messages: Iterable[Mapping[str, str]]) -> float:
    """A guess for messages in OpenAI's shape."""
    return sum(text_tokens(message["content"]) + _TOKENS_A_MESSAGE for message in messages)


class TokenScale:
    """How far guesses are off for one model, learnt from what its backend counts; the latest count most."""

    def __init__(self) -> None:
        self._guessed = self._counted = _FIRST_COUNT

    @property
    def factor(self) -> float:
        """Tokens that were counted for each that was guessed."""
        return min(max(self._counted / self._guessed, _MIN_FACTOR), _MAX_FACTOR)

    def learn(self, *, guessed: float, counted: float) -> None:
        """Take in a count."""
        self._guessed = _MEMORY * self._guessed + guessed
        self._counted = _MEMORY * self._counted + counted
