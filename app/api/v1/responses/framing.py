"""A turn's events, written as those of its response."""

from app.responses.projection import ResponseProjection
from app.responses.record import ResponseRecord
from app.turns.stream import TurnStream


class ResponseFraming:
    """Writes what the turn's chunks and its end add to the response."""

    def __init__(self, response: ResponseRecord, stream: TurnStream, *, after: int = -1) -> None:
        """Begin before the turn's first chunk.

        Args:
            response: The record of the response.
            stream: The stream of its turn.
            after: The `sequence_number` of the last event that the client has.
        """
        self._projection = ResponseProjection(response, after=after)
        self._stream = stream

    def opening(self) -> bytes:
        """Encode the events that come before the first chunk."""
        return self._projection.open()

    def event(self, number: int, data: bytes) -> bytes:  # noqa: ARG002 - the protocol's
        """Encode the events that a chunk adds."""
        return self._projection.feed(data)

    def terminal(self, data: bytes) -> bytes:  # noqa: ARG002 - the end itself says more
        """Encode the events that end the response."""
        assert self._stream.end is not None  # it is what is being written
        return self._projection.close(self._stream.end)
