"""What the start tells the person who typed the command."""

import json
import shlex

import pytest

from app.hints import first_steps, misspelt_settings
from app.settings import Settings
from tests.support.service import settings_for


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LLM_BASEURL", "LLM_BASE_URL"),
        ("LLM_BASE_URI", "LLM_BASE_URL"),
        ("LLM_APIKEY", "LLM_API_KEY"),
        ("API_KEY", "API_KEYS"),
        ("PORT", "APP_PORT"),
        ("llm_max_token", "LLM_MAX_TOKENS"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("REDISURL", "REDIS_URL"),
        ("LOGLEVEL", "LOG_LEVEL"),
    ],
)
def test_a_misspelt_setting_is_found(name: str, meant: str) -> None:
    assert misspelt_settings([name, "HOME", "PATH"], Settings.model_validate({})) == {name.upper(): meant}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "HOME",
            "HOST",
            "HOSTNAME",
            "LOGNAME",
            "PATH",
            "SHELL",
            "USER",
            "COMPOSE_FILE",
            "HF_TOKEN",
            "VLLM_ARGS",
        ),
        *("HTTPS_PROXY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "REDIS_HOST", "REDIS_PORT", "KUBERNETES_PORT"),
        *("REDIS_SERVICE_HOST", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
def test_variables_of_other_programs_are_left_alone(name: str) -> None:
    assert misspelt_settings([name], Settings.model_validate({})) == {}


def test_a_setting_that_is_set_was_not_misspelt() -> None:
    assert misspelt_settings(["PORT", "APP_PORT"], settings_for(app_port=80)) == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::]", "[::1]"])  # noqa: S104 - only shown
def test_the_first_steps_can_be_copied(host: str) -> None:
    text = first_steps(f"http://{host}:8010", settings_for())
    assert "http://localhost:8010 in a browser" in text
    command = shlex.split(text.splitlines()[-1])
    assert command[:3] == ["curl", "-N", "http://localhost:8010/chat"]
    assert json.loads(command[-1]) == {"user_id": "me", "message": "Hello!"}
    assert not any("Bearer" in word for word in command)


def test_the_first_steps_have_a_place_for_the_key() -> None:
    text = first_steps("http://10.1.2.3:80", settings_for(api_keys=("a-key-of-sixteen-characters",)))
    assert "http://10.1.2.3:80/chat" in text
    assert "Authorization: Bearer YOUR_KEY" in text
