"""What comes of a refusal: what the client is told, and what the operator reads in the log."""

import json
import ssl
from typing import Any

import httpx
import pytest
import respx
from msgspec.structs import replace
from structlog.testing import capture_logs

from app.errors import (
    ContextLengthExceeded,
    ServiceError,
    UpstreamError,
    UpstreamFiltered,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.llm.client import LLMClient
from app.llm.failures import unanswered
from tests.llm.test_client import COMPLETION, backend, client, collect, stream
from tests.support.chunks import answer, event

__all__ = ["backend", "client"]

QUOTA = {
    "message": "You exceeded your current quota, please check your plan and billing details.",
    "type": "insufficient_quota",
    "param": None,
    "code": "insufficient_quota",
}
GOOGLE = {
    "code": 400,
    "message": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.',
    "status": "INVALID_ARGUMENT",
}


def error(status: int, said: Any) -> httpx.Response:
    return httpx.Response(status, json=said)


def openai(status: int, message: str, **fields: Any) -> httpx.Response:
    return error(status, {"error": {"message": message, **fields}})


@pytest.mark.parametrize(
    ("refusal", "expected", "message"),
    [
        (error(400, [{"error": GOOGLE}]), UpstreamRejected, "rejected the request: Invalid JSON payload"),
        (error(429, {"error": QUOTA}), UpstreamError, "answered with status 429: You exceeded"),
        (
            openai(402, "Insufficient Balance"),
            UpstreamError,
            "status 402: Insufficient Balance",
        ),
        (
            openai(404, 'model "x" not found'),
            UpstreamError,
            'status 404: model "x" not found',
        ),
        (openai(400, "Model Not Exist"), UpstreamError, "status 400: Model Not Exist"),
        (error(404, {"detail": "Not Found"}), UpstreamError, "status 404: Not Found"),
        (
            openai(401, "Incorrect API key: sk-abc***"),
            UpstreamError,
            "Incorrect API key: …",
        ),
        (error(413, {"error": {"type": "request_too_large"}}), ContextLengthExceeded, "context"),
        (httpx.Response(413, text="<html>"), ContextLengthExceeded, "context"),
        (error(500, {"error": "Context size has been exceeded."}), ContextLengthExceeded, "context"),
        (error(503, {"error": "prompt is too long"}), ContextLengthExceeded, "context"),
        (openai(503, "Loading model"), UpstreamUnavailable, "not ready"),
        (
            error(400, {"message": "Too many tokens, please wait before trying again."}),
            UpstreamRateLimited,
            "no more",
        ),
        (
            error(529, {"error": {"type": "overloaded_error", "message": "Overloaded"}}),
            UpstreamRateLimited,
            "no more",
        ),
        (openai(400, "Content Exists Risk"), UpstreamFiltered, "Content Exists Risk"),
        (openai(403, "your input was flagged"), UpstreamFiltered, "flagged"),
        (openai(500, "CUDA error"), UpstreamError, "status 500: CUDA error"),
        (error(307, {}), UpstreamError, "answered with status 307."),
        (httpx.Response(500, text="<html>busy</html>"), UpstreamError, "answered with status 500."),
        (httpx.Response(500, text="upstream connect error"), UpstreamError, "500: upstream connect error"),
        (openai(200, "prompt is too long"), ContextLengthExceeded, "context"),
        (
            error(200, {"error": {"code": 429, "message": "Provider returned error"}}),
            UpstreamRateLimited,
            "no more",
        ),
        (error(200, {"id": "c", "choices": [{"message": {"content": "Hi"}}]}), UpstreamError, "failed"),
        (stream(b"event: error\n", event({"error": QUOTA})), UpstreamError, "failed: You exceeded"),
        (stream(event({"error": "Content Exists Risk"})), UpstreamFiltered, "Content Exists Risk"),
        (
            stream(b": wait\n\n", event({"error": {"message": "prompt is too long"}})),
            ContextLengthExceeded,
            "context",
        ),
        (stream(*answer("")[:1], event({"error": "prompt is too long"})), ContextLengthExceeded, "context"),
    ],
)
async def test_a_refusal_has_the_error_of_its_meaning(
    backend: respx.MockRouter,
    client: LLMClient,
    refusal: httpx.Response,
    expected: type[ServiceError],
    message: str,
) -> None:
    backend.post("/chat/completions").mock(return_value=refusal)
    with pytest.raises(ServiceError) as caught:
        await collect(client)
    assert type(caught.value) is expected
    assert message in caught.value.message


async def test_events_under_the_content_type_of_json_are_an_answer(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    response = httpx.Response(
        200, headers={"Content-Type": "application/json"}, content=b"".join(answer("a", "b"))
    )
    backend.post("/chat/completions").mock(return_value=response)
    assert "".join(await collect(client)) == "ab"


async def test_a_compressed_refusal_is_not_read(backend: respx.MockRouter, client: LLMClient) -> None:
    body = json.dumps({"error": {"message": "prompt is too long"}}).encode()
    response = httpx.Response(400, headers={"Content-Encoding": "x-unknown"}, content=body)
    backend.post("/chat/completions").mock(return_value=response)
    with pytest.raises(UpstreamRejected):
        await collect(client)


@pytest.mark.parametrize(
    ("refusal", "level", "code"),
    [
        (
            openai(401, "Invalid Authentication", code="invalid_api_key"),
            "warning",
            "invalid_api_key",
        ),
        (
            openai(404, "model 'x' not found", type="not_found_error"),
            "warning",
            "not_found_error",
        ),
        (error(429, {"error": QUOTA}), "warning", "insufficient_quota"),
        (
            openai(429, "Slow down", code="rate_limit_exceeded"),
            "info",
            "rate_limit_exceeded",
        ),
        (openai(400, "bad stop", code="a b\n"), "info", None),
        (
            openai(500, "boom", code=7, type="server_error"),
            "warning",
            "server_error",
        ),
    ],
)
async def test_the_log_has_status_code_and_sentence(
    backend: respx.MockRouter, client: LLMClient, refusal: httpx.Response, level: str, code: str | None
) -> None:
    backend.post("/chat/completions").mock(return_value=refusal)
    with capture_logs() as lines, pytest.raises(ServiceError):
        await collect(client)
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("backend refused a request", level)
    assert (line["status"], line["code"], line["model"]) == (refusal.status_code, code, "test-model")
    assert line["reason"]


async def test_neither_log_nor_client_sees_the_key_the_host_or_the_prompt(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    text = "key sk-secret at backend.test and http://backend.test/v1 did not like 'Hi' in 'canary-1'"
    backend.post("/chat/completions").mock(
        return_value=error(500, {"error": {"message": text, "code": "canary-1"}})
    )
    request = replace(
        COMPLETION, messages=[{"role": "user", "content": "canary-1"}], sampling={"stop": ["Hi there"]}
    )
    with capture_logs() as lines, pytest.raises(UpstreamError) as caught:
        await collect(client, request)
    for told in (caught.value.message, json.dumps(lines)):
        for hidden in ("sk-secret", "backend.test", "http", "canary-1"):
            assert hidden not in told


def _connect_error(cause: OSError) -> httpx.ConnectError:
    error = httpx.ConnectError("the connection was not made")
    error.__cause__ = cause
    return error


def _verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("code", "message"), [(18, "SSL_CERT_FILE"), (20, "SSL_CERT_FILE"), (10, "expired"), (62, "another host")]
)
def test_what_is_wrong_with_a_certificate_is_told(code: int, message: str) -> None:
    failed = unanswered(_connect_error(_verification(code)))
    assert isinstance(failed.failure, UpstreamUnavailable)
    assert message in failed.failure.message
    assert isinstance(failed.cause, ssl.SSLCertVerificationError)
    assert not failed.is_retryable


def test_a_backend_that_speaks_no_tls_is_told() -> None:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    failed = unanswered(_connect_error(error))
    assert "does not speak TLS" in failed.failure.message
