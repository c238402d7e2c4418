"""A request for a response, written as a request for a chat completion. Its messages are made elsewhere."""

from typing import Any

from app.models import ResponseRequest
from app.responses.request import ResponseBody


def completion_fields(body: ResponseBody, request: ResponseRequest) -> dict[str, Any]:
    """Return the fields, without messages, that the backend gets: only what the client has sent."""
    echo = request.echo
    fields: dict[str, Any] = {
        "model": echo["model"],
        "stream": True,
        "max_tokens": body.max_output_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "presence_penalty": body.presence_penalty,
        "frequency_penalty": body.frequency_penalty,
        "reasoning_effort": echo["reasoning"]["effort"],
        "verbosity": echo["text"].get("verbosity"),
        "response_format": _response_format(echo["text"]["format"]),
        "logprobs": True if request.has_logprobs else None,
        "top_logprobs": body.top_logprobs or None,
        **_tools(body, echo["tools"], echo["tool_choice"]),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _response_format(asked: dict[str, Any]) -> dict[str, Any] | None:
    if asked["type"] == "text":
        return None
    if asked["type"] == "json_object":
        return asked
    schema = {name: value for name, value in asked.items() if name != "type" and value is not None}
    return {"type": "json_schema", "json_schema": schema}


def _tools(body: ResponseBody, tools: list[dict[str, Any]], choice: str | dict[str, Any]) -> dict[str, Any]:
    if not tools:
        return {}
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        # Few backends know such a choice; it means the same as these tools alone.
        allowed = {tool["name"] for tool in choice["tools"]}
        tools = [tool for tool in tools if tool["name"] in allowed]
        choice = choice["mode"]
    elif isinstance(choice, dict):
        choice = {"type": "function", "function": {"name": choice["name"]}}
    return {
        "tools": [_function(tool) for tool in tools],
        "tool_choice": choice if body.tool_choice is not None else None,
        "parallel_tool_calls": body.parallel_tool_calls,
    }


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    function = {name: value for name, value in tool.items() if name != "type" and value is not None}
    return {"type": "function", "function": function}
