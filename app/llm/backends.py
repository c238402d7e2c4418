"""The backends of this process: each with its client, its load, and what is known of its health."""

from collections.abc import Mapping, Sequence
from math import inf

from app.clock import now
from app.llm.breaker import Breaker
from app.llm.choice import in_order
from app.llm.client import LLMClient
from app.llm.context import ContextSize


class Backend:
    """One backend.

    Attributes:
        name: The operator's name for it.
        url: Its base URL.
        client: Asks it.
        models: Its own name of each model, by the name that the service offers.
        weight: Its share of the load, in proportion to its equals.
        priority: Lower numbers are asked first.
        breakers: One for each model that it offers.
        running: How many requests of this process it works on.
        busy_until: Until when it has asked not to be asked, in the event loop's time.
    """

    def __init__(
        self,
        name: str,
        client: LLMClient,
        *,
        url: str,
        models: Mapping[str, str],
        weight: float = 1,
        priority: int = 0,
    ) -> None:
        self.name = name
        self.url = url
        self.client = client
        self.models = models
        self.weight = weight
        self.priority = priority
        self.breakers = {model: Breaker(now) for model in models}
        self.running = 0
        self.busy_until = 0.0

    async def context_size(self, model: str) -> ContextSize:
        """Return what is known of the window of a model that it offers."""
        return await self.client.context_sizes.of(self.models[model])

    def accepted(self, model: str, prompt_tokens: int) -> None:
        """Note the length of a prompt that it has taken: what a refusal taught may be wrong."""
        self.client.context_sizes.accepted(self.models[model], prompt_tokens)


class Backends:
    """All backends, and the choice among them."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.all = tuple(backends)
        self._offering = {
            model: [each for each in backends if model in each.models]
            for backend in backends
            for model in backend.models
        }

    def offering(self, model: str) -> Sequence[Backend]:
        """Return the backends that offer a model."""
        return self._offering.get(model, ())

    def in_order(self, model: str, affinity: str) -> Sequence[Backend]:
        """Return the backends to ask, in this order. The only backend of a model is always asked.

        A backend whose Retry-After is not over is left out. One whose breaker is open is left out, too,
        unless no backend is left.
        """
        offering = self.offering(model)
        return offering if len(offering) == 1 else in_order(_able(offering, model), affinity)

    async def of(self, model: str) -> ContextSize:
        """Return the window that prompts are built for: the smallest of those that are asked first."""
        offering = self.offering(model)
        if len(offering) == 1:
            return await offering[0].context_size(model)
        able = _able(offering, model) or offering
        first = min(each.priority for each in able)
        sizes = [await each.context_size(model) for each in able if each.priority == first]
        return min(sizes, key=lambda size: size.likely or inf)


def _able(offering: Sequence[Backend], model: str) -> Sequence[Backend]:
    free = [each for each in offering if each.busy_until <= now()]
    return [each for each in free if each.breakers[model].is_passable] or free
