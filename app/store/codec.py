"""Events packed together: they say almost the same again and again."""

import zlib
from collections.abc import Sequence

_LEVEL = 1
_WINDOW_BITS = -12
"""A small window, without a header: with its defaults a compressor takes 256 KB."""
_MEMORY_LEVEL = 5


def pack(events: Sequence[bytes]) -> bytes:
    """Events, each of one line, as one string."""
    compressor = zlib.compressobj(level=_LEVEL, wbits=_WINDOW_BITS, memLevel=_MEMORY_LEVEL)
    return compressor.compress(b"\n".join(events)) + compressor.flush()


def unpack(packed: bytes) -> list[bytes]:
    """What was packed."""
    return zlib.decompress(packed, wbits=_WINDOW_BITS).split(b"\n")
