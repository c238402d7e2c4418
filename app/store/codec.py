"""Packs events for storage: compressed, since they repeat almost the same text."""

import zlib
from collections.abc import Sequence

_LEVEL = 1
_WINDOW_BITS = -12
"""A small window and no header: with zlib's defaults a compressor takes 256 KB."""
_MEMORY_LEVEL = 5


def pack(events: Sequence[bytes]) -> bytes:
    """Pack events, each without a line feed, into one byte string."""
    compressor = zlib.compressobj(level=_LEVEL, wbits=_WINDOW_BITS, memLevel=_MEMORY_LEVEL)
    return compressor.compress(b"\n".join(events)) + compressor.flush()


def unpack(packed: bytes) -> list[bytes]:
    """Return the events that `pack` was given."""
    return zlib.decompress(packed, wbits=_WINDOW_BITS).split(b"\n")
