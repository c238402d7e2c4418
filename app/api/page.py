"""The chat page at `/`, and the files that it is made of."""

import gzip
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
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
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # Text cannot become script: the browser takes HTML from DOMPurify alone.
    "require-trusted-types-for 'script'; trusted-types dompurify"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The browser asks every time and gets only what has changed: the files belong together.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


class _File:
    def __init__(self, name: str, content: bytes) -> None:
        self.content = content
        self.media_type = _TYPES[PurePath(name).suffix]
        self.digest = sha256(content).hexdigest()[:32]

    @cached_property
    def compressed(self) -> bytes:
        """The content as gzip, made when the first browser asks for it."""
        return gzip.compress(self.content, mtime=0)


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, _File]]:
    """Read all files once: they are few and small, and a request then never waits for the disk."""
    for each in folder.iterdir():
        if each.is_dir():
            yield from _read(each, f"{prefix}{each.name}/")
        elif not each.name.startswith("."):
            yield prefix + each.name, _File(each.name, each.read_bytes())


_FILES = dict(_read(files("app").joinpath("web")))

PATHS = frozenset({"/", *(f"/web/{name}" for name in _FILES)})
"""The paths that a browser asks for before its user can type a key."""

router = APIRouter(tags=["page"])

IfNoneMatch = Annotated[str, Header(include_in_schema=False)]
AcceptEncoding = Annotated[str, Header(include_in_schema=False)]


@router.get(
    "/",
    response_class=Response,
    responses={
        200: {"description": "A chat page that uses these endpoints", "content": {"text/html": {}}},
        **openapi_responses(MisdirectedRequest),
    },
)
async def page(if_none_match: IfNoneMatch = "", accept_encoding: AcceptEncoding = "") -> Response:
    """Chat in a browser."""
    return _answer(_FILES["index.html"], if_none_match, accept_encoding)


@router.get("/web/{name:path}", include_in_schema=False)
async def page_file(
    name: str, if_none_match: IfNoneMatch = "", accept_encoding: AcceptEncoding = ""
) -> Response:
    """Return a file of the page."""
    if name not in _FILES:
        raise NotFound
    return _answer(_FILES[name], if_none_match, accept_encoding)


def _answer(file: _File, if_none_match: str, accept_encoding: str) -> Response:
    takes_gzip = any(each.strip().lower() == "gzip" for each in accept_encoding.split(","))
    etag = f'"{file.digest}-gzip"' if takes_gzip else f'"{file.digest}"'
    headers = {**_HEADERS, "ETag": etag}
    if etag in if_none_match:
        return Response(status_code=304, headers=headers)
    if takes_gzip:
        return Response(
            file.compressed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"}
        )
    return Response(file.content, media_type=file.media_type, headers=headers)
