"""A simple reader of event streams for tests, independent of the service's decoder."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass
class Received:
    """An event, as a client sees it."""

    id: str
    data: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def content(self) -> str:
        choices = self.json.get("choices")
        return (choices[0]["delta"].get("content") or "") if choices else ""


async def events(response: httpx.Response) -> AsyncIterator[Received]:
    """Yield the events, without comments, of a stream that uses only what the contract allows."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            assert name not in fields, f"{name} twice in one event"
            fields[name] = value
        elif fields:
            yield Received(**fields)
            fields = {}


async def chat(client: httpx.AsyncClient, message: str = "Hi", **body: Any) -> list[Received]:
    """Ask, and read the answer to its end."""
    request = {"user_id": "user", "message": message, **body}
    async with client.stream("POST", "/chat", json=request) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        return [event async for event in events(response)]
