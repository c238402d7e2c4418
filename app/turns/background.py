"""Tasks that outlive requests: kept alive, and ended for certain."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from app.errors import HistoryUnavailable

_PAUSE_SECONDS = 0.05

_log = structlog.get_logger()


async def supervise(loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Whatever a loop of the process meets, it goes on."""
    while True:
        try:
            await loop()
        except Exception:  # noqa: BLE001 - a task's boundary
            _log.exception("a loop failed by a defect")
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
    step: Callable[[], Coroutine[Any, Any, None]], *, when_unreachable: str, pause_seconds: float
) -> None:
    """Do a step again and again; while Redis is away say so once, and try again after each pause."""
    is_unreachable = False
    while True:
        try:
            await step()
            is_unreachable = False
        except HistoryUnavailable:
            if not is_unreachable:
                _log.warning(when_unreachable)
            is_unreachable = True
            await asyncio.sleep(pause_seconds)
