"""The running service, held against its own OpenAPI description and what is known to break parsers."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from schemathesis import Case, CheckContext, CheckFunction, GenerationMode, Response
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.main import create_app
from tests.support.backend import running_backend
from tests.support.service import serving, settings_for

MODEL = "test-model"
DESCRIPTION = create_app(settings_for(llm_model=MODEL)).openapi()


def _described(*modes: GenerationMode) -> BaseSchema:
    schema = schemathesis.openapi.from_dict(DESCRIPTION)
    schema.config.generation.update(modes=list(modes))
    # Nothing here is secret, and a request that fails has to be seen whole.
    schema.config.output.sanitization.update(enabled=False)
    return schema


anything = _described(GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
what_is_kept = (
    _described(GenerationMode.POSITIVE)
    .include(path="/chat/{turn_id}")
    .include(path_regex="^/users", method="GET")
)
same_in_every_run = settings(
    max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def url(valkey_url: str) -> Iterator[str]:
    """The service, in a thread of its own: schemathesis' client is a synchronous one."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_backend()) as backend,
        portal.wrap_async_context_manager(
            serving(create_app(settings_for(llm_model=MODEL, llm_base_url=backend.url, redis_url=valkey_url)))
        ) as client,
    ):
        yield str(client.base_url)


@pytest.fixture(scope="module")
def kept(url: str) -> dict[str, str]:
    """The names of a turn that has ended, as paths have them."""
    user_id = uuid.uuid4().hex
    response = httpx.post(f"{url}/chat", json={"user_id": user_id, "message": "Hi"})
    return {"turn_id": response.headers["X-Turn-Id"], "user_id": user_id, "conversation_id": "default"}


def test_the_description_is_the_one_that_is_served(url: str) -> None:
    assert httpx.get(f"{url}/openapi.json").json() == DESCRIPTION


@anything.parametrize()
@same_in_every_run
def test_every_request_is_answered_as_described(case: Case[Any], url: str) -> None:
    assert case.meta is not None
    if case.meta.generation.mode.is_positive:
        _choose_what_a_schema_cannot(case)
    response = case.call(base_url=url)
    beyond: list[CheckFunction] = [positive_data_acceptance] if _is_beyond_a_schema(response) else []
    case.validate_response(
        response, additional_checks=[_has_the_one_shape, _is_a_whole_stream], excluded_checks=beyond
    )


@what_is_kept.parametrize()
@same_in_every_run
def test_what_is_kept_is_shown_as_described(case: Case[Any], url: str, kept: dict[str, str]) -> None:
    case.path_parameters.update({name: kept[name] for name in case.path_parameters})
    for place in ("before", "last_event_id"):
        case.query.pop(place, None)
    case.headers.pop("last-event-id", None)
    response = case.call(base_url=url)
    assert response.status_code == 200
    case.validate_response(response, additional_checks=[_is_a_whole_stream])


def _choose_what_a_schema_cannot(case: Case[Any]) -> None:
    if isinstance(case.body, dict) and case.body.get("model"):
        case.body["model"] = MODEL
    if "idempotency-key" in case.headers:
        case.headers["idempotency-key"] = uuid.uuid4().hex


def _is_beyond_a_schema(response: Response) -> bool:
    """Whether the request was refused for what a schema cannot tell.

    A cursor is one that the service has given out, 1.0 is an integer to JSON Schema alone, and no pattern
    says which names are normalised.
    """
    if response.status_code not in {400, 422}:
        return False
    error = response.json()["error"]
    return error["code"] == "invalid_last_event_id" or error["param"] in {
        *("before", "max_tokens", "seed"),
        *("user_id", "conversation_id"),
    }


def _has_the_one_shape(_: CheckContext, response: Response, __: Case[Any]) -> None:
    """An error's body, on paths and for methods too that are in no description."""
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/json"]
        assert set(response.json()) == {"error"}
        assert [response.json()["error"]["request_id"]] == response.headers["x-request-id"]


def _is_a_whole_stream(_: CheckContext, response: Response, __: Case[Any]) -> None:
    if response.headers.get("content-type", [""])[0].startswith("text/event-stream"):
        assert not response.stream_cut_short
        last = response.text.rsplit("\n\n", 2)[-2]
        assert last.endswith("data: [DONE]") or last.startswith("event: response.completed\n")


def _short(value: object) -> str:
    return str(value)[:50]


def _with(field: bytes) -> bytes:
    return b'{"user_id": "user", "message": "Hi", %b}' % field


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[" * 100_000, 400, "invalid_json"),
        (_with(b'"stop": ' + b"[" * 100_000 + b"]" * 100_000), 400, "invalid_json"),
        (_with(b'"other": ' + b'{"a":' * 900 + b"1" + b"}" * 900), 422, "validation_error"),
        (_with(b'"seed": 1' + b"0" * 5000), 400, "invalid_json"),
        (_with(b'"seed": ' + b"9" * 19), 422, "validation_error"),
        (_with(b'"seed": ' + b"9" * 4000), 422, "validation_error"),
        (_with(b'"seed": 1e400'), 422, "validation_error"),
        (_with(b'"temperature": NaN'), 422, "validation_error"),
        (_with(b'"temperature": -Infinity'), 422, "validation_error"),
        (_with(b'"model": "\\ud800"'), 422, "validation_error"),
        (_with(b'"\\ud800": 1'), 422, "validation_error"),
        (_with(b'"model": "\0"'), 400, "invalid_json"),
        (_with(b'"model": "\xff"'), 400, "invalid_json"),
    ],
    ids=_short,
)
def test_json_that_breaks_parsers_is_refused(url: str, body: bytes, status: int, code: str) -> None:
    response = httpx.post(f"{url}/chat", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/users/a%00b/conversations", 422, "validation_error"),
        ("/users/%0D%0A/conversations", 422, "validation_error"),
        ("/users/%2E%2E/conversations", 422, "validation_error"),
        ("/users/a%2Fb/conversations", 404, "not_found"),
        ("/users/u/conversations?limit=" + "9" * 5000, 422, "validation_error"),
        ("/users/u/conversations?before=%FF", 422, "validation_error"),
        ("/users/u/conversations/unknown?before=%00", 422, "validation_error"),
        ("/chat/%00", 404, "turn_not_found"),
        ("/chat/x?last_event_id=x-%D9%A1", 400, "invalid_last_event_id"),
        ("/chat/x?last_event_id=x-1%0A", 400, "invalid_last_event_id"),
        ("/chat/x?last_event_id=" + "x" * 60_000, 400, "invalid_last_event_id"),
    ],
    ids=_short,
)
def test_an_odd_path_or_query_is_refused(url: str, path: str, status: int, code: str) -> None:
    response = httpx.get(url + path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
