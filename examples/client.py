"""Asks, and prints the answer as it comes; wherever the line is cut it comes back for the rest.

Wants httpx: python examples/client.py "Hello"
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing

import httpx

URL = os.environ.get("CHAT_URL", "http://localhost:8000")


def events(response: httpx.Response) -> Iterator[tuple[str, str]]:
    """Give whole events only; what was cut off comes again."""
    rest = b""
    for part in response.iter_bytes():  # iter_lines would split within JSON, too, at U+2028
        *frames, rest = (rest + part).split(b"\n\n")
        for frame in frames:
            if not frame.startswith(b":"):
                event_id, data = frame.decode().split("\n")
                yield event_id.removeprefix("id: "), data.removeprefix("data: ")


def answer(client: httpx.Client, message: str) -> Iterator[str]:
    """Give the text piece by piece, each once."""
    body = {"user_id": "user123", "message": message}
    # The same key each time: a question that is sent again is not asked again.
    key = {"Idempotency-Key": uuid.uuid4().hex}
    request = client.build_request("POST", "/chat", json=body, headers=key)
    while True:
        try:
            with closing(client.send(request, stream=True)) as response:
                if response.is_client_error:
                    sys.exit(response.read().decode())
                for event_id, data in events(response) if response.is_success else ():
                    turn_id, _, place = event_id.rpartition("-")
                    if data == "[DONE]":
                        return
                    if place == "end":
                        sys.exit(data)
                    last = {"Last-Event-ID": event_id}
                    request = client.build_request("GET", f"/chat/{turn_id}", headers=last)
                    yield "".join(each["delta"].get("content") or "" for each in json.loads(data)["choices"])
        except httpx.TransportError as error:
            print(f"{error!r}: coming back", file=sys.stderr)
        time.sleep(1)


if __name__ == "__main__":
    # A ping comes at least every ten seconds, so a longer silence is a dead line.
    with httpx.Client(base_url=URL, timeout=30) as client:
        for text in answer(client, sys.argv[1]):
            print(text, end="", flush=True)
