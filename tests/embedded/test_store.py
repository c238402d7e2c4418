"""The embedded store: who reaches it, and how much it takes."""

import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from redis import Redis

from app.embedded.store import embedded_store


def test_only_its_user_reaches_the_store(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as url, Redis.from_url(url) as redis:
        assert redis.config_get("port") == {"port": "0"}
        socket = Path(unquote(urlsplit(url).path))
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert socket.parent == tmp_path


def test_a_path_that_is_too_long_for_a_socket_does_not_stop_the_store(tmp_path: Path) -> None:
    data_dir = tmp_path / "longer than a socket's path may be" / ("x" * 100)
    data_dir.mkdir(parents=True)
    with embedded_store(data_dir) as url, Redis.from_url(url) as redis:
        folder = Path(unquote(urlsplit(url).path)).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert redis.ping()
    assert not folder.exists()


def test_a_path_may_have_blanks_and_signs(tmp_path: Path) -> None:
    data_dir = tmp_path / "a b%20?#"
    data_dir.mkdir()
    with embedded_store(data_dir) as url, Redis.from_url(url) as redis:
        assert redis.ping()


def test_a_full_store_refuses_and_loses_nothing(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as url, Redis.from_url(url) as redis:
        assert redis.config_get("maxmemory") == {"maxmemory": str(512 * 1024 * 1024)}
        assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.parametrize("files", [["appendonlydir"], ["appendonlydir", "store.sock"]])
def test_a_store_that_was_killed_comes_back_with_what_it_had(tmp_path: Path, files: list[str]) -> None:
    with embedded_store(tmp_path) as url, Redis.from_url(url) as redis:
        redis.set("key", "value")
    if "store.sock" in files:
        (tmp_path / "store.sock").touch()
    with embedded_store(tmp_path) as url, Redis.from_url(url) as redis:
        assert redis.get("key") == b"value"
