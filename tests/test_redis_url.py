"""Which URLs of Redis are understood, and how."""

import pytest

from app.redis_url import parse_redis_url


def test_a_server_is_named_by_host_and_port() -> None:
    redis = parse_redis_url("redis://chat:p%40ss@store:6380/2")
    assert (redis.kind, redis.hosts) == ("server", [("store", 6380)])
    assert redis.options == {
        "host": "store",
        "port": 6380,
        "db": 2,
        "username": "chat",
        "password": "p@ss",
    }


def test_a_unix_socket_has_no_host() -> None:
    redis = parse_redis_url("unix:///run/redis.sock?db=1")
    assert (redis.kind, redis.hosts, redis.options["path"]) == ("server", [], "/run/redis.sock")


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    redis = parse_redis_url("redis+cluster://chat:secret@a:1,b,[::1]:3")
    assert (redis.kind, redis.hosts) == ("cluster", [("a", 1), ("b", 6379), ("::1", 3)])
    assert redis.options == {"username": "chat", "password": "secret", "ssl": False}


def test_sentinels_have_credentials_of_their_own_and_the_tls_of_all() -> None:
    redis = parse_redis_url(
        "rediss+sentinel://:secret@a,b:2/chat%20store/3?sentinel_password=other&ssl_ca_certs=/ca.pem"
    )
    assert (redis.kind, redis.master, redis.hosts) == ("sentinel", "chat store", [("a", 26379), ("b", 2)])
    tls = {"ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert redis.options == {"password": "secret", "db": 3, **tls}
    assert redis.sentinel_options == {"password": "other", **tls}


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ("a,[::1]:7002", [("a", 6379), ("::1", 7002)]),
        ("[::1]:7001,[fe80::1]", [("::1", 7001), ("fe80::1", 6379)]),
        ("user:p%2C%5Bss@[::1],b:7", [("::1", 6379), ("b", 7)]),
    ],
)
def test_hosts_may_be_ipv6_addresses_in_any_place(hosts: str, expected: list[tuple[str, int]]) -> None:
    assert parse_redis_url(f"redis+cluster://{hosts}").hosts == expected
    sentinels = [(host, 26379 if port == 6379 else port) for host, port in expected]
    assert parse_redis_url(f"redis+sentinel://{hosts}/master/0").hosts == sentinels


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "a URL that begins with redis://"),
        ("redis://", "a URL that begins with redis://"),
        ("redis+mesh://secret@a", "a URL that begins with redis://"),
        ("unix+cluster:///secret", "a URL that begins with redis://"),
        ("redis+cluster://", "hosts"),
        ("redis+cluster://a,[::1", "hosts"),
        ("redis+cluster://a,secret[::1]", "hosts"),
        ("redis+cluster://a,,secret", "hosts"),
        ("redis+cluster://a:secret", "a port that is a number"),
        ("redis+cluster://a/1", "no number of a database"),
        ("redis+cluster://:secret@a,:secret@b", "credentials once"),
        ("redis://a?decode_responses=true", "no other options"),
        ("redis://a?ssl_ca_certs=secret", "no other options"),
        ("rediss://a?ssl_cert_reqs=secret", "ssl_cert_reqs to be one of"),
        ("redis://a?health_check_interval=secret", "a port that is a number, and options"),
        ("redis+cluster://a?nonsense=secret", "no other options"),
        ("redis+sentinel://a", "the name of the master"),
        ("redis+sentinel://a/master/secret", "the number of a database"),
        ("redis+sentinel://a/master?sentinel_host=secret", "no other options"),
    ],
)
def test_what_is_no_such_url_is_refused_and_not_quoted(url: str, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^expected {expected}") as refusal:
        parse_redis_url(url)
    assert "secret" not in str(refusal.value)
