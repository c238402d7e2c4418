"""What a request's head has to be, beyond what the parser checks."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from app.api.hosts import host_name
from app.errors import InvalidHttp


def check_head(http_version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse a head that another server on the way could read in another way.

    Args:
        http_version: As the request line has it.
        target: The request's target.
        headers: With names in lower case.

    Raises:
        InvalidHttp: The request's destination or the end of its body is ambiguous.
    """
    if http_version not in {"1.0", "1.1"}:
        raise InvalidHttp("Expected HTTP/1.1 or HTTP/1.0.")
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(hosts) != 1 or host_name(hosts[0]) is None:
        raise InvalidHttp("Expected one Host header: a name or an address, with or without a port.")
    if not target.startswith(b"/") and _authority(target) != hosts[0].lower():
        raise InvalidHttp("Expected a path, or a URL of the host that the Host header names.")
    encodings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if encodings and (encodings != [b"chunked"] or http_version == "1.0"):
        raise InvalidHttp("Expected no Transfer-Encoding but chunked, and none in HTTP/1.0.")


def _authority(target: bytes) -> str | None:
    try:
        parts = urlsplit(target.decode("ascii"))
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in {"http", "https"} else None
