"""The body of a request that offers another protocol, which RFC 9110, 7.8, lets a server ignore.

The parser that read its head takes what follows for the other protocol, and has stopped. So the body has a
parser of its own, which knows nothing but where the body ends.
"""

from collections.abc import Callable, Sequence

import httptools

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class _Body:
    """The callbacks of a parser that parses a body alone."""

    def __init__(self, on_body: Callable[[bytes], None], on_message_complete: Callable[[], None]) -> None:
        self.on_body = on_body
        self.on_message_complete = on_message_complete


def body_parser(
    headers: Sequence[tuple[bytes, bytes]],
    on_body: Callable[[bytes], None],
    on_message_complete: Callable[[], None],
) -> httptools.HttpRequestParser:
    """Make a parser that expects the body which these headers announce, and refuses whatever follows it.

    Args:
        headers: Of the request, with names in lower case, as the first parser accepted them.
        on_body: Called with each part of the body.
        on_message_complete: Called at its end.
    """
    parser = httptools.HttpRequestParser(_Body(on_body, on_message_complete))
    framing = b"".join(b"%b: %b\r\n" % field for field in headers if field[0] in _FRAMING)
    parser.feed_data(b"POST / HTTP/1.1\r\nConnection: close\r\n" + framing)
    return parser
