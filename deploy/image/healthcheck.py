# ruff: noqa: INP001 -- a script, not a package
"""Ask the service in this container whether it is alive; the exit code is 0 if it is.

It asks the address that the service listens on. If that is a wildcard, it asks both loopback addresses.
"""

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection

_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 -- compared, not bound


def is_alive(host: str, port: int) -> bool:
    """Tell whether `GET /health` is answered with 200."""
    hosts = ("127.0.0.1", "::1") if host in _WILDCARDS else (host,)
    return any(_answers(each, port) for each in hosts)


def _answers(host: str, port: int) -> bool:
    # http.client, because urllib would use a proxy that the environment names.
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_alive(os.environ.get("APP_HOST", "").strip(), int(os.environ.get("APP_PORT") or 8000)))
