"""`/health`, `/ready` and `/metrics`: for what restarts the process, sends it traffic and watches it."""

from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.dependencies import ServiceDep
from app.api.errors import openapi_responses
from app.api.schemas import Health, Readiness
from app.errors import InvalidApiKey, ValidationFailed

Status = Literal["ready", "not_ready", "draining"]

router = APIRouter(tags=["probes"])


@router.get("/health", responses=openapi_responses())
async def health() -> Health:
    """Answer while the event loop turns. Nothing else is checked: a restart would not mend a backend."""
    return Health()


@router.get(
    "/ready",
    response_model_exclude_none=True,
    responses={
        503: {"model": Readiness, "description": "Not ready, or draining"},
        **openapi_responses(ValidationFailed),
    },
)
async def ready(response: Response, service: ServiceDep, checks: Literal["all", "none"] = "all") -> Readiness:
    """Say whether the backend and Redis answer; with `checks=none` only whether new turns are accepted."""
    found = await service.prober.check() if checks == "all" else {}
    is_up = all(check.status == "up" for check in found.values())
    status: Status = "draining" if service.engine.is_draining else "ready" if is_up else "not_ready"
    if status != "ready":
        response.status_code = 503
    return Readiness(status=status, checks=dict(found))


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus's text format", "content": {"text/plain": {}}},
        **openapi_responses(InvalidApiKey),
    },
)
async def metrics(service: ServiceDep) -> Response:
    """Return the metrics of this process."""
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
