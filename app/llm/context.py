"""How many tokens a model's context holds: as it was configured, as the backend says, else a guess."""

import asyncio
import re
from typing import Any, NamedTuple, TypeVar

import httpx
import msgspec

from app.llm.failures import TRANSPORT_ERRORS

_Answer = TypeVar("_Answer")

_DEFAULT_TOKENS = 4096
_SIZES = range(128, 10**9)
"""What is believed to be one."""
_LOOK_UP_SECONDS = 1.0
_KNOWN_SECONDS = 300.0
"""A backend may be started anew with another size."""
_UNANSWERED_SECONDS = 10.0

# "maximum context length is 2,048 tokens" (OpenAI), "context size (2048 tokens)" (llama.cpp), "greater than
# max_model_len=2048" (vLLM).
_LIMIT = re.compile(
    r"(?:context (?:length|size|window)|maximum model length|max_model_len)"
    r"(?:\s?[=:(]|\sis|\sof){0,2}(?:\sonly)?\s?\(?(\d[\d,]{0,12})",
    re.IGNORECASE,
)


class ContextSize(NamedTuple):
    """How many tokens prompt and answer may have together."""

    known: int | None
    """As it was configured or reported: what does not fit need not be sent."""
    learnt: int | None = None
    """As a refusal's words seem to say, which may mean something else."""

    @property
    def likely(self) -> int:
        """The best guess that there is."""
        known = self.known or _DEFAULT_TOKENS
        return min(known, self.learnt or known)


class _Model(msgspec.Struct):
    id: str = ""
    max_model_len: Any = None


class _ModelList(msgspec.Struct):
    data: list[_Model]


class _GenerationSettings(msgspec.Struct):
    n_ctx: Any


class _ServerProperties(msgspec.Struct):
    default_generation_settings: _GenerationSettings


class ContextSizes:
    """Each model's context size: vLLM tells it with its models, llama.cpp with its properties."""

    def __init__(self, http: httpx.AsyncClient, *, configured: int | None) -> None:
        self._http = http
        self._configured = configured
        self._by_model: dict[str, int] = {}
        self._of_server: int | None = None
        self._learnt: dict[str, int] = {}
        self._has_looked = asyncio.Event()
        if self.is_configured:
            self._has_looked.set()

    @property
    def is_configured(self) -> bool:
        return self._configured is not None

    async def of(self, model: str) -> ContextSize:
        """The size for this model; right after the start the backend has a second to tell it."""
        await self._has_looked.wait()
        known = self._configured or self._by_model.get(model) or self._of_server
        return ContextSize(known, self._learnt.get(model))

    def learn(self, model: str, refusal: str) -> None:
        """Take the size from the words with which the backend refused a request as too long."""
        if (found := _LIMIT.search(refusal)) and (tokens := int(found[1].replace(",", ""))) in _SIZES:
            self._learnt[model] = tokens

    def accepted(self, model: str, prompt_tokens: int) -> None:
        """A prompt of so many tokens was taken: what was learnt of a smaller size was wrong."""
        if self._learnt.get(model, prompt_tokens) < prompt_tokens:
            del self._learnt[model]

    async def watch(self) -> None:
        """Ask the backend now and then, until cancelled. It is of no use where the size is configured."""
        while True:
            is_told = await self._look_up()
            await asyncio.sleep(_KNOWN_SECONDS if is_told else _UNANSWERED_SECONDS)

    async def _look_up(self) -> bool:
        try:
            async with asyncio.timeout(_LOOK_UP_SECONDS):
                await self._ask()
        except (TimeoutError, httpx.HTTPStatusError, *TRANSPORT_ERRORS):
            return False
        else:
            self._learnt.clear()
            return True
        finally:
            self._has_looked.set()

    async def _ask(self) -> None:
        listed = await self._get("models", _ModelList)
        sizes = {each.id: _size(each.max_model_len) for each in (listed.data if listed else ())}
        self._by_model = {model: size for model, size in sizes.items() if size}
        # llama.cpp's are beside its OpenAI-compatible part, not in it.
        properties = None if self._by_model else await self._get("../props", _ServerProperties)
        self._of_server = _size(properties.default_generation_settings.n_ctx) if properties else None

    async def _get(self, path: str, kind: type[_Answer]) -> _Answer | None:
        """What the backend answers, or None where it has nothing of the kind; raises while it is starting."""
        response = await self._http.get(self._http.base_url.join(path))
        if response.is_server_error:
            response.raise_for_status()
        try:
            return msgspec.json.decode(response.content, type=kind) if response.is_success else None
        except (ValueError, RecursionError):
            return None


def _size(value: Any) -> int | None:
    return value if isinstance(value, int) and value in _SIZES else None
