"""Probes of the backend and of Redis, run together at most once a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog

from app.errors import ServiceError

_TIMEOUT_SECONDS = 1.5
_CACHE_SECONDS = 1.0

Probe = Callable[[], Awaitable[None]]

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """The result of one probe.

    Attributes:
        status: Whether the service can work with the target.
        latency_ms: How long the probe took.
        detail: A short reason if the target is down.
        backends: The result for each backend, by its name, if there are several.
    """

    status: Literal["up", "down"]
    latency_ms: float
    detail: str | None = None
    backends: "Mapping[str, Check] | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyOf:
    """Probes of targets that stand in for each other: one that is up is enough.

    Attributes:
        probes: The probes by name.
        deciding: The names of the probes of which one has to succeed. The others are only listed.
    """

    probes: Mapping[str, Probe]
    deciding: Collection[str]


class Prober:
    """The probes; callers within a second of each other share one result."""

    def __init__(self, probes: Mapping[str, Probe | AnyOf]) -> None:
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
                found = await asyncio.gather(*map(_result_of, self._probes.values()))
                self._found = dict(zip(self._probes, found, strict=True))
                self._found_at = time.monotonic()
        return self._found


async def _result_of(probe: Probe | AnyOf) -> Check:
    return await (_run_all(probe) if isinstance(probe, AnyOf) else _run(probe))


async def _run_all(targets: AnyOf) -> Check:
    found = dict(zip(targets.probes, await asyncio.gather(*map(_run, targets.probes.values())), strict=True))
    up = [check for name, check in found.items() if name in targets.deciding and check.status == "up"]
    slowest = max(check.latency_ms for check in found.values())
    return Check(
        status="up" if up else "down",
        latency_ms=min((check.latency_ms for check in up), default=slowest),
        detail=None if up else "No backend that serves the default model is up.",
        backends=found,
    )


async def _run(probe: Probe) -> Check:
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
