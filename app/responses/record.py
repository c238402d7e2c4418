"""What a response adds to the record of its turn: the request, as the response repeats it, and its input."""

from typing import Any

import msgspec

from app.responses.ids import input_item_id

Item = dict[str, Any]


class ResponseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a response, validated, with defaults filled in. It is stored with the response."""

    echo: dict[str, Any]
    """The fields of the response that repeat the request."""
    input: list[Item]
    """The items of the input, without ids."""
    has_logprobs: bool = False
    """Whether the client asked for the tokens' probabilities."""

    @property
    def is_background(self) -> bool:
        """Whether the response runs to its end without a reader."""
        return bool(self.echo["background"])

    @property
    def is_stored(self) -> bool:
        """Whether the response can be retrieved by its id."""
        return bool(self.echo["store"])

    @property
    def previous_response_id(self) -> str | None:
        """The response that this one follows."""
        previous: str | None = self.echo["previous_response_id"]
        return previous


class ResponseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A response's turn, when it was created, and what was asked."""

    turn_id: str
    created_at: int
    request: ResponseRequest

    @property
    def input_items(self) -> list[Item]:
        """The items of the input, with their ids."""
        return [
            {"id": input_item_id(item["type"], self.turn_id, index), **item}
            for index, item in enumerate(self.request.input)
        ]


encode_request = msgspec.json.Encoder().encode
decode_request = msgspec.json.Decoder(ResponseRequest).decode
