"""Bodies of JSON, in the one encoding that RFC 8259 has for them."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class _JsonRequest(Request):
    async def json(self) -> Any:
        # Given bytes, the standard library would guess UTF-16 and UTF-32, and take half a surrogate pair.
        return json.loads((await self.body()).decode("utf-8-sig"))


class JsonRoute(APIRoute):
    """A route that reads its body as UTF-8, whatever the bytes look like."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json
