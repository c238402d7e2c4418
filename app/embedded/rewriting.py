"""Keeps erased text out of the embedded store's append-only file."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import RedisError

from app.store.keys import ERASURES_CHANNEL

_WAIT_SECONDS = 0.2
_ANSWER_SECONDS = 1.0


@contextmanager
def rewritten_after_erasures(url: str) -> Iterator[None]:
    """Have the store rewrite its file after each erasure, and now, if the last run ended too early."""
    is_over = threading.Event()
    thread = threading.Thread(target=_watch, args=(url, is_over), name="erasures", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _watch(url: str, is_over: threading.Event) -> None:
    with (
        Redis.from_url(url, socket_timeout=_ANSWER_SECONDS) as redis,
        redis.pubsub(ignore_subscribe_messages=True) as erasures,
    ):
        is_due = True
        while not is_over.is_set():
            try:
                erasures.subscribe(ERASURES_CHANNEL)
                if is_due:
                    redis.bgrewriteaof()
                    is_due = False
                while not (is_due or is_over.is_set()):
                    is_due = erasures.get_message(timeout=_WAIT_SECONDS) is not None
            except RedisError:
                # A rewrite from before the erasure is under way, or the store is away for a moment.
                is_due = True
                is_over.wait(_WAIT_SECONDS)
