"""The composition root: the only place that knows which object works with which."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import httpx
from redis.asyncio import Redis

from app.llm.backends import Backend, Backends
from app.llm.client import LLMClient
from app.llm.deadlines import TimeLimits
from app.llm.endpoint import Endpoint
from app.llm.failover import Failover
from app.observability.loop_lag import measured_loop_lag
from app.observability.metrics import Metrics
from app.observability.readiness import AnyOf, Probe, Prober
from app.observability.tracing import Tracing
from app.prompts.builder import PromptBuilder
from app.prompts.sources import prompts_for
from app.security.authenticator import Authenticator, open_authenticator
from app.settings import Settings
from app.store.connection import RedisClient, open_redis
from app.store.conversation_items import ConversationItems
from app.store.finished_turns import FinishedTurns
from app.store.history import HistoryLimits, HistoryRepository
from app.store.journal import TurnJournal
from app.store.lease_index import LeaseIndex
from app.store.lease_results import UserLimits
from app.store.leases import TurnLeases
from app.store.owner_mailbox import OwnerMailbox
from app.store.responses import ResponseRepository
from app.store.titles import TitleRepository
from app.turns.admission import Admission
from app.turns.background import running
from app.turns.directory import TurnDirectory
from app.turns.engine import TurnEngine
from app.turns.eraser import ConversationEraser
from app.turns.generation import Generation
from app.turns.journal_writer import JournalWriter
from app.turns.lease_renewal import LeaseRenewer
from app.turns.local_turns import LocalTurns
from app.turns.reader_slots import ReaderSlots
from app.turns.remote_turns import RemoteTurns
from app.turns.response_keeper import ResponseKeeper
from app.turns.settlement import Settlement
from app.turns.sweeper import TurnSweeper


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """What routes and the server work with.

    Attributes:
        settings: The settings, with both URLs filled in.
        engine: Starts turns, and drains them.
        directory: Follows and stops turns, on whichever process they run.
        eraser: Erases conversations and users.
        history: Reads conversations.
        responses: Reads and removes responses.
        items: Keeps the conversations of `/v1` and their items.
        titles: Reads and sets the titles of conversations.
        authenticator: Finds a request's caller.
        prober: Probes the backend and Redis.
        metrics: The process's metrics.
        reader_slots: Bounds the streams that the process serves at once, and those of each user.
    """

    settings: Settings
    engine: TurnEngine
    directory: TurnDirectory
    eraser: ConversationEraser
    history: HistoryRepository
    responses: ResponseRepository
    items: ConversationItems
    titles: TitleRepository
    authenticator: Authenticator
    prober: Prober
    metrics: Metrics
    reader_slots: ReaderSlots


@asynccontextmanager
async def open_service(
    settings: Settings,
    *,
    tracing: Tracing,
    transport: httpx.AsyncBaseTransport | None = None,
    redis: Redis | None = None,
) -> AsyncIterator[Service]:
    """Open everything that the service needs. It is closed in reverse order, once the turns are stored.

    Args:
        settings: With a backend and `redis_url` set.
        tracing: Makes spans; it is closed with the service.
        transport: Replaces the transport that talks to the backend over the network.
        redis: Replaces the client for `redis_url`; it is closed with the service.
    """
    limits = TimeLimits(
        connect=settings.llm_connect_timeout_seconds,
        first_token=settings.llm_first_token_timeout_seconds,
        token_gap=settings.llm_token_gap_timeout_seconds,
        total=settings.llm_total_timeout_seconds,
    )
    metrics = Metrics()
    async with (
        redis or open_redis(settings.redis_url) as store,
        _open_backends(settings, limits, metrics, transport) as backends,
        aclosing(tracing),
        open_authenticator(settings) as authenticator,
        measured_loop_lag(metrics.loop_lag_seconds),
        _open_turns(
            settings, store, backends, limits, authenticator=authenticator, metrics=metrics, tracing=tracing
        ) as service,
    ):
        yield service


@asynccontextmanager
async def _open_backends(
    settings: Settings, limits: TimeLimits, metrics: Metrics, transport: httpx.AsyncBaseTransport | None
) -> AsyncIterator[Backends]:
    """Open a client for each backend, with its own URL and key."""
    async with AsyncExitStack() as clients:
        opened: list[Backend] = []
        for entry in settings.backends:
            endpoint = await clients.enter_async_context(
                Endpoint(
                    base_url=entry.url,
                    api_key=settings.key_of(entry).get_secret_value(),
                    limits=limits,
                    proxy=settings.llm_proxy,
                    transport=transport,
                )
            )
            backend = Backend(
                entry.name,
                LLMClient(endpoint, limits=limits, context_tokens=settings.llm_context_tokens),
                url=entry.url,
                models=entry.models,
                weight=entry.weight,
                priority=entry.priority,
            )
            _watch(backend, metrics)
            opened.append(backend)
        yield Backends(opened)


def _watch(backend: Backend, metrics: Metrics) -> None:
    """Export the load and the breakers of a backend."""
    metrics.watch_backend(
        backend.name,
        backend.models,
        running=lambda: backend.running,
        is_open=lambda model: backend.breakers[model].is_open,
    )


def _probe_of(backends: Backends, model: str) -> Probe | AnyOf:
    """Return the probe of the only backend, or that of all."""
    if len(backends.all) == 1:
        return backends.all[0].client.probe
    return AnyOf(
        probes={each.name: each.client.probe for each in backends.all},
        deciding={each.name for each in backends.offering(model)},
    )


@asynccontextmanager
async def _open_turns(
    settings: Settings,
    store: RedisClient,
    backends: Backends,
    limits: TimeLimits,
    *,
    authenticator: Authenticator,
    metrics: Metrics,
    tracing: Tracing,
) -> AsyncIterator[Service]:
    """Compose the turn engine, and run its background loops; at the end, store the turns that still run."""
    # Longer than an owner may try to store a turn: until then a closed turn is known to be closed.
    closed_seconds = 2 * settings.resume_ttl_seconds + 60
    lease_seconds = settings.turn_lease_seconds
    kept = HistoryLimits(
        settings.history_ttl_seconds, settings.history_max_messages, settings.history_max_bytes
    )
    history = HistoryRepository(store, closed_seconds=closed_seconds, max_bytes=settings.history_max_bytes)
    journal = TurnJournal(store, ttl_seconds=settings.resume_ttl_seconds)
    owners = OwnerMailbox(store)
    index = LeaseIndex(store)
    leases = TurnLeases(
        store,
        index=index,
        journal=journal,
        owner=owners.own_id,
        # The rest of the time is for the sweep that finds an expired lease.
        lease_seconds=lease_seconds * 2 / 3,
        history=kept,
        limits=UserLimits(
            at_once=settings.max_active_turns_per_user,
            per_minute=settings.rate_limit_turns_per_minute,
            conversations=settings.max_conversations_per_user,
        ),
    )
    finished = FinishedTurns(store, journals=journal.scripts, closed_seconds=closed_seconds, history=kept)
    turns = LocalTurns()
    writer = JournalWriter(journal)
    remote = RemoteTurns(journal, owners)
    responses = ResponseRepository(
        store,
        ttl_seconds=settings.history_ttl_seconds,
        unstored_seconds=settings.llm_total_timeout_seconds + closed_seconds,
        resume_seconds=settings.resume_ttl_seconds,
    )
    items = ConversationItems(store, history=kept, max_conversations=settings.max_conversations_per_user)
    keeper = ResponseKeeper(responses)
    settlement = Settlement(
        leases=leases,
        finished=finished,
        journal=journal,
        writer=writer,
        index=index,
        responses=keeper,
        metrics=metrics,
    )
    sweeper = TurnSweeper(turns, index=index, settlement=settlement, lease_seconds=lease_seconds)
    renewer = LeaseRenewer(
        turns,
        leases=leases,
        owners=owners,
        remote=remote,
        grace_seconds=settings.resume_grace_seconds,
        lease_seconds=lease_seconds,
    )
    directory = TurnDirectory(
        turns, journal=journal, owners=owners, remote=remote, metrics=metrics, lease_seconds=lease_seconds
    )
    admission = Admission(
        turns, leases=leases, finished=finished, journal=journal, settlement=settlement, sweeper=sweeper
    )
    engine = TurnEngine(
        turns,
        admission=admission,
        directory=directory,
        history=history,
        responses=responses,
        prompts_for=partial(
            prompts_for,
            builder=PromptBuilder(
                backends,
                system_prompt=None if settings.system_prompt == "none" else settings.system_prompt,
                max_tokens=settings.llm_max_tokens,
            ),
            max_tokens=settings.llm_max_tokens,
        ),
        new_generation=partial(
            Generation,
            llm=Failover(backends, limits=limits, observer=metrics),
            journal=journal,
            writer=writer,
            settlement=settlement,
            metrics=metrics,
            tracing=tracing,
            on_readers_changed=renewer.renew_soon,
            store_retry_seconds=settings.resume_ttl_seconds,
        ),
        max_active_turns=settings.max_active_turns,
        status_wait_seconds=settings.llm_status_wait_seconds,
    )
    reader_slots = ReaderSlots(total=settings.max_readers, per_user=settings.max_readers_per_user)
    metrics.watch(
        active_turns=lambda: len(turns),
        readers=lambda: reader_slots.taken,
        journal_lag_seconds=lambda: writer.lag_seconds,
    )
    background_loops = [writer.run, remote.run, renewer.run, renewer.listen, sweeper.run]
    if settings.llm_context_tokens is None:
        background_loops += [each.client.context_sizes.watch for each in backends.all]
    async with running(background_loops):
        yield Service(
            settings=settings,
            engine=engine,
            directory=directory,
            eraser=ConversationEraser(
                turns, history=history, journal=journal, responses=responses, items=items, index=index
            ),
            items=items,
            history=history,
            responses=responses,
            titles=TitleRepository(store),
            authenticator=authenticator,
            prober=Prober({"llm": _probe_of(backends, settings.llm_model), "redis": history.probe}),
            metrics=metrics,
            reader_slots=reader_slots,
        )
        await engine.drain(0)
