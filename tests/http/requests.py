"""Requests as bytes: good ones, bad ones, and ones that some server on the way may read in another way."""

import json
from collections.abc import Mapping

OPEN_HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"
QUESTION = json.dumps({"user_id": "cut", "message": "Hi", "conversation_id": "c"}).encode()
"""Its answer says 422, as no such model is offered: cheap, and certain to have read the body to its end."""
BODY = json.dumps({"user_id": "cut", "message": "Hi", "model": "none"}).encode()
SMUGGLED = b"DELETE /users/victim HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


def post(*lines: bytes, body: bytes = BODY, version: bytes = b"1.1") -> bytes:
    """A `POST /chat` with these lines in its head, and whatever body."""
    head = b"".join(line + b"\r\n" for line in lines)
    return b"POST /chat HTTP/" + version + b"\r\n" + OPEN_HEAD + head + b"\r\n" + body


def _length(body: bytes = BODY) -> bytes:
    return b"Content-Length: %d" % len(body)


def _chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


_HALVES = BODY[:20], BODY[20:]
_GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
_CHUNKED = b"Transfer-Encoding: chunked"

GOOD: Mapping[str, tuple[bytes, list[int]]] = {
    "a body": (post(_length()), [422]),
    "no body": (_GET + b"\r\n", [200]),
    "head": (_GET.replace(b"GET", b"HEAD") + b"\r\n", [200]),
    "blank lines first": (b"\r\n\r\n" + _GET + b"\r\n", [200]),
    "chunks": (post(_CHUNKED, body=_chunked(*_HALVES)), [422]),
    "chunks with extensions": (
        post(_CHUNKED, body=b"%x;a=b\r\n%b\r\n0;c\r\n\r\n" % (len(BODY), BODY)),
        [422],
    ),
    "trailers": (
        post(
            _CHUNKED, body=_chunked(BODY, end=b"0\r\nHost: evil\r\nConnection: close\r\nUpgrade: x\r\n\r\n")
        ),
        [422],
    ),
    "a length as a trailer": (
        post(_CHUNKED, body=_chunked(BODY, end=b"0\r\nContent-Length: 5\r\n\r\n")),
        [400],
    ),
    "expects 100": (post(_length(), b"Expect: 100-continue"), [100, 422]),
    "HTTP/1.0": (post(_length(), version=b"1.0"), [422]),
    "HTTP/1.0 that expects 100": (post(_length(), b"Expect: 100-continue", version=b"1.0"), [422]),
    "HTTP/1.0 that wants to stay": (post(_length(), b"Connection: keep-alive", version=b"1.0"), [422]),
    "pipelined": (_GET + b"\r\n" + post(_length()) + _GET + b"\r\n", [200, 422, 200]),
    "a body where none is wanted": (_GET + _length() + b"\r\n\r\n" + BODY + _GET + b"\r\n", [200, 200]),
    "offers h2c": (post(UPGRADE + b"Upgrade: h2c", _length()), [422]),
    "offers h2c in small letters": (post(UPGRADE.lower() + b"upgrade: h2c", _length()), [422]),
    "offers h2c with chunks": (post(UPGRADE + b"Upgrade: h2c", _CHUNKED, body=_chunked(*_HALVES)), [422]),
    "offers h2c without a body": (_GET + UPGRADE + b"Upgrade: h2c\r\n\r\n", [200]),
    "upgrade that nothing asks for": (post(b"Upgrade: websocket", _length()) + _GET + b"\r\n", [422, 200]),
    "two upgrades": (post(b"Connection: upgrade", b"Upgrade: a", b"Upgrade: b", _length()), [422]),
    "a URL": (b"GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", [200]),
    "closes": (_GET + b"Connection: close\r\n\r\n", [200]),
}

