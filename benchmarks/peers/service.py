"""The service as shipped: `python -m app`, configured by its variables alone."""

import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from benchmarks.answers import MODEL
from benchmarks.load import Address
from benchmarks.peers.peer import Peer, Server, completion_request, post
from benchmarks.process import environment, free_port, running, until_it_listens
from benchmarks.question import Question
from benchmarks.stage import Stage

MOST_STREAMS = 6000
"""The values of MAX_ACTIVE_TURNS and MAX_READERS, for all streams that are open at once."""

_users = itertools.count()


def ask(question: Question, *, user: str = "", conversation: str = "default") -> bytes:
    """Make a request of this user, or of a new one."""
    body = {
        "user_id": user or f"user{next(_users)}",
        "conversation_id": conversation,
        "message": question.text,
    }
    return post("/chat", body)


def follow(turn_id: str, last_event: int) -> bytes:
    """Make the request of a reader who comes back."""
    return (
        f"GET /chat/{turn_id} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
        f"Last-Event-ID: {turn_id}-{last_event}\r\n\r\n"
    ).encode()


@asynccontextmanager
async def _start_for_openai_clients(stage: Stage) -> AsyncIterator[Server]:
    async with start_service(stage) as server:
        yield replace(server, request=completion_request)


@asynccontextmanager
async def start_service(stage: Stage) -> AsyncIterator[Server]:
    """Start one process of the service; several share the store."""
    address = Address(free_port())
    log = f"service-{address.port}.log"
    async with running(
        [*stage.under, sys.executable, "-m", "app"],
        cores=stage.cores.server,
        env=environment(
            llm_base_url=stage.backend_url,
            llm_model=MODEL,
            redis_url=stage.store_url,
            app_port=address.port,
            max_active_turns=MOST_STREAMS,
            max_readers=MOST_STREAMS,
            rate_limit_turns_per_minute=0,
        ),
        folder=stage.folder,
        log=log,
    ) as process:
        await until_it_listens(process, address.port, stage.folder / log)
        yield Server(address, ask, process.pid)


SERVICE = Peer("service", "this service", start_service)
SERVICE_V1 = Peer("service-v1", "this service, /v1", _start_for_openai_clients)
