"""Routes that stream.

FastAPI describes them, but does not run them: its way to an endpoint took a fifth of a turn's time.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, get_type_hints

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send

from app.api.dependencies import require_json_type
from app.api.headers import headers_of
from app.api.stream_call import StreamCall
from app.errors import InvalidJson, ValidationFailed

_Body = TypeVar("_Body", bound=BaseModel)


class StreamRoute(APIRoute):
    """A route whose endpoint takes the names in its path, a `call` and, if a model describes it, a `body`."""

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._body_model: type[BaseModel] | None = get_type_hints(endpoint).get("body")

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Its slot is released at the end, unless a stream holds it."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        call = StreamCall(scope, receive)
        arguments = {**scope["path_params"], "call": call}
        with call.slot:
            if scope["method"] == "POST":
                require_json_type(headers_of(scope).get("content-type", ""))
            if self._body_model is not None:
                arguments["body"] = await _read_body(call, self._body_model)
            response = await self.endpoint(**arguments)
            await response(scope, receive, send)


async def _read_body(request: Request, model: type[_Body]) -> _Body:
    """Read a body of JSON in UTF-8, whatever its bytes look like.

    Raises:
        InvalidJson: It is not JSON in UTF-8.
        ValidationFailed: There is none.
        RequestValidationError: It is not as the model describes it.
    """
    content = await request.body()
    if not content:
        raise ValidationFailed("Field required")
    try:
        # Given bytes, the standard library would guess UTF-16 and UTF-32, and take half a surrogate pair.
        value = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise InvalidJson from None
    try:
        return model.model_validate(value, from_attributes=True)
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
        ) from None