SMUGGLING: Mapping[str, tuple[bytes, list[int]]] = {
    "websocket with a request as its body": (
        post(b"Connection: upgrade", b"Upgrade: websocket", _length(SMUGGLED), body=SMUGGLED),
        [400],
    ),
    "websocket with a request behind its body": (
        post(b"Connection: upgrade", b"Upgrade: websocket", _length(), body=BODY + SMUGGLED),
        [422],
    ),
    "websocket in chunks, with a request behind them": (
        post(b"Connection: upgrade", b"Upgrade: websocket", _CHUNKED, body=_chunked(BODY) + SMUGGLED),
        [422],
    ),
    "websocket without a body, then a request": (
        _GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" + SMUGGLED,
        [200],
    ),
    "an upgrade in a value": (post(b"X: Content-Length: 3", b"Upgrade: x", _length()), [422]),
    "an upgrade behind a length": (post(b"Content-Length: 3", b"Upgrade: x0", body=b"abc"), [400]),
    "a length and chunks": (post(_length(), _CHUNKED, body=_chunked(BODY)), [400]),
    "chunks and a length": (post(_CHUNKED, b"Content-Length: 4", body=_chunked(BODY)), [400]),
    "two lengths": (post(_length(), b"Content-Length: 4"), [400]),
    "one length twice": (post(_length(), _length()), [400]),
    "a list of lengths": (post(b"Content-Length: 4, 4"), [400]),
    "a signed length": (post(b"Content-Length: +4"), [400]),
    "chunks twice": (post(_CHUNKED, _CHUNKED, body=_chunked(BODY)), [400]),
    "compressed chunks": (post(b"Transfer-Encoding: gzip, chunked", body=_chunked(BODY)), [400]),
    "chunks that are none": (post(b"Transfer-Encoding: xchunked", body=_chunked(BODY)), [400]),
    "identity": (post(b"Transfer-Encoding: identity"), [400]),
    "chunks in HTTP/1.0": (post(_CHUNKED, body=_chunked(BODY), version=b"1.0"), [400]),
    "HTTP/1.0, then a request": (post(_length(), version=b"1.0") + SMUGGLED, [422]),
    "closes, then a request": (_GET + b"Connection: close\r\n\r\n" + SMUGGLED, [200]),
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n" + SMUGGLED, [400]),
    "a space before the colon": (_GET + b"X : y\r\n\r\n", [400]),
    "a folded line": (_GET + b"X: y\r\n z\r\n\r\n", [400]),
    "line feeds alone": (_GET.replace(b"\r\n", b"\n") + b"\n", [400]),
    "a carriage return in a value": (_GET + b"X: a\rb\r\n\r\n", [400]),
    "a zero byte in a value": (_GET + b"X: a\0b\r\n\r\n", [400]),
    "a header without a colon": (_GET + b"no header\r\n\r\n", [400]),
}

MALFORMED: Mapping[str, tuple[bytes, list[int]]] = {
    "no request": (b"}}} no request", [400]),
    "no request behind a good one": (post(_length()) + b"}}} no request", [422]),
    "a bad request behind a good one": (post(_length()) + b"GET / HTTP/1.1\r\nX : y\r\n\r\n", [422, 400]),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "HTTP/2.0 in words": (b"GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n", [400]),
    "HTTP/0.9": (b"GET /health\r\n\r\n", [400]),
    "an unknown version": (b"GET /health HTTP/1.9\r\nHost: localhost\r\n\r\n", [400]),
    "a method in small letters": (b"get /health HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "a byte that is no ASCII in the path": (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", [400]),
    "no host in HTTP/1.0": (b"GET /health HTTP/1.0\r\n\r\n", [400]),
    "two hosts": (_GET + b"Host: localhost\r\n\r\n", [400]),
    "an empty host": (b"GET /health HTTP/1.1\r\nHost:\r\n\r\n", [400]),
    "a host that is a URL": (b"GET /health HTTP/1.1\r\nHost: http://localhost/\r\n\r\n", [400]),
    "a host with a user": (b"GET /health HTTP/1.1\r\nHost: a@localhost\r\n\r\n", [400]),
    "a host with a large port": (b"GET /health HTTP/1.1\r\nHost: localhost:99999\r\n\r\n", [400]),
    "an address that is none": (b"GET /health HTTP/1.1\r\nHost: [::1::]\r\n\r\n", [400]),
    "a URL of another host": (b"GET http://evil/health HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "a URL without a path": (b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "a URL with two ports": (b"GET http://localhost:1:2/ HTTP/1.1\r\nHost: localhost:1:2\r\n\r\n", [400]),
    "a URL with a user": (b"GET http://a@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "a path without a slash": (b"GET health HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "a large head behind a good one": (
        post(_length()) + _GET + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
        [422, 400],
    ),
    "a chunk size that is none": (post(_CHUNKED, body=b"z\r\nabc\r\n0\r\n\r\n"), [400]),
    "a chunk that is longer than its size": (post(_CHUNKED, body=b"3\r\nabcd\r\n0\r\n\r\n"), [400]),
    "a negative chunk": (post(_CHUNKED, body=b"-1\r\nabc\r\n0\r\n\r\n"), [400]),
    "a chunk of too many digits": (post(_CHUNKED, body=b"f" * 17 + b"\r\nabc"), [400]),
    "chunks with line feeds alone": (post(_CHUNKED, body=b"3\nabc\n0\n\n"), [400]),
    "a bad chunk behind a good one": (
        post(_CHUNKED, body=_chunked(BODY, end=b"z\r\n\r\n") + SMUGGLED),
        [400],
    ),
    "a bad chunk behind an offer of h2c": (
        post(UPGRADE + b"Upgrade: h2c", _CHUNKED, body=_chunked(BODY, end=b"z\r\n\r\n") + SMUGGLED),
        [400],
    ),
    "a bad chunk where no body is wanted": (
        _GET + _CHUNKED + b"\r\n\r\nz\r\n" + SMUGGLED,
        [200],
    ),
}

ALL = {**GOOD, **SMUGGLING, **MALFORMED}
