"""Responses by their id: to read, to follow, to cancel, to delete."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from app import errors
from app.api.dependencies import ServiceDep, ViewerDep
from app.api.errors import openapi_responses
from app.api.event_stream import TurnResponse
from app.api.stream_call import StreamCall
from app.api.v1.bodies import json_response
from app.api.v1.paging import PageQuery, page_of
from app.api.v1.responses.access import as_it_stands, ended, own_response, record_of
from app.api.v1.responses.create import RESPONSE
from app.api.v1.responses.framing import ResponseFraming
from app.errors import TurnExpired, TurnNotFound, ValidationFailed
from app.responses.errors import ItemNotFound, ResponseNotFound

router = APIRouter(
    prefix="/v1/responses/{response_id}",
    tags=["v1"],
    responses=openapi_responses(
        errors.MisdirectedRequest,
        errors.InvalidApiKey,
        ResponseNotFound,
        errors.InternalError,
        errors.HistoryUnavailable,
        errors.UpstreamUnavailable,
    ),
)


async def _stream_call(request: Request) -> AsyncIterator[StreamCall]:
    """Provide the call. Its slot is released at the end, unless a stream holds it."""
    call = StreamCall(request.scope, request.receive)
    with call.slot:
        yield call


_JSON: dict[int | str, dict[str, Any]] = {
    200: {"description": "The response.", "content": {"application/json": {"schema": {"type": "object"}}}}
}


@router.get(
    "",
    response_class=TurnResponse,
    status_code=200,
    responses={200: RESPONSE, **openapi_responses(errors.InvalidJson, errors.Overloaded)},
)
async def retrieve_response(
    *,
    response_id: str,
    call: Annotated[StreamCall, Depends(_stream_call)],
    stream: bool = False,
    starting_after: Annotated[int, Query(ge=-1)] = -1,
) -> Response:
    """Read a response; with `stream` its events, from the first or from that after `starting_after`."""
    stored = await own_response(call.service, call.viewer, response_id)
    turn_id = stored.record.turn_id
    if not stream:
        return json_response(await as_it_stands(call.service, stored), turn_id=turn_id)
    call.slot.take()
    if not call.caller.is_shared_as(stored.record.user_id):
        call.slot.assign(stored.record.user_id)
    try:
        reader = await call.service.directory.follow(turn_id)
    except (TurnExpired, TurnNotFound):
        raise ValidationFailed(
            "stream: the events of this response are no longer kept", param="stream"
        ) from None
    return call.respond(reader, ResponseFraming(record_of(stored), reader.stream, after=starting_after))


@router.post("/cancel", response_class=Response, status_code=200, responses=_JSON)
async def cancel_response(response_id: str, viewer: ViewerDep, service: ServiceDep) -> Response:
    """Cancel a response, and answer once its generation has stopped."""
    stored = await own_response(service, viewer, response_id)
    turn_id = stored.record.turn_id
    if stored.result is None:
        await service.directory.stop(turn_id)
        stored = await own_response(service, viewer, response_id)
    response = await as_it_stands(service, stored)
    if response["status"] != "cancelled":
        raise ValidationFailed(
            f"response_id: expected a response that runs; this one is {response['status']}",
            param="response_id",
        )
    return json_response(response, turn_id=turn_id)


@router.delete("", response_class=Response, status_code=200, responses=_JSON)
async def delete_response(response_id: str, viewer: ViewerDep, service: ServiceDep) -> Response:
    """Delete a response. One that runs is stopped first."""
    stored = await own_response(service, viewer, response_id)
    record = stored.record
    if ended(stored) is None:
        with suppress(TurnNotFound):  # its journal has expired already
            await service.directory.stop(record.turn_id)
    await service.eraser.delete_response(record.user_id, record.turn_id)
    return json_response({"id": response_id, "object": "response", "deleted": True}, turn_id=record.turn_id)


@router.get(
    "/input_items",
    response_class=Response,
    status_code=200,
    responses={**_JSON, **openapi_responses(ItemNotFound)},
)
async def list_input_items(
    response_id: str, viewer: ViewerDep, service: ServiceDep, query: PageQuery
) -> Response:
    """List the items of a response's input."""
    stored = await own_response(service, viewer, response_id)
    items = record_of(stored).input_items
    page = page_of(items, query)
    return json_response(page, turn_id=stored.record.turn_id)
