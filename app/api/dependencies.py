"""What routes depend on: the service, and what a request says in its headers and path."""

from contextlib import suppress
from typing import Annotated, cast

from fastapi import Depends, Header, Path, Request

from app.api.schemas import ExistingName
from app.errors import UnsupportedMediaType
from app.models import Viewer
from app.security.caller import Caller
from app.security.identity import viewer_of
from app.service import Service

# None of these waits, but FastAPI runs plain functions in worker threads.


async def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


async def _caller(request: Request) -> Caller:
    return cast(Caller, request.state.caller)


async def _own_user_id(user_id: Annotated[ExistingName, Path()], caller: "CallerDep") -> str:
    caller.require(user_id)
    return user_id


async def require_json(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """Refuse a body of any other type than JSON: pages of any origin may send it without being asked."""
    require_json_type(content_type)


def require_json_type(content_type: str) -> None:
    """Require that a header Content-Type names JSON.

    Raises:
        UnsupportedMediaType: It names another type, or none.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise UnsupportedMediaType


async def _trusted_user(request: Request, service: "ServiceDep") -> str:
    return trusted_user_of(request, service)


def trusted_user_of(request: Request, service: Service) -> str:
    """Return the user that a trusted proxy names; empty: none does."""
    header = service.settings.trusted_user_header
    value = request.headers.get(header, "") if header else ""
    with suppress(UnicodeError):  # the framework reads headers as Latin-1, and proxies send UTF-8
        return value.encode("latin-1").decode()
    return value


async def _viewer(caller: "CallerDep", trusted_user: "TrustedUser") -> Viewer:
    return viewer_of(caller, trusted_user)


ServiceDep = Annotated[Service, Depends(_service)]
CallerDep = Annotated[Caller, Depends(_caller)]
TrustedUser = Annotated[str, Depends(_trusted_user)]
ViewerDep = Annotated[Viewer, Depends(_viewer)]
"""The caller as one who asks for a turn by its id."""
UserId = Annotated[str, Depends(_own_user_id)]
"""The user in the path, for whom the caller may speak."""
ConversationId = Annotated[ExistingName, Path()]
