"""Reads a completion that the backend sends whole, since it cannot be streamed."""

from collections.abc import Callable

import httpx
import msgspec

from app.errors import UpstreamError, UpstreamTruncated
from app.llm.bodies import read_body
from app.llm.chunk import Chunk
from app.llm.refusals import Refused, read

_MAX_BYTES = 32 * 1024 * 1024
"""Audio comes within the JSON."""


class _Completion(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, object] | None = None
    error: msgspec.Raw | None = None


async def read_whole_completion(
    response: httpx.Response, on_chunks: Callable[[list[Chunk]], None], *, seconds: float
) -> None:
    """Hand on the completion as one chunk.

    Args:
        response: The response, whose body has not been read.
        on_chunks: Takes the chunk.
        seconds: How long the body may take.

    Raises:
        Refused: The backend reported a failure.
        UpstreamError: It is no completion.
        UpstreamTruncated: It ended early.
    """
    body = await read_body(response, most=_MAX_BYTES, seconds=seconds)
    try:
        completion = msgspec.json.decode(body, type=_Completion)
    except (ValueError, RecursionError):
        if body:
            raise UpstreamError("The model's backend sent something that is no completion.") from None
        raise UpstreamTruncated from None
    if completion.error is not None:
        raise Refused(read(body))
    if not completion.choices:
        raise UpstreamError("The model's backend sent a completion without choices.")
    data = msgspec.json.format(body, indent=-1)  # on one line
    on_chunks([Chunk(data, has_content=True, finish_reason="stop", usage=completion.usage)])
