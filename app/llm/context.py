"""How many tokens a model's context holds: as it was configured, as the backend says, else a guess."""

import asyncio
import re
import sys
from typing import NamedTuple, TypeVar

import httpx
import msgspec

from app.llm.failures import TRANSPORT_ERRORS

_Answer = TypeVar("_Answer")

_LOOK_UP_SECONDS = 1.0
_KNOWN_SECONDS = 300.0
"""A backend may be started anew with another size."""
_UNANSWERED_SECONDS = 10.0

# "maximum context length is 2048 tokens" (OpenAI), "context size (2048 tokens)" (llama.cpp), "greater than
# max_model_len=2048" (vLLM); but not "exceeded max context length by 20 tokens" (Ollama).
_LIMIT = re.compile(
    r"(?:context (?:length|size|window)|maximum model length|max_model_len)(?! by)\D{0,20}(\d+)",
    re.IGNORECASE,
)


class ContextSize(NamedTuple):
    """How many tokens prompt and answer may have together."""

    known: int | None
    """As it was configured or reported: what does not fit need not be sent."""
    likely: int
    """The best guess that there is. A refusal's words may mean something else than they seem to."""


_DEFAULT_TOKENS = 4096


class _Model(msgspec.Struct):
    id: str
    max_model_len: int | None = None


class _ModelList(msgspec.Struct):
    data: list[_Model]


class _GenerationSettings(msgspec.Struct):
    n_ctx: int


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
        self._next_look_up = float("-inf")
        self._lock = asyncio.Lock()

    async def of(self, model: str) -> ContextSize:
        """The size for this model. Now and then the backend is asked for it, and waited for for a second."""
        if self._configured is None:
            await self._look_up()
        known = self._configured or self._by_model.get(model) or self._of_server
        learnt = self._learnt.get(model)
        return ContextSize(known, min(known or learnt or _DEFAULT_TOKENS, learnt or sys.maxsize))

    def learn(self, model: str, refusal: str) -> None:
        """Take the size from the words with which the backend refused a request as too long."""
        if found := _LIMIT.search(refusal):
            self._learnt[model] = int(found[1])

    def accepted(self, model: str, prompt_tokens: int) -> None:
        """A prompt of so many tokens was taken: what was learnt of a smaller size was wrong."""
        if self._learnt.get(model, prompt_tokens) < prompt_tokens:
            del self._learnt[model]

    async def _look_up(self) -> None:
        now = asyncio.get_running_loop().time
        async with self._lock:
            if now() < self._next_look_up:
                return
            try:
                async with asyncio.timeout(_LOOK_UP_SECONDS):
                    await self._ask()
                self._learnt.clear()
                self._next_look_up = now() + _KNOWN_SECONDS
            except (TimeoutError, httpx.HTTPStatusError, *TRANSPORT_ERRORS):
                self._next_look_up = now() + _UNANSWERED_SECONDS

    async def _ask(self) -> None:
        listed = await self._get("models", _ModelList)
        models = listed.data if listed else []
        self._by_model = {each.id: each.max_model_len for each in models if each.max_model_len}
        # llama.cpp's are beside its OpenAI-compatible part, not in it.
        properties = None if self._by_model else await self._get("../props", _ServerProperties)
        self._of_server = properties.default_generation_settings.n_ctx if properties else None

    async def _get(self, path: str, kind: type[_Answer]) -> _Answer | None:
        """What the backend answers, or None where it has nothing of the kind; raises while it is starting."""
        response = await self._http.get(self._http.base_url.join(path))
        if response.is_server_error:
            response.raise_for_status()
        try:
            return msgspec.json.decode(response.content, type=kind) if response.is_success else None
        except msgspec.DecodeError:
            return None
