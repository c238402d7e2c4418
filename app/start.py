"""The start: settings, then the embedded parts, then the server."""

import gc
import os
import resource
import signal
import socket
import sys
import threading
from contextlib import closing, suppress
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog
from dotenv import dotenv_values

from app.embedded import EmbeddedError, embedded_parts
from app.hints import first_steps, misspelt_settings
from app.main import create_app
from app.observability.logging import configure_logging
from app.redis_url import parse_redis_url
from app.server import OTHER_DESCRIPTORS, Server
from app.settings import ENV_FILE, Settings, SettingsError, load_settings

_USAGE_ERROR = 2
_SEND_BUFFER_BYTES = 128 * 1024
_COLLECTOR_THRESHOLDS = (20_000, 50, 100)
"""With Python's defaults the collector walks through thousands of open streams, and delays all of them."""

_log = structlog.get_logger()


def main() -> int:
    """Run the service until a signal stops it.

    Returns:
        The exit code: 0 after a signal, 2 if a setting or the machine stops the start.
    """
    try:
        settings = load_settings()
        configure_logging(level=settings.log_level, log_format=settings.log_format)
        _raise_descriptor_limit(settings)
        _calm_garbage_collector()
        _warn_of_unknown_hosts(settings)
        _warn_of_misspelt_settings(settings)
        with closing(_bind(settings)) as listener, embedded_parts(settings) as complete_settings:
            app = create_app(complete_settings)
            Server(app, complete_settings, on_listening=partial(_greet, settings)).run(sockets=[listener])
            # Only the embedded parts are left to end, and no signal makes that faster.
            for stop in (signal.SIGINT, signal.SIGTERM):
                signal.signal(stop, signal.SIG_IGN)
    except (SettingsError, EmbeddedError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person who typed the command
        return _USAGE_ERROR
    return 0


def _raise_descriptor_limit(settings: Settings) -> None:
    """Allow as many open files as the machine does, and warn if they are too few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names no limit, and then allows less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A turn has a connection to the backend, a reader one to its client.
    needed = settings.max_active_turns + settings.max_readers + OTHER_DESCRIPTORS
    if soft < needed:
        _log.warning(
            "too few open files",
            limit=soft,
            needed=needed,
            remedy="raise ulimit -Hn, or lower MAX_ACTIVE_TURNS and MAX_READERS",
        )


def _calm_garbage_collector() -> None:
    """Look for garbage less often, and never in objects that live as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)


def _warn_of_unknown_hosts(settings: Settings) -> None:
    """Warn of a variable that names a host which this machine cannot resolve.

    The start goes on: the name may become known later. Nothing waits for the look-ups.
    """
    if settings.llm_proxy:  # it resolves the backends' names itself
        names = [("LLM_PROXY", urlsplit(settings.llm_proxy).hostname)]
    else:
        variable = "LLM_BACKENDS" if settings.llm_backends else "LLM_BASE_URL"
        names = [(variable, urlsplit(backend.url).hostname) for backend in settings.backends]
    if settings.redis_url:
        names += [("REDIS_URL", host) for host, _ in parse_redis_url(settings.redis_url).hosts]
    for variable, host in names:
        if host:
            threading.Thread(target=_look_up, args=(variable, host), daemon=True).start()


def _warn_of_misspelt_settings(settings: Settings) -> None:
    """Warn of variables that nothing reads but that look like a setting."""
    keys = {each.api_key_env for each in settings.backends}
    names = {*os.environ, *dotenv_values(ENV_FILE)} - keys
    for name, meant in misspelt_settings(names, settings).items():
        _log.warning("unknown setting", name=name, similar=meant)


def _greet(settings: Settings, url: str) -> None:
    """Tell a person at a terminal how to begin."""
    if sys.stderr.isatty() and settings.log_format != "json":
        print(f"\n{first_steps(url, settings)}\n", file=sys.stderr)  # noqa: T201 - no line of the log


def _look_up(variable: str, host: str) -> None:
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        _log.warning("host not resolved", variable=variable, host=host)


def _bind(settings: Settings) -> socket.socket:
    """Take the port first: if it is busy, the start ends before anything else has begun."""
    address = (settings.app_host, settings.app_port)
    try:
        family, _, _, _, resolved = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"APP_HOST: expected an address of this machine ({error})") from None
    if settings.is_open and not settings.allow_anybody and not _is_loopback(str(resolved[0])):
        raise SettingsError(
            "API_KEYS: expected keys, or JWT_SECRET or JWT_JWKS_URL, as APP_HOST is no loopback address; "
            "ALLOW_ANYBODY=true lets anyone who can reach the port act as any user"
        )
    try:
        # Under `::` the clients of both families come.
        both = resolved[0] == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(resolved, family=family, dualstack_ipv6=both)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise SettingsError(f"APP_PORT: cannot listen on {address[0]} port {address[1]}: {reason}") from None
    # Otherwise the kernel buffers megabytes for a slow reader, and a third of them has to leave before the
    # reader counts as one that takes something.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return listener


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback
