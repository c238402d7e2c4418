"""The opaque places that pages name for the next page."""

import base64
import binascii
from typing import TypeVar

import msgspec

from app.errors import ValidationFailed

_Place = TypeVar("_Place", bound=msgspec.Struct)


def encode_place(place: msgspec.Struct | None) -> str | None:
    """Write a place as `next_before` has it."""
    return (
        None if place is None else base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")
    )


def decode_place(text: str | None, kind: type[_Place]) -> _Place | None:
    """Read a `before` as it was given.

    Raises:
        ValidationFailed: It is no place of this kind.
    """
    if text is None:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (ValueError, binascii.Error):
        raise ValidationFailed("before: expected a next_before as it was given", param="before") from None
