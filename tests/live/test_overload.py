"""What one process takes at once: more is refused with a clear error, and probes never are."""

import resource
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from tests.live.conftest import Serve
from tests.support.backend import Backend
from tests.support.chunks import chunk, event
from tests.support.process import started
from tests.support.sse import chat
from tests.support.turns import PausedScript, begin, turn_of


async def overloaded(response: httpx.Response) -> bool:
    return (response.status_code, response.json()["error"]["code"]) == (503, "overloaded") and bool(
        response.headers["retry-after"]
    )


async def test_above_the_most_turns_a_new_one_is_refused_and_leaves_nothing(
    serve: Serve, backend: Backend, user: str, redis: Redis
) -> None:
    backend.script = held = PausedScript(event(chunk("Hel")))
    async with serve(max_active_turns=1) as client:
        key = {"Idempotency-Key": "k"}
        body = {"user_id": f"{user}-1", "message": "Hi"}
        async with client.stream("POST", "/chat", json=body, headers=key):
            refused = await client.post("/chat", json={"user_id": f"{user}-2", "message": "Hi"})
            assert await overloaded(refused)
            assert await redis.keys(f"chat:{{{user}-2}}*") == []
            assert (await client.get("/health")).status_code == 200
            assert (await client.get("/ready")).status_code == 200
            held.go_on.set()
            attached = await client.post("/chat", json=body, headers=key)
            assert attached.text.endswith("data: [DONE]\n\n")
        assert (await chat(client, user_id=f"{user}-2"))[-1].data == "[DONE]"


async def test_above_the_most_readers_another_one_is_refused_and_the_turn_goes_on(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = held = PausedScript(event(chunk("Hel")))
    async with serve(max_readers=1) as client:
        mine = begin(client, user)
        turn_id = turn_of(await anext(mine))
        assert await overloaded(await client.get(f"/chat/{turn_id}"))
        assert await overloaded(await client.post("/chat", json={"user_id": f"{user}-2", "message": "Hi"}))
        assert (await client.post("/chat", json={"user_id": user})).status_code == 422
        ended = await client.get(f"/chat/{turn_id}", headers={"Last-Event-ID": f"{turn_id}-end"})
        assert ended.status_code == 204
        assert (await client.get(f"/users/{user}/conversations")).status_code == 200
        held.go_on.set()
        assert [each async for each in mine][-1].data == "[DONE]"
        # An invalid request is refused first and takes no slot; nor does a refused one.
        assert (await client.get("/chat/unknown")).status_code == 404
        assert (await client.post("/chat", json={"user_id": user})).status_code == 422
        assert (await client.get(f"/chat/{turn_id}")).status_code == 200


@pytest.fixture
def few_open_files() -> Iterator[None]:
    """What is started here may open a few files, and more if it asks for it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_open_files")
@pytest.mark.parametrize(("most", "warnings"), [(100, 0), (10**9, 1)])
async def test_the_start_raises_the_limit_of_open_files_and_says_where_that_is_too_few(
    backend: Backend, valkey_url: str, tmp_path: Path, most: int, warnings: int
) -> None:
    async with started(
        tmp_path,
        llm_base_url=backend.url,
        llm_model="test-model",
        redis_url=valkey_url,
        max_active_turns=most,
        max_readers=most,
    ) as (service, _):
        soft, hard = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard
    assert sum("open files" in line["event"] for line in service.log) == warnings
