"""HTTP/1.1 towards backends: an httpx transport that hands on a body's bytes as they arrive."""

from app.llm.http.body import PIECE_BYTES, BodyStream, pieces
from app.llm.http.connection import FailedAgain, InvalidResponse
from app.llm.http.transport import RelayTransport

__all__ = ["PIECE_BYTES", "BodyStream", "FailedAgain", "InvalidResponse", "RelayTransport", "pieces"]
