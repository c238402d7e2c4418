"""How the events of a turn are written: with ids for `/chat`, without for `/v1`, or projected to others."""

from typing import Protocol


class Framing(Protocol):
    """How a turn's events are written for one kind of client."""

    def opening(self) -> bytes:
        """Encode what is written before the first event; empty: nothing."""

    def event(self, number: int, data: bytes) -> bytes:
        """Encode one event; numbers count from 1. Empty: this client gets nothing for it."""

    def terminal(self, data: bytes) -> bytes:
        """Encode the terminal event."""


class NumberedFraming:
    """Events with ids, by which a client comes back to its position."""

    def __init__(self, turn_id: str) -> None:
        self._turn_id = turn_id.encode()

    def opening(self) -> bytes:
        """Write nothing."""
        return b""

    def event(self, number: int, data: bytes) -> bytes:
        """Encode one event."""
        return b"id: %b-%d\ndata: %b\n\n" % (self._turn_id, number, data)

    def terminal(self, data: bytes) -> bytes:
        """Encode the terminal event."""
        return b"id: %b-end\ndata: %b\n\n" % (self._turn_id, data)


class PlainFraming:
    """Events without ids, as OpenAI's API has them: some clients do not read a stream with ids.

    An answer that is not complete ends with an error, and without `[DONE]`.
    """

    def opening(self) -> bytes:
        """Write nothing."""
        return b""

    def event(self, number: int, data: bytes) -> bytes:  # noqa: ARG002 - the protocol's
        """Encode one event."""
        return b"data: %b\n\n" % data

    def terminal(self, data: bytes) -> bytes:
        """Encode the terminal event."""
        return b"data: %b\n\n" % data
