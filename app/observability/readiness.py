"""Probes of the backend and of Redis, run together at most once a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog

from app.errors import ServiceError

_TIMEOUT_SECONDS = 1.5
_CACHE_SECONDS = 1.0

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """The result of one probe; `detail` is a short reason if its target is down."""

    status: Literal["up", "down"]
    latency_ms: float
    detail: str | None = None


class Prober:
    """The probes; callers within a second of each other share one result."""

    def __init__(self, probes: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        """Remember the probes; run none yet.

        Args:
            probes: The probes by name. A probe raises ServiceError if its target is down.
        """
        self._probes = probes
        self._lock = asyncio.Lock()
        self._found: Mapping[str, Check] = {}
        self._found_at = -_CACHE_SECONDS

    async def check(self) -> Mapping[str, Check]:
        """Return the results of all probes, at most about a second old."""
        async with self._lock:
            if time.monotonic() - self._found_at >= _CACHE_SECONDS:
                found = await asyncio.gather(*(_run(probe) for probe in self._probes.values()))
                self._found = dict(zip(self._probes, found, strict=True))
                self._found_at = time.monotonic()
        return self._found


async def _run(probe: Callable[[], Awaitable[None]]) -> Check:
    started = time.monotonic()
    detail = None
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await probe()
    except TimeoutError:
        detail = f"No answer within {_TIMEOUT_SECONDS:g} seconds."
    except ServiceError as error:
        detail = error.message
    except Exception:  # noqa: BLE001 - any failure of a probe means that its target is down
        _log.exception("probe failed", reason="defect")
        detail = "The probe failed; see the log."
    return Check(
        status="up" if detail is None else "down",
        latency_ms=round((time.monotonic() - started) * 1000, 1),
        detail=detail,
    )
