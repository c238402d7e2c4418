"""The trace of a turn, as a collector gets it."""

import asyncio

import pytest
import structlog
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from app.observability.tracing import Tracing
from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange
from tests.support.collector import attributes, collecting
from tests.support.sse import chat

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


async def test_a_turn_is_a_servers_span_and_a_call_of_the_backend_within_it(
    serve: Serve, backend: Backend, user: str
) -> None:
    with collecting() as collector:
        async with serve(otel_exporter_otlp_endpoint=collector.url) as client:
            client.headers["traceparent"] = TRACEPARENT
            await chat(client, user_id=user)
            await client.get("/health")
        server, call = sorted(collector.spans, key=lambda span: span.kind)
    assert (server.name, server.kind) == ("POST /chat", Span.SPAN_KIND_SERVER)
    assert attributes(server)["http.response.status_code"] == 200
    assert server.trace_id.hex() == call.trace_id.hex() == TRACE_ID
    assert (call.name, call.kind) == ("chat test-model", Span.SPAN_KIND_CLIENT)
    assert call.parent_span_id == server.span_id
    found = attributes(call)
    assert found["server.port"] == int(backend.url.rpartition(":")[2].removesuffix("/v1"))
    del found["server.port"]
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "test-model",
        "gen_ai.request.max_tokens": 4096,
        "gen_ai.output.type": "text",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": found["gen_ai.usage.input_tokens"],
        "gen_ai.usage.output_tokens": found["gen_ai.usage.output_tokens"],
        "server.address": "127.0.0.1",
        "app.backend": "default",
    }
    assert backend.completions[0].headers["traceparent"] == f"00-{TRACE_ID}-{call.span_id.hex()}-01"


async def test_a_call_that_failed_says_with_which_code(serve: Serve, backend: Backend, user: str) -> None:
    async def fail(exchange: Exchange) -> None:
        await exchange.json(500, {"error": {"message": "secret words"}})

    backend.script = fail
    with collecting() as collector:
        async with serve(otel_exporter_otlp_endpoint=collector.url) as client:
            assert (await client.post("/chat", json={"user_id": user, "message": "Hi"})).status_code == 502
        call = next(span for span in collector.spans if span.kind == Span.SPAN_KIND_CLIENT)
    assert attributes(call)["error.type"] == "upstream_error"
    assert call.status.code == Status.STATUS_CODE_ERROR
    assert not call.events


async def test_without_an_endpoint_nothing_is_passed_on(serve: Serve, backend: Backend, user: str) -> None:
    async with serve() as client:
        client.headers["traceparent"] = TRACEPARENT
        await chat(client, user_id=user)
    assert "traceparent" not in backend.completions[0].headers


async def test_a_query_is_not_told(serve: Serve) -> None:
    with collecting() as collector:
        async with serve(otel_exporter_otlp_endpoint=collector.url) as client:
            await client.get("/chat/unknown?access_token=canary")
    assert b"canary" not in b"".join(collector.bodies)


async def test_the_services_name_can_be_given(
    serve: Serve, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        async with serve(otel_exporter_otlp_endpoint=collector.url) as client:
            await chat(client, user_id=user)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "another-name")
        async with serve(otel_exporter_otlp_endpoint=collector.url) as client:
            await chat(client, user_id=user)
    first, second = collector.bodies
    assert b"streaming-llm-chat" in first
    assert b"another-name" in second


async def test_a_collector_that_says_nothing_holds_up_neither_answers_nor_the_end(
    serve: Serve, user: str
) -> None:
    lines: list[asyncio.StreamWriter] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(writer)

    async with await asyncio.start_server(take, "127.0.0.1", 0) as silent, asyncio.timeout(20):
        port = silent.sockets[0].getsockname()[1]
        async with serve(otel_exporter_otlp_endpoint=f"http://127.0.0.1:{port}") as client:
            assert (await chat(client, user_id=user))[-1].data == "[DONE]"
        assert lines
        for line in lines:
            line.close()
            await line.wait_closed()


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"])
@pytest.mark.parametrize(
    ("protocol", "warnings"), [("grpc", 1), ("http/json", 1), ("http/protobuf", 0), ("", 0)]
)
def test_a_protocol_that_is_not_spoken_is_warned_of(
    variable: str, protocol: str, warnings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, protocol)
    with structlog.testing.capture_logs() as logs:
        Tracing("http://127.0.0.1:4317")
    assert [entry["protocol"] for entry in logs] == [protocol] * warnings
    assert all((entry["event"], entry["name"]) == ("setting ignored", variable) for entry in logs)
