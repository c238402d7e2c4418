"""The settings' rules; how a wrong one stops the start is tested in tests/live/test_process.py."""

from pathlib import Path

import pytest

from app.settings import EMBEDDED_MODEL, SettingsError, load_settings


def test_the_defaults_need_nothing_to_be_set() -> None:
    settings = load_settings()
    assert (settings.llm_base_url, settings.redis_url, settings.llm_model) == ("", "", EMBEDDED_MODEL)


def test_an_empty_value_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_PORT", "")
    assert load_settings().app_port == 8000


@pytest.mark.parametrize("value", ["sk-abc\n", " sk-abc", "\tsk-abc\r\n"])
def test_white_space_around_a_value_is_dropped(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LLM_API_KEY", value)
    monkeypatch.setenv("LLM_BASE_URL", "http://localhost:8001/v1\n")
    monkeypatch.setenv("LLM_MODEL", " m ")
    monkeypatch.setenv("APP_PORT", "9000\n")
    monkeypatch.setenv("ALLOW_ANYBODY", "true\n")
    monkeypatch.setenv("LOG_LEVEL", " Warning ")
    settings = load_settings()
    assert settings.llm_api_key.get_secret_value() == "sk-abc"
    assert (settings.llm_base_url, settings.llm_model) == ("http://localhost:8001/v1", "m")
    assert (settings.app_port, settings.allow_anybody, settings.log_level) == (9000, True, "warning")


def test_white_space_alone_is_an_unset_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_URL=redis://of-the-file\nLLM_CONTEXT_TOKENS=\n")
    monkeypatch.setenv("REDIS_URL", " \n")
    settings = load_settings()
    assert (settings.redis_url, settings.llm_context_tokens) == ("", None)


def test_names_are_read_whatever_else_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_NONSENSE", "x")
    monkeypatch.setenv("LLM_MAX_TOKENS", "7")
    assert load_settings().llm_max_tokens == 7


def test_allowed_models_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_ALLOWED_MODELS", " a, b ,,")
    assert load_settings().models == {EMBEDDED_MODEL, "a", "b"}


def test_a_trailing_slash_of_the_base_url_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_BASE_URL", "http://localhost:8001/v1/")
    monkeypatch.setenv("LLM_MODEL", "m")
    assert load_settings().llm_base_url == "http://localhost:8001/v1"


@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1"])
def test_a_deadline_is_a_positive_number(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LLM_TOTAL_TIMEOUT_SECONDS", value)
    with pytest.raises(SettingsError, match=r"^LLM_TOTAL_TIMEOUT_SECONDS: expected"):
        load_settings()


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_API_KEY", "sk-canary")
    assert "sk-canary" not in repr(load_settings())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_KEYS", "too-short"),
        ("API_KEYS", " , "),
        ("JWT_AUDIENCE", "chat"),
        ("API_KEYS", "a-key-with-16-chars!"),
        ("API_KEYS", "a-key-with-16-chars="),
        ("API_KEYS", "a-key-with-16-chars=a/b"),
        ("API_KEYS", "a-key-with-16-chars,a-key-with-16-chars=alice"),
        ("JWT_SECRET", "short"),
        ("JWT_JWKS_URL", "issuer.test/keys"),
        ("METRICS_NEED_KEY", "true"),
        ("CORS_ORIGINS", "https://app.test/"),
        ("RATE_LIMIT_TURNS_PER_MINUTE", "-1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("ALLOWED_HOSTS", "chat.test:443"),
        ("ALLOWED_HOSTS", "https://chat.test"),
        ("ALLOW_ANYBODY", "perhaps"),
        ("TRUSTED_USER_HEADER", "Authorization"),
        ("TRUSTED_USER_HEADER", "X User"),
        ("LLM_PROXY", "proxy.test:3128"),
        ("LLM_PROXY", "socks5://proxy.test:1080"),
        ("LLM_PROXY", "http://proxy.test:3128/backend"),
    ],
)
def test_what_would_let_in_the_wrong_ones_or_nobody_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=rf"^{variable}.*: .*expected") as error:
        load_settings()
    if variable in {"API_KEYS", "JWT_SECRET"}:
        assert value not in str(error.value)


@pytest.mark.parametrize("variable", ["JWT_JWKS_URL", "LLM_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"])
@pytest.mark.parametrize("netloc", ["user:canary/x@host", "user:a[canary]b@host", "user:canary\u2100@host"])
def test_a_url_that_does_not_parse_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, netloc: str
) -> None:
    monkeypatch.setenv(variable, f"https://{netloc}/")
    with pytest.raises(SettingsError, match=rf"^{variable}: expected") as error:
        load_settings()
    assert "canary" not in str(error.value)


@pytest.mark.parametrize("netloc", [":a[canary]b@host", ":canary\u2100@host", ":canary/x@host"])
def test_the_password_of_a_redis_url_is_not_shown(monkeypatch: pytest.MonkeyPatch, netloc: str) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://{netloc}/0")
    with pytest.raises(SettingsError, match=r"^REDIS_URL: expected") as error:
        load_settings()
    assert "canary" not in str(error.value)


def test_keys_may_be_bound_to_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "a-key-with-16-chars=alice, another-key-of-16")
    settings = load_settings()
    assert settings.users_by_key == {"a-key-with-16-chars": "alice", "another-key-of-16": None}
    assert not settings.is_open
    assert "a-key-with-16-chars" not in repr(settings)


