"""What a backend's requests have in common is made once, and nothing of one request is in the next."""

import httpx
import pytest

from app.llm.deadlines import TimeLimits
from app.llm.endpoint import Endpoint

LIMITS = TimeLimits(connect=1, first_token=1, token_gap=1, total=1)


async def sent_by(
    *bodies: dict[str, str], base_url: str = "http://backend.test/v1", **first: str
) -> list[httpx.Request]:
    """Send bodies in turn, the first of them with more headers; then ask for the models."""
    sent = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(204)

    async with Endpoint(
        base_url=base_url, api_key="sk-1", limits=LIMITS, transport=httpx.MockTransport(answer)
    ) as endpoint:
        for number, body in enumerate(bodies):
            await endpoint.post("chat/completions", body, headers=first if number == 0 else {})
        await endpoint.get("models")
    return sent


async def test_each_request_has_the_length_of_its_own_body() -> None:
    *posted, got = await sent_by({"model": "a"}, {"model": "a longer name"})
    assert [request.headers["Content-Length"] for request in posted] == [
        str(len(request.content)) for request in posted
    ]
    assert [request.content for request in posted] == [b'{"model":"a"}', b'{"model":"a longer name"}']
    assert not {"Content-Length", "Content-Type"} & {name.title() for name in got.headers}


async def test_a_header_of_one_request_is_not_in_the_next() -> None:
    first, second, _ = await sent_by({}, {}, traceparent="00-1-2-01")
    assert first.headers["traceparent"] == "00-1-2-01"
    assert "traceparent" not in second.headers


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("http://backend.test/v1", "backend.test"),
        ("http://backend.test:8000", "backend.test:8000"),
        ("https://backend.test:443/v1?api-version=1", "backend.test"),
        ("http://[::1]:8000/v1", "[::1]:8000"),
        ("http://bäckend.test/v1", "xn--bckend-bua.test"),
    ],
)
async def test_every_request_names_the_host_once(base_url: str, host: str) -> None:
    for request in await sent_by({}, base_url=base_url):
        assert [value for name, value in request.headers.raw if name == b"Host"] == [host.encode()]
        assert request.headers["Host"].encode() == request.url.netloc
        assert request.headers["Authorization"] == "Bearer sk-1"
