"""Traces that follow OpenTelemetry's conventions for generative AI; off unless an endpoint is set.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. FastAPI makes the server's span.
No span contains a question, an answer or the text of an exception.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import anyio
import structlog
from fastapi.telemetry import TelemetryConfig
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Span as SpanOfSdk
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, Tracer

from app.errors import ServiceError

_PROTOCOL = "http/protobuf"
_EXPORT_SECONDS = 5
_SHUTDOWN_SECONDS = 3
_POLL_SECONDS = 0.02
_PROBES = frozenset({"/health", "/ready", "/metrics"})

_log = structlog.get_logger()


class Tracing:
    """Makes spans and, if there is a collector, sends them to it with OTLP over HTTP."""

    def __init__(self, endpoint: str) -> None:
        """Set up a provider of spans, which the caller closes.

        Args:
            endpoint: The collector's base URL; empty: there is none. OpenTelemetry's other standard variables
                apply as well.
        """
        provider = _provider(endpoint) if endpoint else None
        self._provider = provider
        self._tracer = provider.get_tracer("app") if provider is not None else None

    def of_requests(self) -> TelemetryConfig:
        """Return what FastAPI traces: one span for each request, none for the steps within it."""
        return {
            "tracer_provider": self._provider,
            "tracing": self._provider is not None,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": lambda scope: scope.get("path") in _PROBES,
        }

    def completion(self, model: str, max_tokens: int | None) -> AbstractContextManager[Span]:
        """Open the span of one call of the backend. Requests within it carry its `traceparent`."""
        if self._tracer is None:
            return nullcontext(INVALID_SPAN)
        return _completion_span(self._tracer, model, max_tokens)

    async def aclose(self) -> None:
        """Send the remaining spans, within a deadline."""
        if self._provider is not None:
            # A daemon thread: a collector that accepts connections and never answers must not block the exit.
            sending = Thread(target=self._provider.shutdown, daemon=True)
            sending.start()
            with anyio.move_on_after(_SHUTDOWN_SECONDS):
                while sending.is_alive():  # noqa: ASYNC110 - a thread that ends sets no event of the loop
                    await asyncio.sleep(_POLL_SECONDS)


@contextmanager
def _completion_span(tracer: Tracer, model: str, max_tokens: int | None) -> Iterator[Span]:
    with tracer.start_as_current_span(
        f"chat {model}",
        kind=SpanKind.CLIENT,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            **({"gen_ai.request.max_tokens": max_tokens} if max_tokens is not None else {}),
            "gen_ai.output.type": "text",
        },
        # The message of an exception may contain anything.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except ServiceError as failure:
            span.set_attribute("error.type", failure.code)
            span.set_status(StatusCode.ERROR)
            raise


def describe_backend(span: Span, *, name: str, url: str) -> None:
    """Set the backend that is asked; after a failover, the last one."""
    if not span.is_recording():
        return
    parts = urlsplit(url)
    span.set_attribute("app.backend", name)
    span.set_attribute("server.address", parts.hostname or "")
    span.set_attribute("server.port", parts.port or (443 if parts.scheme == "https" else 80))


def describe_answer(span: Span, *, finish_reason: str | None, usage: Mapping[str, Any] | None) -> None:
    """Set the finish reason and the token counts."""
    if not span.is_recording():
        return
    if finish_reason is not None:
        span.set_attribute("gen_ai.response.finish_reasons", [finish_reason])
    for attribute, field in (("input", "prompt_tokens"), ("output", "completion_tokens")):
        count = (usage or {}).get(field)
        if isinstance(count, int):
            span.set_attribute(f"gen_ai.usage.{attribute}_tokens", count)


class _WithoutQueries(SpanProcessor):
    """Removes queries from spans: a client may have put a token there."""

    def on_start(self, span: SpanOfSdk, parent_context: Context | None = None) -> None:  # noqa: ARG002 - its signature
        if "url.query" in (span.attributes or {}):
            span.set_attribute("url.query", "REDACTED")


def _provider(endpoint: str) -> TracerProvider:
    _warn_of_other_protocols()
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(_WithoutQueries())
    provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(
                # https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp
                endpoint=None if _is_set("TRACES_ENDPOINT") else f"{endpoint.rstrip('/')}/v1/traces",
                timeout=None if _is_set("TIMEOUT", "TRACES_TIMEOUT") else _EXPORT_SECONDS,
            )
        )
    )
    return provider


def _warn_of_other_protocols() -> None:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := os.environ.get(name, "").strip():
            if protocol != _PROTOCOL:
                _log.warning(
                    "setting ignored",
                    name=name,
                    protocol=protocol,
                    reason=f"traces are sent as {_PROTOCOL}; set the endpoint to that port, usually 4318",
                )
            return


def _resource() -> Resource:
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return resource.merge(Resource({SERVICE_NAME: "streaming-llm-chat"}))
    return resource


def _is_set(*names: str) -> bool:
    return any(os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in names)
