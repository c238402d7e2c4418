"""Bodies of `/v1`: JSON objects of any fields, of which the service reads few."""

from codecs import BOM_UTF8
from typing import Any

import msgspec
from fastapi import Request, Response

from app.errors import InvalidJson, ModelNotFound, ValidationFailed
from app.settings import Settings

MESSAGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "type": {"const": "message"},
        "role": {"enum": ["user", "assistant", "system", "developer"]},
        "content": {"type": "string"},
    },
}
METADATA_SCHEMA: dict[str, Any] = {
    "type": ["object", "null"],
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}


def body_schema(*required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    """Describe a body that is read as it comes: its required fields, and those that the service reads."""
    schema = {"type": "object", "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def read_object(request: Request) -> dict[str, Any]:
    """Read a body as it came: integers keep their digits, unknown fields stay.

    Raises:
        InvalidJson: It is not JSON in UTF-8, or no backend can read it.
        ValidationFailed: It is not an object.
    """
    try:
        # The standard library would take several times as long, and half a surrogate pair.
        body = msgspec.json.decode((await request.body()).removeprefix(BOM_UTF8))
    except (ValueError, RecursionError):
        raise InvalidJson from None
    if not isinstance(body, dict):
        raise ValidationFailed("expected a JSON object")
    return body


def read_model(body: dict[str, Any], settings: Settings) -> str:
    """Return the model that the body names.

    Raises:
        ValidationFailed: It names none.
        ModelNotFound: It is not one that requests may name.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ValidationFailed("model: expected the name of a model", param="model")
    return require_model(model, settings)


def require_model(model: str, settings: Settings) -> str:
    """Return the model if requests may name it.

    Raises:
        ModelNotFound: They may not.
    """
    if model not in settings.models:
        raise ModelNotFound(f"The model {model[:100]!r} does not exist here.", param="model")
    return model


def read_flag(body: dict[str, Any], name: str, *, within: str = "") -> bool:
    """Return an optional boolean; absent and null are false.

    Args:
        body: The object that has the field.
        name: The field.
        within: The place of the object in the body, for the error.

    Raises:
        ValidationFailed: It is of another type.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ValidationFailed(f"{within}{name}: expected true or false", param=f"{within}{name}")
    return bool(value)


def read_list(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a list of at least one object.

    Raises:
        ValidationFailed: It is something else.
    """
    value = body.get(name)
    if not isinstance(value, list) or not value:
        raise ValidationFailed(f"{name}: expected a list that is not empty", param=name)
    for number, each in enumerate(value):
        if not isinstance(each, dict):
            raise ValidationFailed(f"{name}[{number}]: expected an object", param=f"{name}[{number}]")
    return value


def read_options(body: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an optional object; absent and null are empty.

    Raises:
        ValidationFailed: It is of another type.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise ValidationFailed(f"{name}: expected an object", param=name)
    return value or {}


def require_count(body: dict[str, Any], name: str) -> None:
    """Require that an optional field is a whole number of at least 1: a cap of another type would be none.

    JSON does not tell 16.0 from 16, so the field becomes an integer.

    Raises:
        ValidationFailed: It is something else.
    """
    value = body.get(name)
    if isinstance(value, float) and value.is_integer():
        value = body[name] = int(value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValidationFailed(f"{name}: expected a whole number of at least 1", param=name)


def json_response(body: Any, *, turn_id: str = "") -> Response:
    """Answer with JSON; with `turn_id` it stands for this turn."""
    return Response(
        msgspec.json.encode(body),
        media_type="application/json",
        headers={"Cache-Control": "no-store", **({"X-Turn-Id": turn_id} if turn_id else {})},
    )
