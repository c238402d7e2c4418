"""Failures that only `/v1/responses` and `/v1/conversations` have; all of them are RequestErrors."""

from app.errors import RequestError


class ResponseNotFound(RequestError):
    code = "response_not_found"
    default_message = "There is no such response."


class PreviousResponseNotFound(RequestError):
    code = "previous_response_not_found"
    default_message = "There is no such response to continue."


class ItemNotFound(RequestError):
    code = "item_not_found"
    default_message = "There is no such item."


class UnsupportedValue(RequestError):
    code = "unsupported_value"
    default_message = "The service does not support the value."
