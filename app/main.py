"""Composes the application: what is opened here is closed here, in the reverse order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
import httpx
from fastapi import FastAPI
from redis.asyncio import Redis

from app.api import chat, page, probes, users
from app.api.errors import add_error_handlers
from app.api.middleware import add_middleware
from app.llm.client import LLMClient, open_http_client
from app.llm.deadlines import TimeLimits
from app.observability.logging import log_unhandled
from app.observability.loop_lag import measured_loop_lag
from app.observability.metrics import Metrics
from app.observability.readiness import Prober
from app.observability.tracing import Tracing
from app.security.authenticator import open_authenticator
from app.settings import Settings
from app.store.connection import open_redis
from app.store.history import HistoryRepository
from app.store.journal import TurnJournal
from app.store.lease_index import LeaseIndex
from app.store.leases import TurnLeases, UserLimits
from app.store.owner_mailbox import OwnerMailbox
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
    metrics = Metrics()
    tracing = Tracing(settings.otel_exporter_otlp_endpoint, backend_url=settings.llm_base_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(log_unhandled)
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
            aclosing(tracing),
            open_authenticator(settings) as authenticator,
        ):
            # Longer than an owner may try to store a turn: until then a closed one is known as such.
            closed_seconds = 2 * settings.resume_ttl_seconds + 60
            history = HistoryRepository(store, closed_seconds=closed_seconds)
            llm = LLMClient(http, limits=limits, context_tokens=settings.llm_context_tokens)
            owners = OwnerMailbox(store)
            index = LeaseIndex(store)
            engine = TurnEngine(
                llm=llm,
                history=history,
                running=TurnLeases(
                    store,
                    index=index,
                    owner=owners.own_id,
                    # The rest of the time is for the sweep that finds what has lapsed.
                    lease_seconds=settings.turn_lease_seconds * 2 / 3,
                    closed_seconds=closed_seconds,
                    history_ttl_seconds=settings.history_ttl_seconds,
                    history_max_messages=settings.history_max_messages,
                    limits=UserLimits(
                        at_once=settings.max_active_turns_per_user,
                        a_minute=settings.rate_limit_turns_per_minute,
                    ),
                ),
                index=index,
                owners=owners,
                journal=TurnJournal(store, ttl_seconds=settings.resume_ttl_seconds),
                metrics=metrics,
                tracing=tracing,
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
            app.state.authenticator = authenticator
            app.state.metrics = metrics
            app.state.reader_slots = slots = anyio.Semaphore(settings.max_readers)
            app.state.history = history
            app.state.prober = Prober({"llm": llm.probe, "redis": history.probe})
            metrics.watch(
                active_turns=lambda: engine.active_turns,
                readers=lambda: settings.max_readers - slots.value,
                journal_lag_seconds=lambda: engine.journal_lag_seconds,
            )
            async with engine.run(), measured_loop_lag(metrics.loop_lag_seconds):
                yield

    app = FastAPI(
        title="Streaming LLM Chat API",
        version="0.1.0",
        summary="A generation belongs to the service, not to the connection.",
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=tracing.of_requests(),
    )
    add_error_handlers(app)
    add_middleware(app, settings)
    app.include_router(chat.router)
    app.include_router(users.router)
    app.include_router(probes.router)
    app.include_router(page.router)
    return app
