"""Every failure that a client can see, as a class with the contract's `code`.

ServiceError
├── RequestError                 type invalid_request_error: the request has to change
│   ├── InvalidHttp, InvalidJson
│   ├── ValidationFailed
│   ├── ModelNotAllowed, ModelNotFound
│   ├── UnsupportedMediaType
│   ├── MisdirectedRequest
│   ├── BodyTooLarge
│   ├── RequestTimeout
│   ├── NotFound, TurnNotFound, ConversationNotFound
│   ├── ResponseNotFound, PreviousResponseNotFound, ItemNotFound, UnsupportedValue: app.responses.errors
│   ├── TurnExpired
│   ├── ConversationBusy
│   ├── IdempotencyKeyReused
│   ├── InvalidLastEventId
│   ├── MethodNotAllowed
│   ├── ContextLengthExceeded
│   └── UpstreamRejected
│       └── UpstreamFiltered
├── AuthenticationError          type authentication_error: the credential is missing, wrong or not sufficient
│   ├── InvalidApiKey
│   └── Forbidden
├── RateLimitError               type rate_limit_error: the same request may pass later
│   ├── RateLimited, TooManyTurns, TooManyConversations
│   └── UpstreamRateLimited
└── ServerError                  type server_error: the request was fine
    ├── InternalError
    ├── Draining
    ├── Overloaded
    ├── GenerationLost
    ├── Interrupted
    ├── ConversationDeleted
    ├── HistoryUnavailable
    ├── UpstreamUnavailable
    ├── UpstreamError
    ├── UpstreamTimeout
    └── UpstreamTruncated

`app.api.errors` maps each class to an HTTP status: nothing below the API knows HTTP.
"""

from typing import ClassVar, Literal

from app.quota import Quota

ErrorType = Literal["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]


class ServiceError(Exception):
    """A failure with one clear end.

    Attributes:
        message: One sentence for a person. It holds no URL, key, message text or stack trace.
        param: The request's field that is at fault.
        turn_id: The turn concerned, if there is one.
        retry_after: Whole seconds after which a retry makes sense, if the backend or a limit says so.
        quota: What the user may still start, if that is limited.
    """

    code: ClassVar[str]
    type: ClassVar[ErrorType]
    default_message: ClassVar[str]

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        turn_id: str | None = None,
        retry_after: int | None = None,
        quota: Quota | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.param = param
        self.turn_id = turn_id
        self.retry_after = retry_after
        self.quota = quota
        super().__init__(self.message)


class RequestError(ServiceError):
    type = "invalid_request_error"


class InvalidHttp(RequestError):
    code = "invalid_http"
    default_message = "The request is not valid HTTP."


class InvalidJson(RequestError):
    code = "invalid_json"
    default_message = "The body is not valid JSON."


class ValidationFailed(RequestError):
    code = "validation_error"
    default_message = "The request is not valid."


class ModelNotAllowed(RequestError):
    code = "model_not_allowed"
    default_message = "This service does not offer the model."


class ModelNotFound(RequestError):
    code = "model_not_found"
    default_message = "This service does not offer the model."


class UnsupportedMediaType(RequestError):
    code = "unsupported_media_type"
    default_message = "Send the body uncompressed, with the header Content-Type: application/json."


class MisdirectedRequest(RequestError):
    code = "misdirected_request"
    default_message = "This service does not answer to the host name of the request; see ALLOWED_HOSTS."


class BodyTooLarge(RequestError):
    code = "body_too_large"
    default_message = "The body is larger than this service accepts."


class RequestTimeout(RequestError):
    code = "request_timeout"
    default_message = "The body did not arrive in time."


class NotFound(RequestError):
    code = "not_found"
    default_message = "There is nothing at this path."


class TurnNotFound(RequestError):
    code = "turn_not_found"
    default_message = "There is no such turn."


class ConversationNotFound(RequestError):
    code = "conversation_not_found"
    default_message = "There is no such conversation."


class TurnExpired(RequestError):
    code = "turn_expired"
    default_message = "The turn has ended, and its events are no longer kept."


class ConversationBusy(RequestError):
    code = "conversation_busy"
    default_message = "The conversation is busy: its last question is still being answered."


class IdempotencyKeyReused(RequestError):
    code = "idempotency_key_reused"
    default_message = "This Idempotency-Key was already used with a different body."


class InvalidLastEventId(RequestError):
    code = "invalid_last_event_id"
    default_message = "The last event id does not belong to this turn."


class MethodNotAllowed(RequestError):
    code = "method_not_allowed"
    default_message = "This path does not accept the method; see the Allow header."


class ContextLengthExceeded(RequestError):
    code = "context_length_exceeded"
    default_message = "The message does not fit the model's context."


class UpstreamRejected(RequestError):
    code = "upstream_rejected"
    default_message = "The model's backend rejected the request."


class UpstreamFiltered(UpstreamRejected):
    """The backend's filter took offence at something in the prompt; it may stand in an older message."""


class AuthenticationError(ServiceError):
    type = "authentication_error"


class InvalidApiKey(AuthenticationError):
    code = "invalid_api_key"
    default_message = "A valid API key or token is required: Authorization: Bearer …"


class Forbidden(AuthenticationError):
    code = "forbidden"
    default_message = "The key or token is not for this user."


class RateLimitError(ServiceError):
    type = "rate_limit_error"


class RateLimited(RateLimitError):
    code = "rate_limited"
    default_message = "The user has started as many turns as a minute allows."


class TooManyTurns(RateLimitError):
    code = "too_many_turns"
    default_message = "The user has as many turns running as are allowed at once."


class TooManyConversations(RateLimitError):
    code = "too_many_conversations"
    default_message = "This user has as many conversations as there may be; erase one to begin another."


class UpstreamRateLimited(RateLimitError):
    code = "upstream_rate_limited"
    default_message = "The model's backend accepts no more requests for now."


class ServerError(ServiceError):
    type = "server_error"


class InternalError(ServerError):
    code = "internal_error"
    default_message = "Internal error; find it in the log by its request id."


class Draining(ServerError):
    code = "draining"
    default_message = "This process is shutting down."


class Overloaded(ServerError):
    code = "overloaded"
    default_message = "This process serves as many turns or readers as it can."


class GenerationLost(ServerError):
    code = "generation_lost"
    default_message = "The process that generated the answer is gone; the text stored before that is kept."


class Interrupted(ServerError):
    code = "interrupted"
    default_message = "The answer was interrupted; the text received before that is kept."


class ConversationDeleted(ServerError):
    code = "conversation_deleted"
    default_message = "The conversation was deleted."


class HistoryUnavailable(ServerError):
    code = "history_unavailable"
    default_message = "The conversation store is unreachable."


class UpstreamUnavailable(ServerError):
    code = "upstream_unavailable"
    default_message = "The model's backend is unreachable."


class UpstreamError(ServerError):
    code = "upstream_error"
    default_message = "The model's backend failed."


class UpstreamTimeout(ServerError):
    code = "upstream_timeout"
    default_message = "The model's backend took too long."


class UpstreamTruncated(ServerError):
    code = "upstream_truncated"
    default_message = "The model's backend stopped before the answer was complete."


def error_for(code: str, message: str | None = None, *, turn_id: str | None = None) -> ServiceError:
    """Make the error of a stored code. Codes of a later release become `internal_error`."""
    return _by_code(ServiceError).get(code, InternalError)(message, turn_id=turn_id)


def _by_code(base: type[ServiceError]) -> dict[str, type[ServiceError]]:
    found = {base.code: base} if "code" in vars(base) else {}
    for child in base.__subclasses__():
        found |= _by_code(child)
    return found
