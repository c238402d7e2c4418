"""The headers Host and Origin: the host that a request names, and the page that sends it.

A web page may reach this service from a visitor's browser in two ways: under a name of its own that it has
pointed at this machine (DNS rebinding), and by requests that a browser sends to any host without asking.
"""

import ipaddress
import re
from collections.abc import Container, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import Scope

from app.api.headers import headers_of
from app.errors import Forbidden

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::([0-9]{0,5}))?")
_MAX_PORT = 65535
_WRITING_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class HostPolicy:
    """The hosts that are answered for: `localhost`, IP addresses, and names that were set."""

    def __init__(self, hosts: Container[str], *, any_host_paths: Container[str]) -> None:
        """Set the policy.

        Args:
            hosts: The further names, in lower case.
            any_host_paths: The paths that are served under any name.
        """
        self._hosts = hosts
        self._any_host_paths = any_host_paths

    def answers(self, scope: Scope) -> bool:
        """Whether a request is answered."""
        if scope["path"] in self._any_host_paths:
            return True
        name = host_name(headers_of(scope).get("host", ""))
        return name is not None and (name == "localhost" or is_address(name) or name in self._hosts)


class OriginPolicy:
    """The origins whose pages may write: the service's own, and those that were set."""

    def __init__(self, origins: Container[str]) -> None:
        """Set the policy.

        Args:
            origins: The foreign origins whose pages may write; `*`: all.
        """
        self._origins = origins

    def check(self, scope: Scope) -> None:
        """Let a request pass.

        Raises:
            Forbidden: It would write, and comes from a page that may not.
        """
        origin = headers_of(scope).get("origin")
        if (
            origin is not None
            and scope["method"] in _WRITING_METHODS
            and not self._may_write(origin, headers_of(scope))
        ):
            raise Forbidden("Pages of this origin may not write; see CORS_ORIGINS.")

    def _may_write(self, origin: str, headers: Mapping[str, str]) -> bool:
        if "*" in self._origins or origin in self._origins:
            return True
        # The browser's own word, which no page can forge. It counts behind proxies that change the Host.
        if (site := headers.get("sec-fetch-site")) is not None:
            return site == "same-origin"
        return _is_origin_of(origin, headers.get("host", ""))


def host_name(host: str) -> str | None:
    """Return the name or address in a Host header, in lower case and without brackets; None: malformed."""
    match = _HOST.fullmatch(host)
    if match is None or int(match[2] or 0) > _MAX_PORT:
        return None
    name = match[1].lower()
    if not name.startswith("["):
        return name
    address = name[1:-1]
    return address if is_address(address) else None


@lru_cache(maxsize=256)
def is_address(name: str) -> bool:
    """Whether it is an IP address, not a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_origin_of(origin: str, host: str) -> bool:
    """Whether the origin's page came from this host. A proxy may have ended TLS, so the scheme may differ."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    default_port = _DEFAULT_PORTS.get(parts.scheme)
    if default_port is None:
        return False
    return parts.netloc.lower().removesuffix(default_port) == host.lower().removesuffix(default_port)
