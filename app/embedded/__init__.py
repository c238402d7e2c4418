"""What a bare machine lacks: a model and a store, as child processes.

Nothing else in the code knows of them: they only fill in LLM_BASE_URL with its key, and REDIS_URL.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from app.embedded.data_dir import private_folder
from app.embedded.errors import EmbeddedError
from app.embedded.model import MAX_TOKENS, embedded_model
from app.embedded.rewriting import rewritten_after_erasures
from app.embedded.store import embedded_store
from app.settings import Settings

__all__ = ["EmbeddedError", "embedded_parts"]


@contextmanager
def embedded_parts(settings: Settings) -> Iterator[Settings]:
    """Start the parts whose URL is not set, and yield settings with both URLs. All ends with the context.

    Raises:
        EmbeddedError: A part cannot start.
    """
    if settings.redis_url and settings.backends:
        yield settings
        return
    data_dir = private_folder(settings.embedded_data_dir)
    with ExitStack() as parts:
        filled: dict[str, Any] = {}
        if not settings.redis_url:
            filled["redis_url"] = url = parts.enter_context(embedded_store(data_dir))
            parts.enter_context(rewritten_after_erasures(url))
        if not settings.backends:
            url, key = parts.enter_context(embedded_model(settings.llm_model, data_dir))
            filled |= {"llm_base_url": url, "llm_api_key": key, "llm_proxy": ""}
            filled["llm_max_tokens"] = min(settings.llm_max_tokens, MAX_TOKENS)
        yield settings.model_copy(update=filled)
