"""Requests to `/v1/responses`, by the official Python package and by plain HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from openai import AsyncOpenAI

from tests.support.chunks import DONE, chunk, event, usage_chunk

KEY, OTHER_KEY = "key-one-0123456789", "key-two-0123456789"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


@asynccontextmanager
async def sdk(client: httpx.AsyncClient, key: str = KEY) -> AsyncIterator[AsyncOpenAI]:
    """Open the official client, which checks every answer against its types."""
    async with AsyncOpenAI(
        base_url=f"{client.base_url}/v1", api_key=key, max_retries=0, _strict_response_validation=True
    ) as openai_client:
        yield openai_client


def body(**fields: Any) -> dict[str, Any]:
    """Make the body of a request."""
    return {"model": "test-model", "input": "Hi", **fields}


async def create(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """Create a response, whole or in the background."""
    response = await client.post("/v1/responses", json=body(**fields))
    assert response.status_code == 200, response.text
    created: dict[str, Any] = response.json()
    return created


def without_comments(stream: bytes) -> bytes:
    """Leave the pings out of a stream."""
    return b"".join(part + b"\n\n" for part in stream.split(b"\n\n") if part and not part.startswith(b":"))


async def streamed(client: httpx.AsyncClient, response_id: str, after: int | None = None) -> bytes:
    """Read the events of a response to its end, or those after one of them."""
    query = {"stream": "true", **({} if after is None else {"starting_after": str(after)})}
    response = await client.get(f"/v1/responses/{response_id}", params=query)
    assert response.status_code == 200, response.text
    return without_comments(response.content)


def types(stream: bytes) -> list[str]:
    """Return the types of the events of a stream."""
    return [frame.split(b"\n")[0].decode().removeprefix("event: ") for frame in stream.split(b"\n\n")[:-1]]


def calls(*parts: dict[str, Any]) -> list[bytes]:
    """Make the end of an answer that consists of parts of calls."""
    made = []
    for part in parts:
        piece = chunk("")
        piece["choices"][0]["delta"] = {"tool_calls": [part]}
        made.append(event(piece))
    return [*made, event(chunk(finish_reason="tool_calls")), event(usage_chunk()), DONE]
