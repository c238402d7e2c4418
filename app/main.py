"""Composes the application: what is opened here is closed here, in the reverse order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
from fastapi import FastAPI
from redis.asyncio import Redis

from app.api import chat, probes, users
from app.api.errors import add_error_handlers
from app.api.middleware import BodyLimitMiddleware, RequestIdMiddleware
from app.llm.client import LLMClient, open_http_client
from app.llm.deadlines import TimeLimits
from app.observability.readiness import Prober
from app.settings import Settings
from app.store.connection import open_redis
from app.store.history import HistoryRepository
from app.store.journal import TurnJournal
from app.store.running import RunningTurns
from app.turns.engine import TurnEngine


def create_app(
    settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None, redis: Redis | None = None
) -> FastAPI:
    """The service as an ASGI application.

    Args:
        settings: With `llm_base_url` and `redis_url` set.
        transport: In place of the one that talks to the backend over the network.
        redis: In place of a client for `redis_url`; it is closed with the application.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = TimeLimits(
            connect=settings.llm_connect_timeout_seconds,
            first_token=settings.llm_first_token_timeout_seconds,
            token_gap=settings.llm_token_gap_timeout_seconds,
            total=settings.llm_total_timeout_seconds,
        )
        async with (
            redis or open_redis(settings.redis_url) as store,
            open_http_client(
                base_url=settings.llm_base_url,
                api_key=settings.llm_api_key.get_secret_value(),
                limits=limits,
                transport=transport,
            ) as http,
        ):
            # Longer than an owner may try to store a turn: until then a closed one is known as such.
            closed_seconds = 2 * settings.resume_ttl_seconds + 60
            history = HistoryRepository(store, closed_seconds=closed_seconds)
            llm = LLMClient(http, limits=limits, context_tokens=settings.llm_context_tokens)
            engine = TurnEngine(
                llm=llm,
                history=history,
                running=RunningTurns(
                    store,
                    # The rest of the time is for the sweep that finds what has lapsed.
                    lease_seconds=settings.turn_lease_seconds * 2 / 3,
                    closed_seconds=closed_seconds,
                    history_ttl_seconds=settings.history_ttl_seconds,
                    history_max_messages=settings.history_max_messages,
                ),
                journal=TurnJournal(store, ttl_seconds=settings.resume_ttl_seconds),
                system_prompt=None if settings.system_prompt == "none" else settings.system_prompt,
                max_tokens=settings.llm_max_tokens,
                max_active_turns=settings.max_active_turns,
                status_wait_seconds=settings.llm_status_wait_seconds,
                store_retry_seconds=settings.resume_ttl_seconds,
                grace_seconds=settings.resume_grace_seconds,
                lease_seconds=settings.turn_lease_seconds,
            )
            app.state.settings = settings
            app.state.engine = engine
            app.state.reader_slots = anyio.Semaphore(settings.max_readers)
            app.state.history = history
            app.state.prober = Prober({"llm": llm.probe, "redis": history.probe})
            async with engine.run():
                yield

    app = FastAPI(
        title="Streaming LLM Chat API",
        version="0.1.0",
        summary="A generation belongs to the service, not to the connection.",
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_error_handlers(app)
    # The last one added is the outermost: also a body that is too large has a request id.
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes)
    app.add_middleware(RequestIdMiddleware)
    app.include_router(chat.router)
    app.include_router(users.router)
    app.include_router(probes.router)
    return app
