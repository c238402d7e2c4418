"""Hundreds of requests that are cancelled at any moment: nothing of one user ever reaches another."""

import asyncio
import json
import os
import random
import re

from redis.asyncio import Redis

from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange
from tests.support.chunks import answer
from tests.support.raw_http import chat_request
from tests.support.store import running_turns, stored_messages

CANCELS = int(os.environ.get("TEST_CANCELS", "200"))
USERS = 40
AT_ONCE = 40
_CANARY = re.compile(rb"canary-(\d+)-")


async def test_no_canary_of_a_cancelled_request_ever_reaches_another_user(
    serve: Serve, backend: Backend, own_store: str
) -> None:
    strays: list[str] = []
    chance = random.Random(11)  # noqa: S311 - a fixed sequence is what is wanted

    def look(text: bytes, user: int, where: str) -> None:
        strays.extend(
            f"{canary!r} in {where} of {user}" for canary in _CANARY.findall(text) if int(canary) != user
        )

    async def script(exchange: Exchange) -> None:
        prompt = json.dumps(exchange.body["messages"]).encode()
        user = int(_CANARY.findall(prompt)[-1])
        look(prompt, user, "a prompt")
        await exchange.head()
        for part in answer(*(f"canary-{user}-word{n} " for n in range(20))):
            await exchange.send(part)
            await asyncio.sleep(0.002)

    backend.script = script
    settings = {"redis_url": own_store, "resume_grace_seconds": 0, "history_max_messages": 20}
    async with serve(**settings) as here, serve(**settings) as elsewhere:
        addresses = [(client.base_url.host, client.base_url.port) for client in (here, elsewhere)]
        left = iter(range(CANCELS))

        async def cancel_requests(user: int) -> None:
            """Send one request after the other, and abort each between its first byte and its end."""
            for n in left:
                reader, writer = await asyncio.open_connection(*addresses[n % 2])
                writer.write(
                    chat_request(
                        "Connection: close",
                        user_id=f"user{user}",
                        message=f"canary-{user}-{n}",
                        if_busy="interrupt",
                    )
                )
                text = b""
                wanted = chance.choice([0, 0, 1, 300, 1000, 3000])
                await asyncio.sleep(chance.random() * 0.02)
                while len(text) < wanted and (received := await reader.read(300)):
                    text += received
                writer.transport.abort()
                look(text, user, "a stream")

        await asyncio.gather(*(cancel_requests(user) for user in range(USERS)))
        async with Redis.from_url(own_store) as redis:
            while await running_turns(redis):
                await asyncio.sleep(0.1)
            messages = {user: await stored_messages(redis, f"user{user}") for user in range(USERS)}
    for user, conversation in messages.items():
        look(json.dumps(conversation).encode(), user, "the history")
    assert strays == []
    assert sum(len(conversation) for conversation in messages.values()) > USERS
    assert len(backend.completions) > CANCELS / 4
