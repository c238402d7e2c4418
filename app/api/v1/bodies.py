"""Bodies of `/v1`: JSON objects of any fields, of which the service reads few."""

import json
from typing import Any, NoReturn

from fastapi import Request

from app.errors import InvalidJson, ModelNotFound, ValidationFailed
from app.settings import Settings


async def read_object(request: Request) -> dict[str, Any]:
    """Read a body as it came: numbers keep their digits, unknown fields stay.

    Raises:
        InvalidJson: It is not JSON in UTF-8.
        ValidationFailed: It is not an object.
    """
    try:
        body = json.loads((await request.body()).decode("utf-8-sig"), parse_constant=_refuse)
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


def read_flag(body: dict[str, Any], name: str) -> bool:
    """Return an optional boolean; absent and null are false.

    Raises:
        ValidationFailed: It is of another type.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ValidationFailed(f"{name}: expected true or false", param=name)
    return bool(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
