"""Traces by OpenTelemetry's conventions for generative AI; off unless an endpoint is set.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. FastAPI makes the server's span.
No span holds what was asked or answered, and none an exception's text.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from opentelemetry.trace import NoOpTracer, Span, SpanKind, StatusCode, Tracer

from app.errors import ServiceError

_PROTOCOL = "http/protobuf"
_EXPORT_SECONDS = 5
_SHUTDOWN_SECONDS = 3
_POLL_SECONDS = 0.02
_PROBES = frozenset({"/health", "/ready", "/metrics"})

_log = structlog.get_logger()


class Tracing:
    """Makes spans, and sends them by OTLP over HTTP where there is a collector."""

    def __init__(self, endpoint: str) -> None:
        """Make spans; the caller closes it.

        Args:
            endpoint: The collector's base URL; empty: there is none. OpenTelemetry's other usual variables
                count as well.
        """
        provider = _provider(endpoint) if endpoint else None
        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("app") if provider is not None else NoOpTracer()

    def of_requests(self) -> TelemetryConfig:
        """What FastAPI is to trace: a span a request, without the steps in between."""
        return {
            "tracer_provider": self._provider,
            "tracing": self._provider is not None,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": lambda scope: scope.get("path") in _PROBES,
        }

    @contextmanager
    def completion(self, model: str, max_tokens: int | None) -> Iterator[Span]:
        """The span of one call of the backend; what is asked within carries its `traceparent`."""
        with self._tracer.start_as_current_span(
            f"chat {model}",
            kind=SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": model,
                **({"gen_ai.request.max_tokens": max_tokens} if max_tokens is not None else {}),
                "gen_ai.output.type": "text",
            },
            # Its message might hold anything.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except ServiceError as failure:
                span.set_attribute("error.type", failure.code)
                span.set_status(StatusCode.ERROR)
                raise

    async def aclose(self) -> None:
        """Send what is left, for a while."""
        if self._provider is not None:
            # A daemon: a collector that takes connections and says nothing does not hold the process up.
            sending = Thread(target=self._provider.shutdown, daemon=True)
            sending.start()
            with anyio.move_on_after(_SHUTDOWN_SECONDS):
                while sending.is_alive():  # noqa: ASYNC110 - threads set no event of the loop
                    await asyncio.sleep(_POLL_SECONDS)


def describe_backend(span: Span, *, name: str, url: str) -> None:
    """Note which backend is asked; after a failover the last one counts."""
    parts = urlsplit(url)
    span.set_attribute("app.backend", name)
    span.set_attribute("server.address", parts.hostname or "")
    span.set_attribute("server.port", parts.port or (443 if parts.scheme == "https" else 80))


def describe_answer(span: Span, *, finish_reason: str | None, usage: Mapping[str, Any] | None) -> None:
    """Note what became of a call."""
    if finish_reason is not None:
        span.set_attribute("gen_ai.response.finish_reasons", [finish_reason])
    for attribute, field in (("input", "prompt_tokens"), ("output", "completion_tokens")):
        count = (usage or {}).get(field)
        if isinstance(count, int):
            span.set_attribute(f"gen_ai.usage.{attribute}_tokens", count)


class _WithoutQueries(SpanProcessor):
    """A query may hold what does not belong there, such as a token."""

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
                    f"{name} is ignored: traces go out as {_PROTOCOL}. "
                    "Set the endpoint to the collector's port for HTTP, usually 4318",
                    protocol=protocol,
                )
            return


def _resource() -> Resource:
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return resource.merge(Resource({SERVICE_NAME: "streaming-llm-chat"}))
    return resource


def _is_set(*names: str) -> bool:
    return any(os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in names)
