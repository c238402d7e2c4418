"""Asks a question and prints the answer as it arrives; after a cut it reconnects for the rest.

Needs httpx: python examples/client.py "Hello"
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx


def events(response: httpx.Response) -> Iterator[tuple[str, str]]:
    """Yield complete events only; an event that was cut off is sent again."""
    rest = b""
    for part in response.iter_bytes():  # iter_lines would also split inside JSON, at U+2028
        *frames, rest = (rest + part).split(b"\n\n")
        for frame in frames:
            if not frame.startswith(b":"):
                event_id, data = frame.decode().split("\n")
                yield event_id.removeprefix("id: "), data.removeprefix("data: ")


def ask(client: httpx.Client, message: str) -> None:
    """Print each piece of the text once."""
    # The same key for every attempt: a repeated request does not start a second answer.
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"user_id": "user123", "message": message}
    request: dict[str, Any] = {"method": "POST", "url": "/chat", "headers": key, "json": body}
    while True:
        try:
            with client.stream(**request) as response:
                if response.is_client_error:
                    sys.exit(response.read().decode())
                for event_id, data in events(response) if response.is_success else ():
                    if data == "[DONE]":
                        return
                    if event_id.endswith("-end"):
                        sys.exit(data)
                    for choice in json.loads(data)["choices"]:
                        print(choice["delta"].get("content") or "", end="", flush=True)
                    place = f"/chat/{event_id.rpartition('-')[0]}"
                    request = {"method": "GET", "url": place, "headers": {"Last-Event-ID": event_id}}
        except httpx.TransportError as error:
            print(f"{error!r}: reconnecting", file=sys.stderr)
        time.sleep(1)


if __name__ == "__main__":
    url = os.environ.get("CHAT_URL", "http://localhost:8000")
    # The service sends a ping at least every ten seconds, so a longer silence means a dead connection.
    with httpx.Client(base_url=url, timeout=30) as client:
        ask(client, sys.argv[1])
