"""A backend behind a company's proxy."""

from base64 import b64encode

import pytest

from tests.live.conftest import Serve
from tests.support.backend import Backend
from tests.support.forward_proxy import running_forward_proxy
from tests.support.sse import events


async def test_the_backend_is_reached_through_the_proxy_alone(
    serve: Serve, backend: Backend, user: str
) -> None:
    async with (
        running_forward_proxy() as proxy,
        serve(llm_proxy=f"http://name:pass%40word@127.0.0.1:{proxy.port}") as client,
        client.stream("POST", "/chat", json={"user_id": user, "message": "Hi"}) as response,
    ):
        received = [each async for each in events(response)]
    assert received[-1].data == "[DONE]"
    assert len(backend.completions) == 1
    assert "proxy-authorization" not in backend.completions[0].headers
    head = next(head for head in proxy.heads if head.startswith("POST"))
    assert head.startswith(f"POST {backend.url}/chat/completions HTTP/1.1")
    assert f"Basic {b64encode(b'name:pass@word').decode()}" in head


async def test_a_proxy_that_lets_nothing_through_is_no_answer_of_the_backend(
    serve: Serve, backend: Backend, user: str
) -> None:
    async with (
        running_forward_proxy() as proxy,
        serve(
            llm_base_url="https://backend.test/v1", llm_proxy=f"http://name:word@127.0.0.1:{proxy.port}"
        ) as client,
    ):
        proxy.refuses = True
        response = await client.post("/chat", json={"user_id": user, "message": "Hi"})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert "proxy" in response.json()["error"]["message"]
    assert "word" not in response.text
    assert any(head.startswith("CONNECT backend.test:443") for head in proxy.heads)
    assert backend.completions == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
async def test_the_usual_variables_of_a_proxy_are_ignored(
    serve: Serve, user: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_forward_proxy() as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        async with serve() as client:
            response = await client.post("/chat", json={"user_id": user, "message": "Hi"})
    assert response.status_code == 200
    # The test's own client heeds the variable.
    assert not any("/v1/" in head for head in proxy.heads)