def test_tokens_have_one_kind_of_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "x" * 32)
    monkeypatch.setenv("JWT_JWKS_URL", "https://issuer.test/keys")
    with pytest.raises(SettingsError, match="JWT_SECRET"):
        load_settings()


def test_host_names_and_header_names_have_no_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "Chat.Example.com, intranet")
    monkeypatch.setenv("TRUSTED_USER_HEADER", "X-Forwarded-User")
    settings = load_settings()
    assert settings.allowed_hosts == ("chat.example.com", "intranet")
    assert settings.trusted_user_header == "x-forwarded-user"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("APP_PORT", "80a"),
        ("LLM_BASE_URL", "localhost:8001/v1"),
        ("LLM_MAX_TOKENS", "4k"),
        ("LOG_LEVEL", "verbose"),
        ("ALLOW_ANYBODY", "perhaps"),
    ],
)
def test_an_error_shows_the_value_that_was_given(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=rf"^{variable}: .*, not '{value}'$"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LLM_API_KEY", "canary key"),
        ("LLM_BASE_URL", "sk-proj-canary0123456789abcdef"),
        ("LLM_PROXY", "http://user:canary@proxy.test:port"),
        ("REDIS_URL", "redis://:canary"),
        ("REDIS_URL", "redis://host/0?secret=canary"),
    ],
)
def test_an_error_shows_no_value_that_may_hold_a_secret(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=rf"^{variable}: expected") as error:
        load_settings()
    assert "canary" not in str(error.value)


ENTRY = '{"name": "a", "url": "http://a:1/v1", "models": {"m": "own"}}'
OTHER_ENTRY = '{"name": "b", "url": "http://b:1/v1", "models": {"m": "own"}}'


def test_a_list_of_backends_offers_their_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_BACKENDS", f"[{ENTRY}]")
    monkeypatch.setenv("LLM_MODEL", "m")
    settings = load_settings()
    assert settings.models == {"m"}
    assert [(each.name, each.weight, each.priority) for each in settings.backends] == [("a", 1, 0)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("no list", r"expected a JSON list"),
        ("[]", r"expected a JSON list"),
        (f"[{ENTRY}, {ENTRY}]", r"entry 1, name: expected"),
        (f"[{ENTRY}, 7]", r"entry 2: expected"),
        ('[{"name": "a", "url": "a:1", "models": {"m": "m"}}]', r"entry 1, url: expected a URL"),
        ('[{"name": "a", "models": {"m": "m"}}]', r"entry 1, url: expected to be set"),
        ('[{"name": "a", "url": "http://a/v1", "models": {}}]', r"entry 1, models: expected"),
        (f'[{ENTRY[:-1]}, "weight": 0}}]', r"entry 1, weight: expected"),
        (f'[{ENTRY[:-1]}, "api_key": "x"}}]', r"entry 1, api_key: expected no such field"),
        (f'[{ENTRY[:-1]}, "api_key_env": "NOT_SET"}}]', r"entry 1, api_key_env: expected"),
    ],
)
def test_a_wrong_list_names_the_entry_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    monkeypatch.setenv("LLM_BACKENDS", value)
    monkeypatch.setenv("LLM_MODEL", "m")
    with pytest.raises(SettingsError, match=rf"^LLM_BACKENDS: {expected}"):
        load_settings()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LLM_BASE_URL": "http://b/v1"}, "LLM_BASE_URL: expected to be unset"),
        ({"LLM_API_KEY": "sk-canary"}, "LLM_API_KEY: expected to be unset"),
        ({"LLM_MODEL": ""}, "LLM_MODEL: expected the model's name"),
        ({"LLM_MODEL": "other"}, "LLM_MODEL: expected a name that an entry"),
        ({"LLM_ALLOWED_MODELS": "m,other"}, "LLM_ALLOWED_MODELS: expected names that entries"),
    ],
)
def test_what_does_not_fit_a_list_of_backends_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name, value in {"LLM_BACKENDS": f"[{ENTRY}]", "LLM_MODEL": "m", **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{expected}") as error:
        load_settings()
    assert "canary" not in str(error.value)


def test_an_entry_may_name_the_variable_of_the_single_backends_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_BACKENDS", f'[{ENTRY[:-1]}, "api_key_env": "LLM_API_KEY"}}, {OTHER_ENTRY}]')
    monkeypatch.setenv("LLM_MODEL", "m")
    monkeypatch.setenv("LLM_API_KEY", "sk-abc")
    settings = load_settings()
    assert [settings.key_of(each).get_secret_value() for each in settings.backends] == ["sk-abc", ""]


def test_the_key_of_a_backend_comes_from_the_environment_otherwise_from_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = f'{ENTRY[:-1]}, "api_key_env": "KEY_OF_A"}}'
    (tmp_path / ".env").write_text(f"LLM_BACKENDS='[{entry}]'\nLLM_MODEL=m\nKEY_OF_A='sk-of-the-file \n'\n")
    settings = load_settings()
    assert settings.key_of(settings.backends[0]).get_secret_value() == "sk-of-the-file"
    assert "sk-of-the-file" not in repr(settings)
    monkeypatch.setenv("KEY_OF_A", "sk-of-the-environment")
    assert settings.key_of(settings.backends[0]).get_secret_value() == "sk-of-the-environment"
