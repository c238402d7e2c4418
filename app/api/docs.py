"""`/docs`: the OpenAPI description in Swagger UI, with no file from elsewhere.

The page names its files relative to itself, so it works below a path prefix too.
"""

from collections.abc import Mapping
from importlib.resources import files

from fastapi import APIRouter, Response

from app import errors
from app.api.errors import openapi_responses

_PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Streaming LLM Chat API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script type="module" src="docs/start.js"></script>
</html>
"""
_START = b"""const response = await fetch("openapi.json");
const description = await response.json();
// Requests go to where this page is, which may be below a path prefix.
description.servers = [{url: new URL(".", location.href).pathname.replace(/\\/$/, "") || "/"}];
SwaggerUIBundle({
  spec: description,
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  validatorUrl: null,
});
"""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def _read() -> Mapping[str, tuple[bytes, str]]:
    swagger_ui = files("fastapi_offline") / "static"
    return {
        "start.js": (_START, "text/javascript; charset=utf-8"),
        "swagger-ui.css": ((swagger_ui / "swagger-ui.css").read_bytes(), "text/css; charset=utf-8"),
        "swagger-ui-bundle.js": (
            (swagger_ui / "swagger-ui-bundle.js").read_bytes(),
            "text/javascript; charset=utf-8",
        ),
    }


_FILES = _read()

FILE_PATHS = frozenset(f"/docs/{name}" for name in _FILES)
"""What the page is made of. A browser cannot send a key with its requests for them."""

router = APIRouter(tags=["docs"])


@router.get(
    "/docs",
    response_class=Response,
    responses={
        200: {"description": "This description, to read and to try out", "content": {"text/html": {}}},
        **openapi_responses(errors.InvalidApiKey, errors.MisdirectedRequest),
    },
)
async def docs() -> Response:
    """Show the OpenAPI description."""
    return Response(_PAGE, media_type="text/html; charset=utf-8", headers=_HEADERS)


@router.get("/docs/{name}", include_in_schema=False)
async def docs_file(name: str) -> Response:
    """Return a file of the page."""
    if name not in _FILES:
        raise errors.NotFound
    content, media_type = _FILES[name]
    return Response(content, media_type=media_type, headers={"Cache-Control": "max-age=3600"})
