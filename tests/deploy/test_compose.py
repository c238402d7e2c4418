"""The Compose files, and nginx's configuration in front of the replicas, fit the service."""

import re
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.deploy.manifests import ROOT

NGINX = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()


def services(name: str) -> dict[str, Any]:
    text = (ROOT / f"docker-compose.{name}.yaml").read_text().replace("!reset []", "[]")
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def directives(name: str) -> list[str]:
    """Its values, wherever it stands in nginx's configuration."""
    return re.findall(rf"^ *{re.escape(name)} +(.+);$", NGINX, re.MULTILINE)


@pytest.mark.parametrize(("name", "service"), [("vllm", "app"), ("ollama", "app"), ("replicas", "nginx")])
def test_a_container_has_longer_to_stop_than_the_service_takes(name: str, service: str) -> None:
    grace = services(name)[service]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > Settings().shutdown_grace_seconds + 20


@pytest.mark.parametrize("profile", ["vllm", "ollama"])
def test_nginx_takes_the_port_of_the_service_over(profile: str) -> None:
    (published,) = services(profile)["app"]["ports"]
    on_top = services("replicas")
    assert on_top["app"]["ports"] == []
    assert on_top["nginx"]["ports"] == [published]
    port = published.rpartition(":")[2]
    assert directives("listen") == [port]
    assert directives("set $replicas") == [f"app:{port}"]


def test_nginx_neither_buffers_nor_cuts_between_two_pings() -> None:
    assert directives("proxy_buffering") == ["off"]
    (deadline,) = directives("proxy_read_timeout")
    assert int(deadline.removesuffix("s")) > 2 * Settings().sse_ping_seconds


def test_nginx_repeats_a_sent_question_only_where_it_was_refused() -> None:
    assert directives("proxy_next_upstream") == ["error timeout", "http_503 non_idempotent"]


def test_nginx_has_room_for_what_the_replicas_take() -> None:
    replicas = services("replicas")["app"]["deploy"]["replicas"]
    (connections,) = directives("worker_connections")
    (files,) = directives("worker_rlimit_nofile")
    assert int(files) > int(connections) > 2 * replicas * Settings().max_readers
    (buffer,) = directives("client_body_buffer_size")
    assert int(buffer.removesuffix("k")) * 1024 >= Settings().max_body_bytes
