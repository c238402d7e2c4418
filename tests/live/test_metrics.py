"""What `/metrics` tells of turns, as Prometheus reads it."""

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.turns import generation
from tests.live.conftest import Serve
from tests.support.backend import Backend
from tests.support.chunks import DONE, chunk, event
from tests.support.sse import chat
from tests.support.store import frozen
from tests.support.turns import PausedScript, begin, follow, turn_of

Sample = tuple[str, tuple[tuple[str, str], ...]]


async def scrape(client: httpx.AsyncClient) -> dict[Sample, float]:
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def of(found: dict[Sample, float], name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


async def test_a_whole_turn_is_counted_and_timed(serve: Serve, backend: Backend, user: str) -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    rest = (
        event(chunk("lo")),
        event(chunk(finish_reason="stop")),
        event({"choices": [], "usage": usage}),
        DONE,
    )
    backend.script = held = PausedScript(event(chunk("Hel")), rest=rest)
    async with serve() as client:
        mine = begin(client, user)
        turn_id = turn_of(await anext(mine))
        running = await scrape(client)
        assert of(running, "chat_active_turns") == 1
        assert of(running, "chat_readers") == 1
        assert of(running, "chat_time_to_first_token_seconds_count") == 1
        following = asyncio.create_task(follow(client, turn_id))
        while of(await scrape(client), "chat_readers") < 2:
            await asyncio.sleep(0.01)
        held.go_on.set()
        assert [each async for each in mine][-1].data == "[DONE]"
        await following
        found = await scrape(client)
    assert of(found, "chat_turns_total", outcome="complete", code="") == 1
    assert of(found, "chat_turn_duration_seconds_count") == 1
    assert of(found, "chat_time_between_tokens_seconds_count") >= 1
    assert of(found, "chat_tokens_total", direction="input") == 11
    assert of(found, "chat_tokens_total", direction="output") == 7
    assert of(found, "chat_follows_total", place="here") == 1
    assert of(found, "chat_active_turns") == 0


async def test_failures_are_counted_by_their_code(serve: Serve, backend: Backend, user: str) -> None:
    backend.script = PausedScript(event(chunk("Hel")), rest=(b"",))
    backend.script.go_on.set()
    async with serve() as client:
        assert "upstream_truncated" in (await chat(client, user_id=user))[-1].data
        assert (await client.get("/chat/unknown")).status_code == 404
        found = await scrape(client)
    assert of(found, "chat_turns_total", outcome="error", code="upstream_truncated") == 1
    assert of(found, "chat_request_errors_total", code="turn_not_found") == 1


async def test_no_label_names_a_user_or_a_turn(serve: Serve, user: str) -> None:
    async with serve() as client:
        events = await chat(client, user_id=user, conversation_id="private")
        text = (await client.get("/metrics")).text
    assert user not in text
    assert turn_of(events[0]) not in text
    assert "private" not in text


async def test_the_process_and_its_event_loop_are_watched(serve: Serve) -> None:
    async with serve() as client:
        while of(await scrape(client), "chat_event_loop_lag_seconds_count") == 0:
            await asyncio.sleep(0.05)
        found = await scrape(client)
    assert of(found, "process_resident_memory_bytes") > 0
    assert of(found, "chat_journal_lag_seconds") == 0


async def test_the_journal_lags_and_the_failure_counts_while_redis_is_away(
    serve: Serve, backend: Backend, own_store: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "STORE_WAIT_SECONDS", 1.5)
    backend.script = held = PausedScript(event(chunk("Hel")))
    async with serve(redis_url=own_store) as client:
        mine = begin(client, user)
        await anext(mine)
        async with frozen(own_store):
            held.go_on.set()
            assert "history_unavailable" in [each async for each in mine][-1].data
            found = await scrape(client)
    assert of(found, "chat_journal_lag_seconds") > 1
    assert of(found, "chat_turns_total", outcome="complete", code="history_unavailable") == 1
