"""The service's settings: environment variables, else `.env`, else the defaults below."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.names import is_name
from app.redis_url import parse_redis_url

EMBEDDED_MODEL = "smollm2-135m-instruct"

_MAX_SECONDS = 7 * 86400
_MIN_SECRET_BYTES = 32
"""RFC 7518, 3.2: a key of HS256 is at least as long as its hash."""


class SettingsError(Exception):
    """A setting that does not parse. The text names the variable and what was expected, never its value."""


def _comma_separated(value: Any) -> Any:
    return (
        tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value
    )


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("expected a URL that begins with http:// or https:// and names a host")
    return value


def _backend_url(value: str) -> str:
    parts = urlsplit(_http_url(value))
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError("expected a host's name with labels of 1 to 63 characters") from None
    if parts.username is not None:
        raise ValueError("expected a URL without credentials; LLM_API_KEY is the place for a key")
    return value.rstrip("/")


def _redis_url(value: str) -> str:
    parse_redis_url(value)
    return value


def _url(parse: Callable[[str], str]) -> AfterValidator:
    def parse_if_set(value: str) -> str:
        try:
            return parse(value) if value else value
        except ValueError as error:
            # The standard library's words have a part of the URL, which may be a password.
            expected = str(error) if str(error).startswith("expected") else "expected a valid URL"
            raise ValueError(expected) from None

    return AfterValidator(parse_if_set)


def _api_key(value: str) -> str:
    key, bound, user_id = value.partition("=")
    if not re.fullmatch(r"[A-Za-z0-9._~-]{16,}", key):
        raise ValueError("expected keys of 16 or more of A-Z a-z 0-9 . _ ~ -, comma-separated")
    if bound and not is_name(user_id):
        raise ValueError("expected key=user_id, or a key alone")
    return value


def _api_keys(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    keys = tuple(map(_api_key, _comma_separated(value)))
    if not keys:  # whoever sets it does not want to let everybody in
        raise ValueError("expected at least one key")
    return keys


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"\*|https?://[^/\s]+", value) for value in values):
        raise ValueError("expected origins such as https://app.example.com, without a path, or *")
    return values


def _secret(value: SecretStr) -> SecretStr:
    if value.get_secret_value() and len(value.get_secret_value().strip().encode()) < _MIN_SECRET_BYTES:
        raise ValueError(f"expected at least {_MIN_SECRET_BYTES} bytes")
    return value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
Seconds = Annotated[float, Field(gt=0, le=_MAX_SECONDS)]
SecondsOrNone = Annotated[float, Field(ge=0, le=_MAX_SECONDS)]


class Settings(BaseSettings):
    """All settings, frozen. An empty value is an unset one; unknown names are left alone."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    llm_base_url: Annotated[str, _url(_backend_url)] = ""
    """OpenAI-compatible base URL, `/v1` included; unset: the embedded model."""
    llm_model: str = EMBEDDED_MODEL
    """The model's name; required where LLM_BASE_URL is set."""
    llm_api_key: SecretStr = SecretStr("")
    """Sent to the backend as a bearer token."""
    llm_allowed_models: CommaSeparated = ()
    """Further models that a request may name, comma-separated."""
    llm_max_tokens: int = Field(1024, ge=1)
    """Cap on the tokens that a turn may generate."""
    llm_context_tokens: int | None = Field(None, ge=1)
    """The models' context window; unset: as the backend reports, else 4096."""
    llm_status_wait_seconds: SecondsOrNone = 5
    """How long the HTTP status is held back for the backend's first event."""
    llm_connect_timeout_seconds: Seconds = 3
    """Deadline for a connection to the backend."""
    llm_first_token_timeout_seconds: Seconds = 60
    """Deadline for the first content."""
    llm_token_gap_timeout_seconds: Seconds = 30
    """Deadline for the next content."""
    llm_total_timeout_seconds: Seconds = 300
    """Deadline for the whole answer."""

    redis_url: Annotated[str, _url(_redis_url)] = ""
    """Where conversations are kept; unset: the embedded store."""
    system_prompt: str = "You are a helpful assistant."
    """First message of every prompt, not stored; `none` sends none."""
    history_ttl_seconds: int = Field(2_592_000, ge=0, le=100 * 365 * 86400)
    """A conversation untouched for so long is forgotten; 0: never."""
    history_max_messages: int = Field(1000, ge=2)
    """Above it the oldest turns of a conversation are dropped."""
    resume_grace_seconds: SecondsOrNone = 30
    """A turn that nobody has read for so long is interrupted; 0: as soon as its last reader has gone."""
    resume_ttl_seconds: Seconds = 300
    """How long after its end a turn can be followed, and its owner tries to store it."""
    turn_lease_seconds: float = Field(15, ge=3, le=_MAX_SECONDS)
    """Within which the turn of a process that died is closed by another one."""

    sse_ping_seconds: Seconds = 10
    """Longest silence on a stream; then a comment line goes out."""
    slow_reader_seconds: Seconds = 20
    """A reader that takes nothing for so long is disconnected."""
    shutdown_grace_seconds: SecondsOrNone = 120
    """How long running turns may still take after SIGTERM."""
    max_active_turns: int = Field(2000, ge=1)
    """How many turns one process runs at once."""
    max_readers: int = Field(4000, ge=1)
    """How many streams one process serves at once."""
    max_body_bytes: int = Field(262_144, ge=1)
    """Largest request body."""
    max_message_chars: int = Field(32_000, ge=1)
    """Longest message."""

    api_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_api_keys)] = ()
    """Who may call: `key`, or `key=user_id` for a key bound to a user, comma-separated; unset: anybody."""
    jwt_secret: Annotated[SecretStr, AfterValidator(_secret)] = SecretStr("")
    """Bearer JWTs are signed with it (HS256); `sub` is the user."""
    jwt_jwks_url: Annotated[str, _url(_http_url)] = ""
    """Where the public keys of the tokens' issuer are."""
    jwt_audience: str = ""
    """That a token has to be for; unset: whichever."""
    jwt_issuer: str = ""
    """That a token has to be from; unset: whichever."""
    metrics_need_key: bool = False
    """Whether `/metrics` wants a key or token, too."""
    docs_need_key: bool = False
    """Whether `/docs` and `/openapi.json` want a key or token, too."""
    rate_limit_turns_per_minute: int = Field(0, ge=0)
    """How many turns a user may start in a minute, over all replicas; 0: any number."""
    max_active_turns_per_user: int = Field(4, ge=0)
    """How many turns of a user may run at once, over all replicas; 0: any number."""
    cors_origins: Annotated[CommaSeparated, AfterValidator(_origins)] = ()
    """Origins whose pages may call from a browser, comma-separated; `*`: all."""

    app_host: str = "127.0.0.1"
    """Address to listen on."""
    app_port: int = Field(8000, ge=0, le=65535)
    """Port to listen on."""
    embedded_data_dir: Path = Path(".data")
    """Where the embedded store keeps its append-only file."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)
    ] = "info"
    """Least severity that is logged."""
    otel_exporter_otlp_endpoint: Annotated[str, _url(_http_url)] = ""
    """Where traces go, by OTLP over HTTP; unset: nowhere."""
    log_format: Annotated[Literal["auto", "json", "console"], BeforeValidator(_lower)] = "auto"
    """`json`, `console`, or by whether a terminal is there."""

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Any) -> Any:
        # Not env_ignore_empty: an empty variable of the environment has to win over the same name in .env.
        return {name: value for name, value in values.items() if value != ""}

    @field_validator("llm_api_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[\x21-\x7e]*", value.get_secret_value()):
            raise ValueError("expected visible ASCII characters")
        return value

    @model_validator(mode="after")
    def _model_is_named(self) -> Self:
        if self.llm_base_url and "llm_model" not in self.model_fields_set:
            raise ValueError("LLM_MODEL: expected the model's name, as LLM_BASE_URL is set")
        return self

    @model_validator(mode="after")
    def _credentials_fit_together(self) -> Self:
        if self.jwt_secret.get_secret_value() and self.jwt_jwks_url:
            raise ValueError("JWT_SECRET: expected to be unset, as JWT_JWKS_URL is set")
        if (self.jwt_audience or self.jwt_issuer) and not (
            self.jwt_secret.get_secret_value() or self.jwt_jwks_url
        ):
            raise ValueError("JWT_AUDIENCE, JWT_ISSUER: expected JWT_SECRET or JWT_JWKS_URL to be set")
        if (self.metrics_need_key or self.docs_need_key) and self.is_open:
            raise ValueError(
                "METRICS_NEED_KEY, DOCS_NEED_KEY: expected API_KEYS, JWT_SECRET or JWT_JWKS_URL to be set"
            )
        if len(self.users_by_key) < len(self.api_keys):
            raise ValueError("API_KEYS: expected each key once")
        return self

    @property
    def is_open(self) -> bool:
        """Whether anybody may call."""
        return not (self.api_keys or self.jwt_secret.get_secret_value() or self.jwt_jwks_url)

    @property
    def users_by_key(self) -> dict[str, str | None]:
        """To an API key the user that it is bound to, if it is."""
        parts = (key.get_secret_value().partition("=") for key in self.api_keys)
        return {key: user_id or None for key, _, user_id in parts}

    @property
    def models(self) -> frozenset[str]:
        """Every model that a request may name."""
        return frozenset({self.llm_model, *self.llm_allowed_models})


def load_settings() -> Settings:
    """Read the environment and `.env`.

    Raises:
        SettingsError: A value does not parse; one line for each.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_explain(detail) for detail in error.errors(include_input=False))
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env: expected a readable UTF-8 file ({type(error).__name__})") from None


def _explain(detail: Any) -> str:
    text = str(detail["msg"]).removeprefix("Value error, ")
    text = text.replace("Input should be", "expected", 1)
    name = ".".join(str(part) for part in detail["loc"]).upper()
    return f"{name}: {text}" if name else text
