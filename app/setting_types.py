"""Types of settings: what a value has to look like, and what the error says if it does not."""

import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from app.names import is_name
from app.redis_url import parse_redis_url

MAX_SECONDS = 7 * 86400

_MIN_SECRET_BYTES = 32
"""RFC 7518, 3.2: a key of HS256 is at least as long as its hash."""
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
"""RFC 9110, 5.6.2: what the name of a header consists of."""
_CREDENTIAL_HEADERS = frozenset({"authorization", "cookie", "host", "proxy-authorization"})


def _comma_separated(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(item.strip() for item in value.split(",") if item.strip())


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
        raise ValueError("expected a host name with labels of 1 to 63 characters") from None
    if parts.username is not None:
        raise ValueError(
            "expected a URL without credentials; set LLM_API_KEY, or api_key_env of the entry, to send a key"
        )
    return value.rstrip("/")


def _proxy_url(value: str) -> str:
    parts = urlsplit(_http_url(value))
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("expected http://host:port or http://user:password@host:port, without a path")
    return value


def _redis_url(value: str) -> str:
    parse_redis_url(value)
    return value


def _url(parse: Callable[[str], str]) -> AfterValidator:
    def parse_if_set(value: str) -> str:
        try:
            return parse(value) if value else value
        except ValueError as error:
            # The standard library quotes a part of the URL, which may be a password.
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
    if not keys:  # an operator who sets the variable does not want an open service
        raise ValueError("expected at least one key")
    return keys


def _jwt_secret(value: SecretStr) -> SecretStr:
    if value.get_secret_value() and len(value.get_secret_value().encode()) < _MIN_SECRET_BYTES:
        raise ValueError(f"expected at least {_MIN_SECRET_BYTES} bytes")
    return value


def _header_value(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]*", value.get_secret_value()):
        raise ValueError("expected visible ASCII characters")
    return value


def _header_name(value: str) -> str:
    name = value.lower()
    if value and (not _TOKEN.fullmatch(value) or name in _CREDENTIAL_HEADERS):
        raise ValueError("expected the name of a header that carries no credentials, such as X-User-Id")
    return name


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"\*|https?://[^/\s]+", value) for value in values):
        raise ValueError("expected origins such as https://app.example.com, without a path, or *")
    return values


def _hosts(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", value) for value in values):
        raise ValueError("expected host names such as chat.example.com, without a scheme or a port")
    return tuple(value.lower() for value in values)


Lower = BeforeValidator(_lower)

BackendUrl = Annotated[str, _url(_backend_url)]
HttpUrl = Annotated[str, _url(_http_url)]
ProxyUrl = Annotated[str, _url(_proxy_url)]
RedisUrlText = Annotated[str, _url(_redis_url)]

CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
Hosts = Annotated[CommaSeparated, AfterValidator(_hosts)]
Origins = Annotated[CommaSeparated, AfterValidator(_origins)]

ApiKeys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_api_keys)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_header_value)]
JwtSecret = Annotated[SecretStr, AfterValidator(_jwt_secret)]

Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
SecondsOrNone = Annotated[float, Field(ge=0, le=MAX_SECONDS)]


def harmless(value: Any) -> str | None:
    """Return a value as an error may show it; None if it may hold a secret or is too long to help.

    A URL may hold a password before an @, after a colon or in its query. A long run of letters and digits
    may be a key that has come into the wrong variable.
    """
    text = str(value)
    plain = re.fullmatch(r"(?:[\w .,*/+-]|:(?=//|\d{1,5}(?!\w))){1,80}", text)
    return text if plain and not re.search(r"[\w-]{20}", text) else None
