"""What routes get from the application and the request."""

from typing import Annotated, cast

from fastapi import Depends, Header, Request

from app.errors import UnsupportedMediaType
from app.observability.readiness import Prober
from app.settings import Settings
from app.turns.engine import TurnEngine


def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


def _engine(request: Request) -> TurnEngine:
    return cast(TurnEngine, request.app.state.engine)


def _prober(request: Request) -> Prober:
    return cast(Prober, request.app.state.prober)


def _request_id(request: Request) -> str:
    return cast(str, request.state.request_id)


def require_json(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """Refuse a body that does not say that it is JSON: a browser sends such a one to any host unasked."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise UnsupportedMediaType


SettingsDep = Annotated[Settings, Depends(_settings)]
EngineDep = Annotated[TurnEngine, Depends(_engine)]
ProberDep = Annotated[Prober, Depends(_prober)]
RequestId = Annotated[str, Depends(_request_id)]
