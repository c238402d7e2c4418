"""How many tokens a model's context holds: as configured, as the backend says, or as its refusals teach."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import httpx
import msgspec

from app.llm.bodies import read_body
from app.llm.endpoint import Endpoint
from app.llm.windows import names_in, ollama_size, short_name, size_in, size_in_words, sizes_by_model

_LOOK_UP_SECONDS = 1.0
_MAX_BODY_BYTES = 4 * 1024 * 1024
"""OpenRouter's list of models has about 1 MB."""
_KNOWN_SECONDS = 300.0
"""A backend may be started anew with another size."""
_UNANSWERED_SECONDS = 10.0
"""How soon to ask again a backend that did not answer, or whose answer changes with the models it loads."""
_MAX_SHOWN = 20


class ContextSize(NamedTuple):
    """How many tokens prompt and answer may have together."""

    known: int | None
    """As configured or reported: what does not fit need not be sent."""
    learnt: int | None = None
    """As a refusal's words seem to say, which may mean something else."""

    @property
    def likely(self) -> int | None:
        """The best guess; None: nothing is known, so nothing is left out of a prompt."""
        return min((size for size in self if size), default=None)


class ContextSizes:
    """Each model's context size. Backends tell it in many places, and some in none."""

    def __init__(self, endpoint: Endpoint, *, configured: int | None) -> None:
        self._endpoint = endpoint
        self._configured = configured
        self._by_model: Mapping[str, int] = {}
        self._of_server: int | None = None
        self._asked: set[str] = set()
        self._learnt: dict[str, int] = {}
        self._has_looked = asyncio.Event()
        if self.is_configured:
            self._has_looked.set()

    @property
    def is_configured(self) -> bool:
        """Whether the operator has said it: then no backend is asked."""
        return self._configured is not None

    async def of(self, model: str) -> ContextSize:
        """Return the size for this model; right after the start the backend has a second to tell it."""
        self._asked.add(model)
        await self._has_looked.wait()
        known = self._configured or self._by_model.get(model) or self._of_server
        return ContextSize(known, self._learnt.get(model))

    def learn(self, model: str, refusal: str) -> None:
        """Take the size from the words with which the backend refused a request as too long."""
        if tokens := size_in_words(refusal):
            self._learnt[model] = tokens

    def accepted(self, model: str, prompt_tokens: int) -> None:
        """Forget what was learnt if a longer prompt was taken: the refusal meant something else."""
        if self._learnt.get(model, prompt_tokens) < prompt_tokens:
            del self._learnt[model]

    async def watch(self) -> None:
        """Ask the backend now and then, until cancelled. It is of no use if the size is configured."""
        while True:
            is_final = await self._look_up()
            await asyncio.sleep(_KNOWN_SECONDS if is_final else _UNANSWERED_SECONDS)

    async def _look_up(self) -> bool:
        """Ask once; return whether the answer holds for a while."""
        try:
            async with asyncio.timeout(_LOOK_UP_SECONDS):
                return await self._ask()
        except (TimeoutError, httpx.HTTPStatusError, httpx.RequestError):
            return False
        finally:
            self._has_looked.set()

    async def _ask(self) -> bool:
        """Look at the list of models, then at what some servers have beside their OpenAI-compatible part."""
        listed = await self._get("models")
        by_model: Mapping[str, int] = sizes_by_model(listed)
        of_server, changes = None, False
        if not by_model:
            of_server = size_in(await self._get("../props"))  # llama.cpp
        if not by_model and of_server is None:
            by_model = sizes_by_model(await self._get("../api/v0/models"))  # LM Studio
        if not by_model and of_server is None:
            by_model = await self._ask_ollama(names_in(listed))
            changes = bool(by_model)
        if not by_model and of_server is None:
            of_server = size_in(await self._get("../info"))  # Text Generation Inference
        self._by_model, self._of_server = by_model, of_server
        self._learnt.clear()
        return not changes

    async def _ask_ollama(self, listed: Iterable[str]) -> Mapping[str, int]:
        """Prefer the size of a model as it is loaded: Ollama loads most with less than they could take."""
        running = await self._get("../api/ps")
        if not isinstance(running, dict) or not isinstance(running.get("models"), list):
            return {}
        sizes: dict[str, int] = {}
        for model in list(dict.fromkeys([*self._asked, *listed]))[:_MAX_SHOWN]:
            if size := ollama_size(await self._get("../api/show", model=model)):
                sizes |= dict.fromkeys([model, short_name(model)], size)
        return sizes | sizes_by_model(running)

    async def _get(self, path: str, **asked: str) -> Any:
        """Return what the backend answers as JSON, None if it has nothing; raise while it is starting."""
        response = await (self._endpoint.post(path, asked) if asked else self._endpoint.get(path))
        try:
            if response.is_server_error:
                response.raise_for_status()
            if not response.is_success:
                return None
            body = await read_body(response, most=_MAX_BODY_BYTES, seconds=_LOOK_UP_SECONDS)
            return msgspec.json.decode(body)
        except (ValueError, RecursionError):
            return None
        finally:
            await response.aclose()
