"""The backends of this process: each with its client, its load, and what is known of its health."""

import asyncio
from collections.abc import Mapping, Sequence

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
        self.running = 0
        self.busy_until = 0.0
        self._breakers = {model: Breaker(now) for model in models}

    def breaker(self, model: str) -> Breaker:
        """Return the breaker of a model that it offers."""
        return self._breakers[model]


class Backends:
    """All backends, and the windows of the models that they offer."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.all = tuple(backends)

    def offering(self, model: str) -> list[Backend]:
        """Return the backends that offer a model. A single backend is asked for whatever is wanted."""
        return [each for each in self.all if len(self.all) == 1 or model in each.models]

    def in_order(self, model: str, affinity: str) -> list[Backend]:
        """Return the backends to ask, in this order. If all breakers are open, ask anyway.

        Those whose Retry-After is not over are missing.
        """
        able = [each for each in self.offering(model) if each.busy_until <= now()]
        passable = [each for each in able if each.breaker(model).is_passable]
        return in_order(passable or able, affinity)

    async def of(self, model: str) -> ContextSize:
        """Return the smallest window of those that offer the model: a prompt has to fit after a failover."""
        sizes = await asyncio.gather(
            *(each.client.context_sizes.of(each.models.get(model, model)) for each in self.offering(model))
        )
        return min(sizes, key=lambda size: size.likely or float("inf"), default=ContextSize(None))

    def accepted(self, model: str, prompt_tokens: int) -> None:
        """Forget the windows that refusals taught if a longer prompt was taken."""
        for each in self.offering(model):
            each.client.context_sizes.accepted(each.models.get(model, model), prompt_tokens)
