"""Hints for the person who starts the service: misspelt settings, and the first things to try."""

import json
import shlex
from collections.abc import Iterable
from difflib import get_close_matches

from app.settings import Settings

_MEANT = {"PORT": "APP_PORT", "LLM_URL": "LLM_BASE_URL", "LLM_TOKEN": "LLM_API_KEY"}
"""Names that other programs use. They resemble ours too little to be found by their letters."""
_SIMILARITY = 0.86
"""Above it stand a letter missing, doubled or swapped, and an underscore too few; below it other words."""
_FOREIGN = "OTEL_"
"""OpenTelemetry's own variables resemble each other."""


def misspelt_settings(names: Iterable[str], settings: Settings) -> dict[str, str]:
    """Find names that no setting has but one resembles; return the setting that was probably meant.

    Args:
        names: Names of variables.
        settings: A setting that is set has been spelt right, so that a name like it means something else.
    """
    known = {field.upper().replace("_", ""): field.upper() for field in type(settings).model_fields}
    found = {}
    for name in sorted({name.upper() for name in names} - set(known.values())):
        close = get_close_matches(name.replace("_", ""), known, n=1, cutoff=_SIMILARITY)
        meant = _MEANT.get(name) or (known[close[0]] if close and not name.startswith(_FOREIGN) else None)
        if meant is not None and meant.lower() not in settings.model_fields_set:
            found[name] = meant
    return found


def first_steps(url: str, settings: Settings) -> str:
    """Return where to point a browser, and a curl to copy.

    Args:
        url: The URL that the service listens at.
        settings: The service's settings.
    """
    for everywhere in ("//0.0.0.0:", "//[::]:", "//127.0.0.1:", "//[::1]:"):
        url = url.replace(everywhere, "//localhost:")
    key = () if settings.is_open else ("-H", "Authorization: Bearer YOUR_KEY")
    body = json.dumps({"user_id": "me", "message": "Hello!"})
    command = ["curl", "-N", f"{url}/chat", *key, "-H", "Content-Type: application/json", "-d", body]
    return f"Chat at {url} in a browser, or type:\n  {shlex.join(command)}"
