"""Structured logs on standard error, ours and the libraries' alike; no message text at any level."""

import logging
import sys
from typing import Literal

import stamina.instrumentation
import structlog
from structlog.typing import Processor

from app.observability.storms import StormFilter

_CHATTY = {
    # They log what passes through them: chunks, prompts, URLs.
    "sse_starlette": logging.INFO,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "aiohttp": logging.WARNING,
    "redis": logging.WARNING,
    "asyncio": logging.WARNING,
    # It tells of its own start and stop what the service says in its own words.
    "uvicorn": logging.WARNING,
}


def configure_logging(*, level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Set up logging for the whole process.

    Args:
        level: Least severity that is logged.
        log_format: `auto` is `console` where standard error is a terminal, else `json`.
    """
    is_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(StormFilter())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(is_console=is_console),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(max(least, logging.getLogger().level))
    # A storm of retries is one failure; whoever retries says how it ended.
    stamina.instrumentation.set_on_retry_hooks([])


def _renderers(*, is_console: bool) -> list[Processor]:
    if is_console:
        # Tracebacks without the values of variables: those hold what users wrote.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
