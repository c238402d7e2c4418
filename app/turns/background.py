"""Tasks that outlive requests: restarted after a defect, and reliably cancelled."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from app.errors import HistoryUnavailable

_PAUSE_SECONDS = 0.05

_log = structlog.get_logger()


@asynccontextmanager
async def running(loops: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> AsyncIterator[None]:
    """Run the background loops of the process meanwhile."""
    tasks = {asyncio.create_task(_supervise(loop), name=loop.__qualname__) for loop in loops}
    try:
        yield
    finally:
        await cancel(tasks)


async def _supervise(loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop of the process, and start it again whenever a defect ends it."""
    while True:
        try:
            await loop()
        except Exception:  # noqa: BLE001 - a task's boundary
            _log.exception("background loop failed", loop=loop.__qualname__)
            await asyncio.sleep(_PAUSE_SECONDS)


async def cancel(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended.

    Once may not be enough: Python 3.11's `asyncio.wait_for`, which redis-py uses, can swallow a cancellation.
    """
    while pending := {task for task in tasks if not task.done()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.1)


async def repeat(
    step: Callable[[], Coroutine[Any, Any, None]], *, failure: str, pause_seconds: float
) -> None:
    """Repeat a step until cancelled. While Redis is unreachable, log `failure` once and pause each time."""
    has_failed = False
    while True:
        try:
            await step()
            has_failed = False
        except HistoryUnavailable:
            if not has_failed:
                _log.warning(failure, reason="Redis is unreachable")
            has_failed = True
            await asyncio.sleep(pause_seconds)
