"""An incremental decoder of `text/event-stream`: bytes in, events out, no I/O.

Source: WHATWG HTML, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream". Lines end at
CR, LF or CRLF and nowhere else, so that U+2028 in a JSON string stays in it. Only the fields that a
completion stream uses are decoded: `id` and `retry` serve a reconnection that never happens here.
"""

from collections.abc import Iterator
from itertools import repeat

MAX_LINE_BYTES = 1024 * 1024

_LINE_ENDS = (b"\n", b"\r")
"""The line ends of `bytes.splitlines`, too: unlike the one of `str` it knows no others."""
_FIELD = b"data: "
_BETWEEN_EVENTS = b"\n\ndata: "
_BLANK_LINE = b"\n\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MESSAGE = b"message"

Event = tuple[bytes, bytes]
"""A dispatched event: its data and its type, which is `message` unless an `event` field says otherwise."""


class LineTooLong(ValueError):
    """A line, or the data of one event, is longer than `MAX_LINE_BYTES`."""


class EventStreamDecoder:
    """A decoder of one stream; `feed` takes it in pieces of any size."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        """The pieces of a line whose end has not come yet: joining them once is linear."""
        self._rest_bytes = 0
        self._skip_line_feed = False
        self._at_start = True
        self._type = b""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, received: bytes) -> Iterator[Event]:
        """Decode the events that are complete now.

        Each event is decoded when the caller takes it, so an overlong line loses none of those before it.

        Raises:
            LineTooLong: The stream cannot be decoded any further.
        """
        if (data := self._plain_events(received)) is not None:
            return zip(data, repeat(_MESSAGE), strict=False)
        return self._decode(received)

    def end(self) -> Event | None:
        """Return the event that a clean end of the stream has left without its blank line.

        The standard drops it, since a page cannot tell a clean end from a torn connection. HTTP can.
        """
        line, self._rest, self._rest_bytes = b"".join(self._rest), [], 0
        if line:
            self._interpret(line)
        return self._dispatch() if self._data else None

    def _decode(self, received: bytes) -> Iterator[Event]:
        for line in self._lines(received):
            if len(line) > MAX_LINE_BYTES:
                raise LineTooLong
            if line:
                self._interpret(line)
            elif self._data:
                yield self._dispatch()
            else:
                self._type = b""
        if self._rest_bytes > MAX_LINE_BYTES:
            raise LineTooLong

    def _plain_events(self, received: bytes) -> list[bytes] | None:
        """Split a read in the way of almost all reads: complete events of one `data` line each, and LF alone.

        It begins with a line, and ends with an empty one. None: it is not such a read, or it begins inside of
        an event, or one of its lines may be too long.
        """
        if (
            self._rest
            or self._data
            or self._type
            or self._skip_line_feed
            or not received.startswith(_FIELD)
            or not received.endswith(_BLANK_LINE)
            or len(received) > MAX_LINE_BYTES
            or b"\r" in received
        ):
            return None
        data = received[len(_FIELD) : -2].split(_BETWEEN_EVENTS)
        if received.count(b"\n") != 2 * len(data):
            return None
        self._at_start = False
        return data

    def _lines(self, received: bytes) -> list[bytes]:
        if self._skip_line_feed and received:
            # The CR before ended a line already; an LF right after it belongs to the same line end.
            received = received.removeprefix(b"\n")
            self._skip_line_feed = False
        if received.endswith(b"\r"):
            self._skip_line_feed = True
        if self._at_start:
            received = self._without_mark(received)
        lines = received.splitlines()
        rest = lines.pop() if lines and not received.endswith(_LINE_ENDS) else b""
        if lines and self._rest:
            self._rest.append(lines[0])
            lines[0] = b"".join(self._rest)
            self._rest, self._rest_bytes = [], 0
        if rest:
            self._rest.append(rest)
            self._rest_bytes += len(rest)
        return lines

    def _without_mark(self, received: bytes) -> bytes:
        """Drop a byte order mark; hold back what may become one."""
        buffer = b"".join((*self._rest, received))
        self._rest, self._rest_bytes = [], 0
        if len(buffer) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(buffer):
            if buffer:
                self._rest, self._rest_bytes = [buffer], len(buffer)
            return b""
        self._at_start = False
        return buffer.removeprefix(_BYTE_ORDER_MARK)

    def _interpret(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            # The line feed counts, too: a flood of empty lines is an event that grows.
            self._data_bytes += len(value) + 1
            if self._data_bytes > MAX_LINE_BYTES:
                raise LineTooLong
        elif name == b"event":
            self._type = value

    def _dispatch(self) -> Event:
        event = (b"\n".join(self._data), self._type or _MESSAGE)
        self._data, self._type, self._data_bytes = [], b"", 0
        return event
