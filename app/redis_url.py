"""Parses REDIS_URL, also in the forms that redis-py does not know."""

import re
from typing import Any, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis.asyncio.connection import SSLConnection, parse_url

_EXPECTED = (
    "expected a URL that begins with redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://"
)
_PARTS = re.compile(r"(?P<scheme>[a-z+]{1,32})://(?P<netloc>[^/?#]*)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
"""Several hosts are no URL: `urlsplit` refuses them as soon as one is an IPv6 address."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^][:]+)(:[^][]*)?")
_OPTIONS = frozenset({"client_name", "db", "health_check_interval", "password", "username"})
_TLS_OPTIONS = frozenset(
    {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
_SENTINEL_OPTIONS = frozenset({"sentinel_password", "sentinel_username"})
_CERT_REQS = {"none", "optional", "required"}
_PORT = 6379
_SENTINEL_PORT = 26379


class RedisUrl(NamedTuple):
    """The parts of a URL."""

    kind: Literal["server", "cluster", "sentinel"]
    hosts: list[tuple[str, int]]
    """Addresses of the server, of nodes of the cluster, or of the sentinels; none: a Unix socket."""
    options: dict[str, Any]
    """Options of a server's connection, in redis-py's words."""
    sentinel_options: dict[str, Any]
    """Options of a sentinel's connection."""
    master: str
    """Name by which the sentinels know the server."""


def parse_redis_url(url: str) -> RedisUrl:
    """Take a URL apart.

    The credentials before the hosts are the servers'. Sentinels that want some get those of the options
    `sentinel_username` and `sentinel_password`.

    Raises:
        ValueError: It is no such URL, or has options that are not known here.
    """
    parts = _PARTS.fullmatch(url)
    if parts is None:
        raise ValueError(_EXPECTED)
    scheme, netloc, rest = parts["scheme"].lower(), parts["netloc"], parts["rest"]
    match scheme.split("+"):
        case ["redis" | "rediss" | "unix"] if netloc or rest:
            return _server(urlsplit(url))
        case ["redis" | "rediss" as server_scheme, "cluster"]:
            return _cluster(server_scheme, netloc, rest)
        case ["redis" | "rediss" as server_scheme, "sentinel"]:
            return _sentinel(server_scheme, netloc, rest)
    raise ValueError(_EXPECTED)


def _server(parts: SplitResult) -> RedisUrl:
    options = _options(parts)
    hosts = [(options["host"], options.get("port", _PORT))] if "host" in options else []
    return RedisUrl("server", hosts, options, {}, "")


def _cluster(scheme: str, netloc: str, rest: str) -> RedisUrl:
    hosts, options = _hosts_and_options(scheme, netloc, rest, _PORT)
    if options.get("db"):
        raise ValueError("expected no number of a database, as a cluster has one")
    return RedisUrl("cluster", hosts, options, {}, "")


def _sentinel(scheme: str, netloc: str, rest: str) -> RedisUrl:
    named = re.fullmatch(r"/([^/?#]+)(.*)", rest, re.DOTALL)
    if named is None:
        raise ValueError("expected the name of the master as the path")
    master, rest = named.groups()
    hosts, options = _hosts_and_options(scheme, netloc, rest, _SENTINEL_PORT, _SENTINEL_OPTIONS)
    sentinel_options = {
        name.removeprefix("sentinel_"): options.pop(name) for name in _SENTINEL_OPTIONS & options.keys()
    }
    sentinel_options |= {name: value for name, value in options.items() if name.startswith("ssl")}
    return RedisUrl("sentinel", hosts, options, sentinel_options, unquote(master))


def _hosts_and_options(
    scheme: str, netloc: str, rest: str, default_port: int, further_options: frozenset[str] = frozenset()
) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    credentials, at, hosts = netloc.rpartition("@")
    if "@" in credentials:
        raise ValueError("expected credentials once, before the first host, with %40 for an @ in them")
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise ValueError("expected hosts, with a comma between one and the next, IPv6 addresses in brackets")
    each = [
        _options(urlsplit(f"{scheme}://{credentials}{at}{host}{rest}"), further_options)
        for host in hosts.split(",")
    ]
    addresses = [(options.pop("host"), options.pop("port", default_port)) for options in each]
    options = each[0]
    return addresses, options | {"ssl": options.pop("connection_class", None) is SSLConnection}


def _options(parts: SplitResult, further_options: frozenset[str] = frozenset()) -> dict[str, Any]:
    if parts.scheme != "unix" and not re.fullmatch(r"(/\d*)?", parts.path):
        raise ValueError("expected the number of a database as the path")
    known = _OPTIONS | further_options | (_TLS_OPTIONS if parts.scheme == "rediss" else frozenset())
    if not parse_qs(parts.query, keep_blank_values=True).keys() <= known:
        raise ValueError(f"expected no other options than {', '.join(sorted(known))}")
    try:
        options = {**parse_url(parts.geturl())}
    except ValueError:
        raise ValueError("expected a port that is a number, and options that have values") from None
    if options.get("ssl_cert_reqs", "required") not in _CERT_REQS:
        raise ValueError(f"expected ssl_cert_reqs to be one of {', '.join(sorted(_CERT_REQS))}")
    return options
