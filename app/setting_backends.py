"""The type of `LLM_BACKENDS`: what an entry has to look like, and what the error says if it does not."""

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import NoDecode

from app.setting_types import BackendUrl

_MAX_BACKENDS = 8
_EXPECTED = f"expected a JSON list of 1 to {_MAX_BACKENDS} objects with name, url and models"

_WORDS = {"missing": "expected to be set", "extra_forbidden": "expected no such field"}

ModelName = Annotated[str, Field(min_length=1, max_length=256)]


class BackendEntry(BaseModel):
    """One backend, as the operator describes it. It holds no secret, so it can be shown."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True, strict=True
    )

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Names the backend in logs, metrics, spans and on `/ready`."""
    url: BackendUrl = Field(min_length=1)
    """OpenAI-compatible base URL, `/v1` included."""
    api_key_env: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,127})?$")
    """The environment variable that holds the key; empty: none is sent."""
    models: dict[ModelName, ModelName] = Field(min_length=1, max_length=100)
    """The backend's own name of each model, by the name that the service offers."""
    weight: float = Field(1, ge=0.01, le=100)
    """Its share of the load, in proportion to its equals."""
    priority: int = Field(0, ge=0, le=100)
    """Lower numbers are asked first."""


def _entries(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        listed = json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(_EXPECTED) from None
    if not isinstance(listed, list) or not 1 <= len(listed) <= _MAX_BACKENDS:
        raise ValueError(_EXPECTED)
    entries = tuple(_entry(number, fields) for number, fields in enumerate(listed, 1))
    names = [entry.name for entry in entries]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"entry {names.index(repeated) + 1}, name: expected each name once")
    return entries


def _entry(number: int, fields: Any) -> BackendEntry:
    try:
        return BackendEntry.model_validate(fields)
    except ValidationError as error:
        detail = error.errors()[0]
        place = "".join(f", {part}" for part in detail["loc"][:1])
        expected = _WORDS.get(detail["type"]) or re.sub(
            r"^(Value error, |\w+ should )",
            lambda found: "" if "," in found[0] else "expected to ",
            detail["msg"],
        )
        raise ValueError(f"entry {number}{place}: {expected}") from None


Backends = Annotated[tuple[BackendEntry, ...], NoDecode, BeforeValidator(_entries)]
