"""The service as an ASGI application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from redis.asyncio import Redis

from app import __version__
from app.api import account, chat, docs, page, probes, titles, users
from app.api.errors import add_error_handlers
from app.api.middleware import add_middleware
from app.api.v1 import chat_completions, models
from app.api.v1.conversations import item_routes as conversation_items
from app.api.v1.conversations import routes as conversations
from app.api.v1.responses import create as create_response
from app.api.v1.responses import stored as stored_responses
from app.observability.logging import log_unhandled
from app.observability.tracing import Tracing
from app.service import open_service
from app.settings import Settings


def create_app(
    settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None, redis: Redis | None = None
) -> FastAPI:
    """Create the application. Its lifespan opens and closes the service, `app.state.service`.

    Args:
        settings: With a backend and `redis_url` set.
        transport: Replaces the transport that talks to the backend over the network.
        redis: Replaces the client for `redis_url`; it is closed with the application.
    """
    tracing = Tracing(settings.otel_exporter_otlp_endpoint)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(log_unhandled)
        async with open_service(settings, tracing=tracing, transport=transport, redis=redis) as service:
            app.state.service = service
            yield

    app = FastAPI(
        title="Streaming LLM Chat API",
        version=__version__,
        summary="A generation belongs to the service, not to the connection.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=tracing.of_requests(),
    )
    add_error_handlers(app)
    add_middleware(app, settings)
    app.include_router(chat.streams)
    app.include_router(chat.router)
    app.include_router(account.router)
    app.include_router(users.router)
    app.include_router(titles.router)
    app.include_router(models.router)
    app.include_router(chat_completions.router)
    app.include_router(create_response.streams)
    app.include_router(create_response.router)
    app.include_router(stored_responses.router)
    app.include_router(conversations.router)
    app.include_router(conversation_items.router)
    app.include_router(probes.router)
    app.include_router(page.router)
    app.include_router(docs.router)
    return app
