"""What a bare machine lacks: a model and a store, as child processes.

Nothing else in the code knows of them: they only fill in LLM_BASE_URL and REDIS_URL.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.embedded.errors import EmbeddedError
from app.embedded.model import embedded_model
from app.embedded.rewriting import rewritten_after_erasures
from app.embedded.store import embedded_store
from app.settings import Settings

__all__ = ["EmbeddedError", "embedded_parts"]


@contextmanager
def embedded_parts(settings: Settings) -> Iterator[Settings]:
    """Start what is not set, and give the settings with both URLs; all ends with the context.

    Raises:
        EmbeddedError: A part cannot start.
    """
    if settings.redis_url and settings.llm_base_url:
        yield settings
        return
    data_dir = _writable(settings.embedded_data_dir)
    with ExitStack() as parts:
        filled: dict[str, str] = {}
        if not settings.redis_url:
            filled["redis_url"] = url = parts.enter_context(embedded_store(data_dir))
            parts.enter_context(rewritten_after_erasures(url))
        if not settings.llm_base_url:
            filled["llm_base_url"] = parts.enter_context(embedded_model(settings.llm_model, data_dir))
        yield settings.model_copy(update=filled)


def _writable(data_dir: Path) -> Path:
    try:
        # In full: the store makes it its working directory.
        data_dir = data_dir.resolve()
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        (data_dir / "lock").touch()
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EmbeddedError(
            f"EMBEDDED_DATA_DIR: expected a folder that can be written, {data_dir}: {reason}"
        ) from None
    return data_dir
