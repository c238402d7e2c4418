"""What is erased does not stay in the embedded store's file."""

import time
from pathlib import Path

from redis import Redis

from app.embedded.rewriting import rewritten_after_erasures
from app.embedded.store import embedded_store
from app.store.keys import ERASURES_CHANNEL


def is_kept(data_dir: Path, text: bytes) -> bool:
    found = False
    for path in data_dir.glob("appendonlydir/*"):
        try:
            found = found or text in path.read_bytes()
        except FileNotFoundError:  # the store has just replaced it
            return is_kept(data_dir, text)
    return found


def wait_until_gone(data_dir: Path, text: bytes) -> None:
    while is_kept(data_dir, text):
        time.sleep(0.02)


def test_erased_text_leaves_the_file_also_if_a_rewrite_is_under_way(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as url, Redis.from_url(url) as redis, rewritten_after_erasures(url):
        for n in range(3):
            text = f"my secret {n}"
            redis.set("kept", "the rest")
            redis.set("erased", text)
            while not is_kept(tmp_path, text.encode()):
                time.sleep(0.02)
            redis.delete("erased")
            redis.publish(ERASURES_CHANNEL, "")
            if n == 0:
                wait_until_gone(tmp_path, text.encode())
        wait_until_gone(tmp_path, b"my secret")
        assert is_kept(tmp_path, b"the rest")


def test_what_was_erased_just_before_the_end_is_gone_after_the_next_start(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as url, Redis.from_url(url) as redis:
        redis.set("erased", "my secret")
        redis.delete("erased")
    assert is_kept(tmp_path, b"my secret")
    with embedded_store(tmp_path) as url, rewritten_after_erasures(url):
        wait_until_gone(tmp_path, b"my secret")
