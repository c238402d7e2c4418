"""Reads the tools of a request. Only functions, which the client runs itself, are supported."""

from typing import Any

from app.errors import ValidationFailed
from app.responses.errors import UnsupportedValue


def read_tools(given: list[Any]) -> list[dict[str, Any]]:
    """Return the functions that the model may call, in the shape in which a response repeats them.

    Raises:
        ValidationFailed: One has no name.
        UnsupportedValue: One is a tool that OpenAI runs for its clients.
    """
    return [_tool(tool) for tool in given]


def read_tool_choice(given: Any, tools: list[dict[str, Any]]) -> str | dict[str, Any]:
    """Return which of the tools the model may or has to call.

    Raises:
        ValidationFailed: It names a function that is not among the tools.
        UnsupportedValue: It is a choice of a tool that OpenAI runs for its clients.
    """
    names = {tool["name"] for tool in tools}
    match given:
        case None:
            return "auto"
        case "auto" | "none" | "required":
            return str(given)
        case {"type": "function", "name": str(name)} if name in names:
            return {"type": "function", "name": name}
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode, "tools": list(allowed)}:
            if {_name(tool) for tool in allowed} <= names:
                return {"type": "allowed_tools", "mode": mode, "tools": allowed}
        case {"type": str(kind)} if kind not in ("function", "allowed_tools"):
            raise UnsupportedValue(f"tool_choice: {kind[:50]!r} is not supported", param="tool_choice")
    raise ValidationFailed("tool_choice: expected auto, none, required or one of tools", param="tool_choice")


def _tool(tool: Any) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str):
        raise ValidationFailed("tools: expected objects with a type", param="tools")
    if kind != "function":
        raise UnsupportedValue(
            f"tools: {kind[:50]!r} is not supported, as the service has no tools of its own", param="tools"
        )
    name, parameters = tool.get("name"), tool.get("parameters")
    if not isinstance(name, str) or not name:
        raise ValidationFailed("tools: expected functions with a name", param="tools")
    if parameters is not None and not isinstance(parameters, dict):
        raise ValidationFailed("tools: expected parameters to be an object", param="tools")
    description, strict = tool.get("description"), tool.get("strict")
    return {
        "type": "function",
        "name": name,
        "description": description if isinstance(description, str) else None,
        "parameters": parameters,
        "strict": strict if isinstance(strict, bool) else None,
    }


def _name(tool: Any) -> str | None:
    name = tool.get("name") if isinstance(tool, dict) else None
    return name if isinstance(name, str) else None
