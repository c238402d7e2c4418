"""An incremental decoder of `text/event-stream`: bytes in, events out, no I/O.

Source: WHATWG HTML, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream". Lines end at
CR, LF or CRLF and nowhere else, so that U+2028 in a JSON string stays where it is. Only the fields that a
completion stream uses are kept: `id` and `retry` serve a reconnection that never happens here.
"""

from collections.abc import Iterator
from typing import NamedTuple

MAX_LINE_BYTES = 1024 * 1024

_LINE_ENDS = (b"\n", b"\r")
"""Those of `bytes.splitlines`, too: unlike the one of `str` it knows no others."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineTooLong(ValueError):
    """A line, or the data of one event, is longer than `MAX_LINE_BYTES`."""


class Event(NamedTuple):
    """One dispatched event."""

    data: bytes
    type: bytes = b"message"


class EventStreamDecoder:
    """Decodes one stream; `feed` may be given it in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._skip_line_feed = False
        self._at_start = True
        self._type = b""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, received: bytes) -> Iterator[Event]:
        """The events that are whole now; one that the stream's end leaves unfinished is dropped.

        They are decoded as they are taken, so that those before an overlong line are not lost with it.

        Raises:
            LineTooLong: The stream cannot be decoded any further.
        """
        for line in self._lines(received):
            if len(line) > MAX_LINE_BYTES:
                raise LineTooLong
            if line:
                self._interpret(line)
            elif (event := self._dispatch()) is not None:
                yield event
        if len(self._rest) > MAX_LINE_BYTES:
            raise LineTooLong

    def _lines(self, received: bytes) -> list[bytes]:
        if self._skip_line_feed and received:
            # The CR before ended a line already; an LF right after it belongs to the same line end.
            received = received.removeprefix(b"\n")
            self._skip_line_feed = False
        if received.endswith(b"\r"):
            self._skip_line_feed = True
        buffer = self._rest + received
        if self._at_start:
            if len(buffer) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(buffer):
                self._rest = buffer
                return []
            buffer = buffer.removeprefix(_BYTE_ORDER_MARK)
            self._at_start = False
        lines = buffer.splitlines()
        self._rest = lines.pop() if lines and not buffer.endswith(_LINE_ENDS) else b""
        return lines

    def _interpret(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value)
            if self._data_bytes > MAX_LINE_BYTES:
                raise LineTooLong
        elif name == b"event":
            self._type = value

    def _dispatch(self) -> Event | None:
        data, event_type = self._data, self._type
        self._data, self._type, self._data_bytes = [], b"", 0
        return Event(b"\n".join(data), event_type or b"message") if data else None
