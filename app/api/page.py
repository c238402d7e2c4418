"""The chat page at `/`, and the files that it is made of."""

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Header, Response

from app.api.errors import openapi_responses
from app.errors import MisdirectedRequest, NotFound

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # Where text could become script, the browser itself refuses text.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked for every time, and sent again only where it has changed: the files belong together.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def _read() -> dict[str, _File]:
    """They are few and small, so none is looked for on a request's path."""
    found = {}
    for each in files("app").joinpath("web").iterdir():
        content = each.read_bytes()
        found[each.name] = _File(
            content, _TYPES[PurePath(each.name).suffix], f'"{sha256(content).hexdigest()[:32]}"'
        )
    return found


_FILES = _read()

PATHS = frozenset({"/", *(f"/web/{name}" for name in _FILES)})
"""What a browser asks for before anybody could have typed a key."""

router = APIRouter(tags=["page"])

IfNoneMatch = Annotated[str, Header(include_in_schema=False)]


@router.get(
    "/",
    response_class=Response,
    responses={
        200: {"description": "A chat page that uses these endpoints", "content": {"text/html": {}}},
        **openapi_responses(MisdirectedRequest),
    },
)
async def page(if_none_match: IfNoneMatch = "") -> Response:
    """Chat in a browser."""
    return _answer(_FILES["index.html"], if_none_match)


@router.get("/web/{name}", include_in_schema=False)
async def page_file(name: str, if_none_match: IfNoneMatch = "") -> Response:
    """What the page is made of."""
    if name not in _FILES:
        raise NotFound
    return _answer(_FILES[name], if_none_match)


def _answer(file: _File, if_none_match: str) -> Response:
    headers = {**_HEADERS, "ETag": file.etag}
    if file.etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
