"""The service's settings: environment variables, otherwise `.env`, otherwise the defaults below."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.setting_backends import BackendEntry, Backends
from app.setting_types import (
    MAX_SECONDS,
    ApiKeys,
    BackendUrl,
    CommaSeparated,
    HeaderName,
    HeaderSecret,
    Hosts,
    HttpUrl,
    JwtSecret,
    Lower,
    Origins,
    ProxyUrl,
    RedisUrlText,
    Seconds,
    SecondsOrNone,
    harmless,
)

ENV_FILE = ".env"
EMBEDDED_MODEL = "smollm2-135m-instruct"


class SettingsError(Exception):
    """A setting that does not parse. The text names the variable and what was expected, and no secret."""


class Settings(BaseSettings):
    """All settings, frozen. An empty value is an unset one; unknown names are left alone."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    llm_base_url: BackendUrl = ""
    """OpenAI-compatible base URL, `/v1` included; unset: the embedded model."""
    llm_backends: Backends = ()
    """Several backends as a JSON list, instead of LLM_BASE_URL and LLM_API_KEY."""
    llm_model: str = EMBEDDED_MODEL
    """The model's name; required if LLM_BASE_URL or LLM_BACKENDS is set."""
    llm_api_key: HeaderSecret = SecretStr("")
    """Sent to the backend as a bearer token."""
    llm_proxy: ProxyUrl = ""
    """HTTP proxy between the service and the backend; unset: none, whatever HTTPS_PROXY says."""
    llm_allowed_models: CommaSeparated = ()
    """Further models that a request may name, comma-separated."""
    llm_max_tokens: int = Field(4096, ge=1)
    """Cap on the tokens that a turn may generate."""
    llm_context_tokens: int | None = Field(None, ge=1)
    """The models' context window; unset: as the backend reports, or as its refusals teach."""
    llm_status_wait_seconds: SecondsOrNone = 5
    """How long the HTTP status is held back for the backend's first event."""
    llm_connect_timeout_seconds: Seconds = 3
    """Deadline for a connection to the backend."""
    llm_first_token_timeout_seconds: Seconds = 120
    """Deadline for the first content."""
    llm_token_gap_timeout_seconds: Seconds = 60
    """Deadline for the next content."""
    llm_total_timeout_seconds: Seconds = 600
    """Deadline for the whole answer."""

    redis_url: RedisUrlText = ""
    """The Redis that keeps conversations; unset: the embedded store."""
    system_prompt: str = "You are a helpful assistant."
    """First message of every prompt, not stored; `none` sends none."""
    history_ttl_seconds: int = Field(2_592_000, ge=0, le=100 * 365 * 86400)
    """A conversation untouched for so long is forgotten; 0: never."""
    history_max_messages: int = Field(1000, ge=2)
    """Above it the oldest turns of a conversation are dropped."""
    history_max_bytes: int = Field(8_388_608, ge=1)
    """Above it the oldest turns of a conversation are dropped."""
    max_conversations_per_user: int = Field(1000, ge=0)
    """Above it a user's new conversation is refused; 0: no limit."""
    resume_grace_seconds: SecondsOrNone = 300
    """A turn without a reader for so long is interrupted; 0: as soon as its last reader has gone."""
    resume_ttl_seconds: Seconds = 600
    """How long after its end a turn can be followed, and its owner tries to store it."""
    turn_lease_seconds: float = Field(15, ge=3, le=MAX_SECONDS)
    """How soon another process closes the turns of one that died."""

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
    max_readers_per_user: int = Field(64, ge=1)
    """How many streams of one user one process serves at once."""
    max_body_bytes: int = Field(262_144, ge=1)
    """Largest request body, outside of `/v1`."""
    v1_max_body_bytes: int = Field(20_971_520, ge=1)
    """Largest request body on `/v1`."""
    max_message_chars: int = Field(32_000, ge=1)
    """Longest message."""

    api_keys: ApiKeys = ()
    """Keys of clients: `key`, or `key=user_id` for a key bound to a user, comma-separated; unset: open."""
    jwt_secret: JwtSecret = SecretStr("")
    """Secret with which bearer JWTs are signed (HS256); `sub` is the user."""
    jwt_jwks_url: HttpUrl = ""
    """URL of the public keys of the tokens' issuer."""
    jwt_audience: str = ""
    """Required `aud` claim; unset: any."""
    jwt_issuer: str = ""
    """Required `iss` claim; unset: any."""
    allow_anybody: bool = False
    """Whether a service without keys or tokens may listen beyond loopback."""
    trusted_user_header: HeaderName = ""
    """Header in which a proxy names the user of a `/v1` request; unset: none is trusted."""
    metrics_need_key: bool = False
    """Whether `/metrics` requires a key or token, too."""
    docs_need_key: bool = False
    """Whether `/docs` and `/openapi.json` require a key or token, too."""
    rate_limit_turns_per_minute: int = Field(60, ge=0)
    """How many turns a user may start in a minute, over all replicas; 0: any number."""
    max_active_turns_per_user: int = Field(4, ge=0)
    """How many turns of a user may run at once, over all replicas; 0: any number."""
    allowed_hosts: Hosts = ()
    """Host names, beside `localhost` and IP addresses, that an open service answers to, comma-separated."""
    cors_origins: Origins = ()
    """Origins whose pages may call from a browser, comma-separated; `*`: all."""

    app_host: str = "127.0.0.1"
    """Address to listen on."""
    app_port: int = Field(8000, ge=0, le=65535)
    """Port to listen on."""
    embedded_data_dir: Path = Path(".data")
    """Folder of the embedded store's append-only file."""
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], Lower] = "info"
    """Least severity that is logged."""
    log_format: Annotated[Literal["auto", "json", "console"], Lower] = "auto"
    """`json`, `console`, or `auto`: console on a terminal, JSON otherwise."""
    otel_exporter_otlp_endpoint: HttpUrl = ""
    """OTLP collector that traces are sent to over HTTP; unset: no tracing."""

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Any) -> Any:
        # Not env_ignore_empty: an empty variable of the environment has to win over the same name in .env.
        stripped = {
            name: value.strip() if isinstance(value, str) else value for name, value in values.items()
        }
        return {name: value for name, value in stripped.items() if value != ""}

    @model_validator(mode="after")
    def _model_is_named(self) -> Self:
        if self.llm_base_url and "llm_model" not in self.model_fields_set:
            raise ValueError("LLM_MODEL: expected the model's name, as LLM_BASE_URL is set")
        return self

    @model_validator(mode="after")
    def _backends_fit_together(self) -> Self:
        if not self.llm_backends:
            return self
        if self.llm_base_url:
            raise ValueError("LLM_BASE_URL: expected to be unset, as LLM_BACKENDS is set")
        names_of_keys = {entry.api_key_env for entry in self.llm_backends}
        if self.llm_api_key.get_secret_value() and "LLM_API_KEY" not in names_of_keys:
            raise ValueError("LLM_API_KEY: expected to be unset, or named by an entry of LLM_BACKENDS")
        if "llm_model" not in self.model_fields_set:
            raise ValueError("LLM_MODEL: expected the model's name, as LLM_BACKENDS is set")
        offered = {name for entry in self.llm_backends for name in entry.models}
        if self.llm_model not in offered:
            raise ValueError("LLM_MODEL: expected a name that an entry of LLM_BACKENDS has in its models")
        if not offered.issuperset(self.llm_allowed_models):
            raise ValueError("LLM_ALLOWED_MODELS: expected names that entries of LLM_BACKENDS have in models")
        for number, entry in enumerate(self.llm_backends, 1):
            if entry.api_key_env and not re.fullmatch(r"[\x21-\x7e]+", self.key_of(entry).get_secret_value()):
                raise ValueError(
                    f"LLM_BACKENDS: entry {number}, api_key_env: expected the name of a variable that is set "
                    "to visible ASCII characters"
                )
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
        """Whether neither keys nor tokens are configured."""
        return not (self.api_keys or self.jwt_secret.get_secret_value() or self.jwt_jwks_url)

    @property
    def users_by_key(self) -> dict[str, str | None]:
        """The user that each API key is bound to, if any."""
        parts = (key.get_secret_value().partition("=") for key in self.api_keys)
        return {key: user_id or None for key, _, user_id in parts}

    @property
    def models(self) -> frozenset[str]:
        """Every model that a request may name."""
        offered = (name for entry in self.llm_backends for name in entry.models)
        return frozenset({self.llm_model, *self.llm_allowed_models, *offered})

    @property
    def backends(self) -> tuple[BackendEntry, ...]:
        """Every backend: the list, or the one that LLM_BASE_URL names; empty: the embedded one is missing."""
        if self.llm_backends or not self.llm_base_url:
            return self.llm_backends
        own_names = {model: model for model in sorted(self.models)}
        return (BackendEntry.model_construct(name="default", url=self.llm_base_url, models=own_names),)

    def key_of(self, entry: BackendEntry) -> SecretStr:
        """Return the key of a backend; empty: it has none."""
        if not self.llm_backends:
            return self.llm_api_key
        name = entry.api_key_env
        if not name:
            return SecretStr("")
        env_file = self.model_config.get("env_file")
        value = os.environ.get(name)
        if value is None and isinstance(env_file, str | Path):
            value = dotenv_values(env_file, encoding="utf-8").get(name)
        return SecretStr((value or "").strip())


def load_settings() -> Settings:
    """Read the environment and `.env`.

    Raises:
        SettingsError: A value does not parse; one line for each.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(map(_explain, error.errors()))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env: expected a readable UTF-8 file ({type(error).__name__})") from None


def _explain(detail: ErrorDetails) -> str:
    expected = detail["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    if not detail["loc"]:  # of several settings together; the text begins with their names
        return expected
    name = str(detail["loc"][0])
    is_secret = "SecretStr" in repr(Settings.model_fields[name].annotation)
    given = None if is_secret else harmless(detail["input"])
    return f"{name.upper()}: {expected}" + (f", not {given!r}" if given else "")
