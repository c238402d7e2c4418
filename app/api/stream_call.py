"""A request for a stream, as its endpoint gets it."""

import re
from typing import cast

from fastapi import Request
from starlette.types import Receive, Scope

from app.api.cursors import LAST_EVENT_ID_PARAMETERS, last_event_id_of
from app.api.dependencies import trusted_user_of
from app.api.event_stream import TurnResponse
from app.api.framing import Framing
from app.api.headers import headers_of
from app.errors import ValidationFailed
from app.models import Viewer
from app.security.caller import Caller
from app.security.identity import viewer_of
from app.service import Service
from app.turns.reader_slots import ReaderSlot
from app.turns.stream import Reader

_IDEMPOTENCY_KEY = r"[\x21-\x7e]{1,255}"

IDEMPOTENCY_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{_IDEMPOTENCY_KEY}$"},
}
FOLLOW_PARAMETERS = {"parameters": LAST_EVENT_ID_PARAMETERS}
START_PARAMETERS = {"parameters": [*LAST_EVENT_ID_PARAMETERS, IDEMPOTENCY_KEY_PARAMETER]}
"""What a call reads of headers and query, for OpenAPI."""


class StreamCall(Request):
    """A request for a stream, with all that its route needs.

    Attributes:
        service: The service.
        caller: Who asks.
        slot: A reader's slot, not taken yet. It is released with the call, or with the stream.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.service = cast(Service, scope["app"].state.service)
        self.caller = cast(Caller, scope["state"]["caller"])
        self.slot = ReaderSlot(self.service.reader_slots)

    @property
    def last_event_id(self) -> str:
        """The last event that the client has received; empty: none."""
        return last_event_id_of(self)

    @property
    def idempotency_key(self) -> str | None:
        """The request's Idempotency-Key.

        Raises:
            ValidationFailed: It is not 1 to 255 visible ASCII characters.
        """
        key = headers_of(self.scope).get("idempotency-key")
        if key is not None and not re.fullmatch(_IDEMPOTENCY_KEY, key):
            raise ValidationFailed(
                "Idempotency-Key: expected 1 to 255 visible ASCII characters", param="Idempotency-Key"
            )
        return key

    @property
    def viewer(self) -> Viewer:
        """The caller as one who asks for a turn by its id."""
        return viewer_of(self.caller, self.trusted_user)

    @property
    def trusted_user(self) -> str:
        """The user that a trusted proxy names; empty: none does."""
        return trusted_user_of(self, self.service)

    def respond(self, reader: Reader, framing: Framing) -> TurnResponse:
        """Make the response that streams to a reader. It holds the slot from now on."""
        settings = self.service.settings
        return TurnResponse(
            reader,
            framing,
            self.slot.pass_on(),
            request_id=self.scope["state"]["request_id"],
            ping_seconds=settings.sse_ping_seconds,
            slow_reader_seconds=settings.slow_reader_seconds,
        )
