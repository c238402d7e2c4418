"""What a bare machine lacks: a model and a store, as child processes.

Nothing else in the code knows of them: they only fill in LLM_BASE_URL and REDIS_URL.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from app.embedded.errors import EmbeddedError
from app.embedded.model import embedded_model
from app.embedded.store import embedded_store
from app.settings import Settings

__all__ = ["EmbeddedError", "embedded_parts"]


@contextmanager
def embedded_parts(settings: Settings) -> Iterator[Settings]:
    """Start what is not set, and give the settings with both URLs; all ends with the context.

    Raises:
        EmbeddedError: A part cannot start.
    """
    with ExitStack() as parts:
        # Without symbolic links and dots: the children have working directories of their own.
        data_dir = settings.embedded_data_dir.resolve()
        filled: dict[str, str] = {}
        if not settings.redis_url:
            filled["redis_url"] = parts.enter_context(embedded_store(data_dir))
        if not settings.llm_base_url:
            filled["llm_base_url"] = parts.enter_context(embedded_model(settings.llm_model, data_dir))
        yield settings.model_copy(update=filled)
