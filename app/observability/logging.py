"""Structured logs of the service and of its libraries, on standard error. No level logs message text.

The service's own lines go through structlog alone, because a turn has two of them and the standard library's
logging costs five times as much. The libraries' lines take the same way after the standard library.
"""

import asyncio
import json
import logging
import sys
import traceback
from contextlib import suppress
from typing import Any, BinaryIO, Literal, TextIO

import msgspec
import stamina.instrumentation
import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from app.observability.storms import StormFilter

_log = structlog.get_logger()
_encode = msgspec.json.Encoder(enc_hook=repr).encode

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
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            StormFilter(),
            *_renderers(is_console=is_console),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _LineLogger(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_LibraryLines()], level=level.upper(), force=True)
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(max(least, logging.getLogger().level))
    # Many retries are one failure, and the code that retries logs how it ended.
    stamina.instrumentation.set_on_retry_hooks([])


def log_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception that no code awaited, without its text, which the line of asyncio would contain."""
    _log.error("unhandled exception", what=context["message"], exc_info=context.get("exception"))


class _LineLogger:
    """Writes each line at once, in one piece.

    A line that cannot be written is lost, as with the standard library: the code that logs goes on.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._write = stream.write
        self._flush = stream.flush

    def write_line(self, line: bytes) -> None:
        with suppress(OSError, ValueError):  # the disk is full, or the stream's other end is closed
            self._write(line + b"\n")
            self._flush()

    debug = info = warning = error = critical = write_line


class _LibraryLines(logging.Handler):
    """Hands the libraries' lines to structlog."""

    def __init__(self) -> None:
        super().__init__()
        self._log = structlog.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        # structlog knows no levels between the usual ones.
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        try:
            line = record.getMessage()
        except Exception:  # noqa: BLE001 - a wrong template must not fail the library that logs
            self.handleError(record)
            return
        self._log.log(level, line, exc_info=record.exc_info, _kind=(record.name, str(record.msg)))


def _renderers(*, is_console: bool) -> list[Processor]:
    if is_console:
        return [structlog.dev.ConsoleRenderer(exception_formatter=_write_where_it_failed), _as_bytes]
    return [structlog.processors.ExceptionRenderer(_where_it_failed), _as_json]


def _as_json(_logger: WrappedLogger, _method: str, fields: EventDict) -> bytes:
    """Write ASCII only, because some readers of logs end a line at U+2028, too."""
    with suppress(ValueError, TypeError, OverflowError):  # a value that only the standard library takes
        line = _encode(fields)
        if line.isascii():
            return line
    return json.dumps(fields, default=repr, separators=(",", ":")).encode()


def _as_bytes(_logger: WrappedLogger, _method: str, line: Any) -> bytes:
    return str(line).encode("utf-8", "backslashreplace")


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
