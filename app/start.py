"""The start: settings, then what is embedded, then the server."""

import gc
import os
import resource
import signal
import socket
import sys
import threading
from contextlib import closing, suppress
from urllib.parse import urlsplit

import structlog

from app.embedded import EmbeddedError, embedded_parts
from app.main import create_app
from app.observability.logging import configure_logging
from app.redis_url import parse_redis_url
from app.server import Server
from app.settings import Settings, SettingsError, load_settings

_USAGE_ERROR = 2
_SEND_BUFFER_BYTES = 128 * 1024
_COLLECTOR_THRESHOLDS = (20_000, 50, 100)
"""With Python's own, a collector that walks through thousands of open streams holds all of them up."""
_OTHER_DESCRIPTORS = 250
"""Connections to Redis, idle ones to the backend and of clients that ask no question."""

_log = structlog.get_logger()


def main() -> int:
    """Run the service until a signal stops it.

    Returns:
        The exit code: 0 after a signal, 2 where a setting or the machine stops the start.
    """
    try:
        settings = load_settings()
        configure_logging(level=settings.log_level, log_format=settings.log_format)
        _raise_descriptor_limit(settings)
        _calm_garbage_collector()
        _warn_of_unknown_hosts(settings)
        with closing(_bind(settings)) as listener, embedded_parts(settings) as complete_settings:
            Server(create_app(complete_settings), complete_settings).run(sockets=[listener])
            # From here on it only takes the embedded parts to end; no signal makes that faster.
            for stop in (signal.SIGINT, signal.SIGTERM):
                signal.signal(stop, signal.SIG_IGN)
    except (SettingsError, EmbeddedError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person who typed the command
        return _USAGE_ERROR
    return 0


def _raise_descriptor_limit(settings: Settings) -> None:
    """Open as many files as the machine allows, and say so where that is too few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names no limit, and then allows less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A turn has a connection to the backend, a reader one to its client.
    needed = settings.max_active_turns + settings.max_readers + _OTHER_DESCRIPTORS
    if soft < needed:
        _log.warning(
            "the hard limit of open files (ulimit -Hn) is too low for MAX_ACTIVE_TURNS and MAX_READERS",
            limit=soft,
            needed=needed,
        )


def _calm_garbage_collector() -> None:
    """Look for garbage less often, and not at all in what lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)


def _warn_of_unknown_hosts(settings: Settings) -> None:
    """Say which variable names a host that this machine cannot find, as compose's names on the host itself.

    It is no reason to stop: the name may come to be known. And nothing waits for the look-ups.
    """
    names = [("LLM_BASE_URL", urlsplit(settings.llm_base_url).hostname)]
    if settings.redis_url:
        names += [("REDIS_URL", host) for host, _ in parse_redis_url(settings.redis_url).hosts]
    for variable, host in names:
        if host:
            threading.Thread(target=_look_up, args=(variable, host), daemon=True).start()


def _look_up(variable: str, host: str) -> None:
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        _log.warning(
            "a variable points at a host that cannot be found from here", variable=variable, host=host
        )


def _bind(settings: Settings) -> socket.socket:
    """Take the port before anything else is started, so that a busy one is told at once."""
    address = (settings.app_host, settings.app_port)
    try:
        family, _, _, _, resolved = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"APP_HOST: expected an address of this machine ({error})") from None
    try:
        listener = socket.create_server(resolved, family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise SettingsError(f"APP_PORT: cannot listen on {address[0]} port {address[1]}: {reason}") from None
    # Else the kernel takes megabytes for a slow reader, and a third of them has to leave before it counts as
    # one that takes something.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return listener
