"""Where Redis is: REDIS_URL taken apart, also in the forms that redis-py does not know."""

import re
from typing import Any, Literal, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import RedisClusterException

_EXPECTED = (
    "expected a URL that begins with redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://"
)
_PORT = 6379
_SENTINEL_PORT = 26379
_OF_SENTINELS = "sentinel_"


class RedisUrl(NamedTuple):
    """The parts of a URL."""

    kind: Literal["server", "cluster", "sentinel"]
    hosts: list[tuple[str, int]]
    """Of the server, of nodes of the cluster, or of the sentinels; none: it is behind a Unix socket."""
    options: dict[str, Any]
    """How a server is spoken to, in redis-py's words."""
    sentinel_options: dict[str, Any]
    """How a sentinel is spoken to."""
    master: str
    """The name by which the sentinels know the server."""


def parse_redis_url(url: str) -> RedisUrl:
    """Take a URL apart.

    The credentials before the hosts are the servers'. Sentinels that want some get those of the options
    `sentinel_username` and `sentinel_password`.

    Raises:
        ValueError: It is no such URL, or has options that redis-py does not know.
    """
    parts = urlsplit(url)
    try:
        match parts.scheme.split("+"):
            case ["redis" | "rediss" | "unix"] if parts.netloc or parts.path:
                return _server(parts)
            case ["redis" | "rediss" as scheme, "cluster"]:
                return _cluster(parts._replace(scheme=scheme))
            case ["redis" | "rediss" as scheme, "sentinel"]:
                return _sentinel(parts._replace(scheme=scheme))
    except TypeError:
        raise ValueError("expected options as redis-py has them") from None
    raise ValueError(_EXPECTED)


def _server(parts: SplitResult) -> RedisUrl:
    options = _options(parts)
    ConnectionPool(**options).make_connection()  # type: ignore[no-untyped-call]
    hosts = [(options["host"], options.get("port", _PORT))] if "host" in options else []
    return RedisUrl("server", hosts, options, {}, "")


def _cluster(parts: SplitResult) -> RedisUrl:
    hosts, options = _hosts_and_options(parts, _PORT)
    try:
        RedisCluster(*hosts[0], **options)
    except RedisClusterException:
        raise ValueError("expected no path, as a cluster has one database") from None
    return RedisUrl("cluster", hosts, options, {}, "")


def _sentinel(parts: SplitResult) -> RedisUrl:
    named = re.fullmatch(r"/([^/]+)(.*)", parts.path)
    if named is None:
        raise ValueError("expected the name of the master as the path")
    master, database = named.groups()
    hosts, options = _hosts_and_options(parts._replace(path=database), _SENTINEL_PORT)
    sentinel_options = {
        name.removeprefix(_OF_SENTINELS): options.pop(name)
        for name in [*options]
        if name.startswith(_OF_SENTINELS)
    }
    sentinel_options |= {name: value for name, value in options.items() if name.startswith("ssl")}
    for each in (options, sentinel_options):
        Redis(**each)
    return RedisUrl("sentinel", hosts, options, sentinel_options, unquote(master))


def _hosts_and_options(parts: SplitResult, default_port: int) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    credentials, at, hosts = parts.netloc.rpartition("@")
    each = [_options(parts._replace(netloc=credentials + at + host)) for host in hosts.split(",")]
    addresses = [(options.pop("host", ""), options.pop("port", default_port)) for options in each]
    if not all(host for host, _ in addresses):
        raise ValueError("expected hosts, with a comma between one and the next")
    options = each[0]
    return addresses, options | {"ssl": options.pop("connection_class", None) is SSLConnection}


def _options(parts: SplitResult) -> dict[str, Any]:
    if parts.scheme != "unix" and not re.fullmatch(r"(/\d*)?", parts.path):
        raise ValueError("expected the number of a database as the path")
    try:
        return {**parse_url(parts.geturl())}
    except ValueError:
        raise ValueError("expected a port that is a number, and options as redis-py has them") from None
