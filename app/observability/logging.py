"""Structured logs of the service and of its libraries, on standard error. No level logs message text."""

import asyncio
import logging
import sys
import traceback
from typing import Any, Literal, TextIO

import stamina.instrumentation
import structlog
from structlog.typing import ExcInfo, Processor

from app.observability.storms import StormFilter

_log = structlog.get_logger()

_CHATTY = {
    # Below these levels they log chunks, prompts and URLs.
    "sse_starlette": logging.INFO,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "redis": logging.WARNING,
    "urllib3": logging.WARNING,
    # Its warnings contain the collector's path.
    "opentelemetry": logging.ERROR,
    "asyncio": logging.WARNING,
    # The service logs its start and stop itself.
    "uvicorn": logging.WARNING,
}


def configure_logging(*, level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Set up logging for the whole process.

    Args:
        level: Least severity that is logged.
        log_format: `auto` is `console` if standard error is a terminal, otherwise `json`.
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
    # Many retries are one failure, and the code that retries logs how it ended.
    stamina.instrumentation.set_on_retry_hooks([])


def log_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception that no code awaited, without its text, which the line of asyncio would contain."""
    _log.error("unhandled exception", what=context["message"], exc_info=context.get("exception"))


def _renderers(*, is_console: bool) -> list[Processor]:
    if is_console:
        return [structlog.dev.ConsoleRenderer(exception_formatter=_write_where_it_failed)]
    return [structlog.processors.ExceptionRenderer(_where_it_failed), structlog.processors.JSONRenderer()]


def _write_where_it_failed(out: TextIO, exc_info: ExcInfo) -> None:
    out.write("\n" + _where_it_failed(exc_info))


def _where_it_failed(exc_info: ExcInfo) -> str:
    """Format a traceback without values and without the exceptions' texts: both may contain user text."""
    parts: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None:
        kind = type(error)
        parts.insert(
            0, "".join(traceback.format_tb(error.__traceback__)) + f"{kind.__module__}.{kind.__qualname__}"
        )
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nwhich led to\n\n".join(parts)
