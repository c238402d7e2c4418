"""`/chat`: start a turn and follow it."""

from fastapi import APIRouter, Depends

from app import errors
from app.api.dependencies import EngineDep, RequestId, SettingsDep, require_json
from app.api.errors import openapi_responses
from app.api.schemas import ChatRequest
from app.api.sse import TurnResponse
from app.models import Question
from app.settings import Settings

router = APIRouter(tags=["chat"])


@router.post(
    "/chat",
    response_class=TurnResponse,
    status_code=200,
    dependencies=[Depends(require_json)],
    responses={
        200: {
            "description": (
                "Each of the backend's chunks as one event, then one terminal event: `[DONE]`, the answer is "
                "whole and stored, or an error object."
            ),
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **openapi_responses(
            errors.InvalidJson,
            errors.ContextLengthExceeded,
            errors.UpstreamRejected,
            errors.RequestTimeout,
            errors.BodyTooLarge,
            errors.UnsupportedMediaType,
            errors.ValidationFailed,
            errors.ModelNotAllowed,
            errors.UpstreamRateLimited,
            errors.InternalError,
            errors.UpstreamError,
            errors.HistoryUnavailable,
            errors.UpstreamUnavailable,
            errors.Draining,
            errors.UpstreamTimeout,
        ),
    },
)
async def start_turn(
    body: ChatRequest, engine: EngineDep, settings: SettingsDep, request_id: RequestId
) -> TurnResponse:
    """Ask a question; the answer is streamed as Server-Sent Events and kept in the conversation."""
    turn = await engine.start(_question(body, settings))
    return TurnResponse(
        turn,
        request_id=request_id,
        ping_seconds=settings.sse_ping_seconds,
        slow_reader_seconds=settings.slow_reader_seconds,
    )


def _question(body: ChatRequest, settings: Settings) -> Question:
    if len(body.message) > settings.max_message_chars:
        raise errors.ValidationFailed(
            f"message: expected at most {settings.max_message_chars} characters", param="message"
        )
    model = body.model or settings.llm_model
    if model not in settings.models:
        raise errors.ModelNotAllowed(param="model")
    return Question(
        user_id=body.user_id,
        conversation_id=body.conversation_id,
        message=body.message,
        model=model,
        sampling=body.sampling(),
        include_usage=body.stream_options.include_usage,
    )
