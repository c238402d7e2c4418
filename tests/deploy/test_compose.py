"""The Compose files, and nginx's configuration in front of the replicas, fit the service."""

import itertools
import re
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.deploy.manifests import ROOT, read_env

NGINX = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
PROFILES = ["vllm", "ollama"]
FILES = [*PROFILES, "replicas", "open-webui"]


def compose_file(name: str) -> dict[str, Any]:
    """Read a file with the defaults of its variables filled in."""
    text = (ROOT / f"docker-compose.{name}.yaml").read_text().replace("!reset []", "[]")
    found: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text))
    return found


def services(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose_file(name)["services"]
    return found


def directives(name: str, text: str = NGINX) -> list[str]:
    """Return a directive's values, wherever it stands in nginx's configuration."""
    return re.findall(rf"^ *{re.escape(name)} +(.+);$", text, re.MULTILINE)


def location(name: str) -> str:
    """Return the text of one of nginx's locations."""
    found = re.search(rf"location {re.escape(name)} \{{(.*?)\n        \}}", NGINX, re.DOTALL)
    assert found is not None
    return found[1]


def mebibytes(size: str) -> int:
    units = {"m": 1, "g": 1024}
    return int(size.removesuffix("b")[:-1]) * units[size.removesuffix("b")[-1]]


@pytest.mark.parametrize("name", FILES)
def test_every_container_goes_without_what_it_does_not_need(name: str) -> None:
    for service, wanted in services(name).items():
        if "image" not in wanted and "build" not in wanted:
            continue  # a file on top of a profile changes a service that the profile has confined
        assert wanted["cap_drop"] == ["ALL"], service
        assert wanted["security_opt"] == ["no-new-privileges:true"], service
        assert mebibytes(wanted["mem_limit"]) > 0, service
        assert wanted["pids_limit"] > 0, service


@pytest.mark.parametrize("name", FILES)
def test_no_container_runs_as_root(name: str) -> None:
    for service, wanted in services(name).items():
        if "image" in wanted:
            user, _, _ = wanted["user"].partition(":")
            assert int(user) > 0, service


@pytest.mark.parametrize("profile", PROFILES)
def test_a_container_can_change_only_its_volume_unless_it_compiles_kernels(profile: str) -> None:
    for service, wanted in services(profile).items():
        assert wanted.get("read_only", False) is not service.startswith("vllm"), service


@pytest.mark.parametrize("name", FILES)
def test_ports_are_published_on_loopback_alone(name: str) -> None:
    for wanted in services(name).values():
        assert all(port.startswith("127.0.0.1:") for port in wanted.get("ports", []))


@pytest.mark.parametrize("profile", PROFILES)
def test_the_store_and_the_backend_cannot_reach_each_other(profile: str) -> None:
    wanted = services(profile)
    assert wanted["app"]["networks"] == ["store", "model"]
    assert wanted["redis"]["networks"] == ["store"]
    for service in wanted.keys() - {"app", "redis", "ollama-pull"}:
        assert wanted[service]["networks"] == ["model"]
    assert compose_file(profile)["networks"].keys() == {"store", "model"}


@pytest.mark.parametrize(("name", "service"), [("replicas", "nginx"), ("open-webui", "open-webui")])
def test_what_clients_reach_reaches_the_service_alone(name: str, service: str) -> None:
    wanted = services(name)
    assert wanted[service]["networks"] == wanted["app"]["networks"] == ["front"]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_service_is_open_to_anybody_only_because_its_port_is_on_loopback(profile: str) -> None:
    app = services(profile)["app"]
    assert app["environment"]["ALLOW_ANYBODY"] is True
    assert app["ports"] == ["127.0.0.1:8000:8000"]


@pytest.mark.parametrize("profile", PROFILES)
def test_redis_refuses_what_does_not_fit_before_the_kernel_kills_it(profile: str) -> None:
    redis = services(profile)["redis"]
    options = dict(itertools.pairwise(redis["command"]))
    assert options["--maxmemory-policy"] == "noeviction"
    assert mebibytes(options["--maxmemory"]) * 2 <= mebibytes(redis["mem_limit"])
    assert redis["volumes"] == [f"redis-data:{options['--dir']}"]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_environment_of_a_profile_fits_its_compose_file(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", ROOT / f".env.{profile}")
    settings = Settings()
    assert settings.llm_first_token_timeout_seconds < settings.llm_total_timeout_seconds
    variables = read_env(ROOT / f".env.{profile}")
    assert variables["COMPOSE_FILE"] == f"docker-compose.{profile}.yaml"
    for name in variables.keys() & {"OLLAMA_MEM_LIMIT", "VLLM_MEM_LIMIT"}:
        assert variables[name] == services(profile)[profile]["mem_limit"]


def test_a_first_token_may_take_as_long_as_ollama_loads_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", ROOT / ".env.ollama")
    assert Settings().llm_first_token_timeout_seconds >= 5 * 60


def test_open_webui_names_its_users_to_the_service() -> None:
    wanted = services("open-webui")
    asked = wanted["open-webui"]["environment"]
    told = wanted["app"]["environment"]
    assert asked["OPENAI_API_BASE_URL"] == "http://app:8000/v1"
    assert asked["ENABLE_FORWARD_USER_INFO_HEADERS"] == "true"
    assert told["TRUSTED_USER_HEADER"] == "X-OpenWebUI-User-Id"
    # While open to anybody, the service answers no host name that it does not know.
    assert told["ALLOWED_HOSTS"].startswith("app")


@pytest.mark.parametrize(("name", "service"), [("vllm", "app"), ("ollama", "app"), ("replicas", "nginx")])
def test_a_container_has_longer_to_stop_than_the_service_takes(name: str, service: str) -> None:
    grace = services(name)[service]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > Settings().shutdown_grace_seconds + 20


@pytest.mark.parametrize("profile", PROFILES)
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
    deadline, *_ = directives("proxy_read_timeout")
    assert int(deadline.removesuffix("s")) > 2 * Settings().sse_ping_seconds


@pytest.mark.parametrize("name", ["/v1/", "@another_v1"])
def test_nginx_waits_for_a_whole_completion_and_takes_its_whole_request(name: str) -> None:
    (deadline,) = directives("proxy_read_timeout", location(name))
    assert int(deadline.removesuffix("s")) > Settings().llm_total_timeout_seconds
    (size,) = directives("client_max_body_size", location(name))
    assert int(size.removesuffix("m")) * 1024 * 1024 >= Settings().v1_max_body_bytes


def test_nginx_repeats_a_sent_question_only_if_it_was_refused() -> None:
    first, *others = directives("proxy_next_upstream")
    assert first == "error timeout"
    assert others == ["http_503 non_idempotent"] * 2
    assert directives("error_page") == ["503 = @another", "503 = @another_v1"]


def test_nginx_shows_no_metrics() -> None:
    assert location("= /metrics").strip() == "return 404;"


def test_nginx_has_room_for_what_the_replicas_take() -> None:
    replicas = services("replicas")["app"]["deploy"]["replicas"]
    (connections,) = directives("worker_connections")
    (files,) = directives("worker_rlimit_nofile")
    assert int(files) > int(connections) > 2 * replicas * Settings().max_readers
    (buffer,) = directives("client_body_buffer_size")
    assert int(buffer.removesuffix("k")) * 1024 >= Settings().max_body_bytes
