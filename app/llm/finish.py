"""The finish reasons that backends send: which of them end an answer, and which report a failure.

The comments name the providers that use a reason. Gateways pass the words of Anthropic, Bedrock (Converse),
Cohere and Gemini on untranslated. A reason in neither table ends no answer, and is logged.
"""

import re

FILTERED = frozenset(
    {
        "content_filter",  # OpenAI, Azure, DeepSeek, OpenRouter; Gemini adds the cause: "content_filter: …"
        "content_filtered",  # Bedrock
        "guardrail_intervened",  # Bedrock
        "sensitive",  # Z.ai, Tencent
        "refusal",  # Anthropic
        "error_toxic",  # Cohere
        "safety",  # Gemini, with those below
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
    }
)
"""A filter has cut the answer. Nothing more will come, so the answer is complete."""

CUT_SHORT = frozenset(
    {
        "length",  # OpenAI
        "model_length",  # Mistral
        "model_context_window_exceeded",  # Z.ai, Anthropic
        "max_tokens",  # Anthropic, Bedrock, Cohere, Gemini, IBM
        "token_limit",  # IBM
    }
)
"""The answer has as many tokens as it may have, or as the model's window holds."""

_FINISHES = (
    FILTERED
    | CUT_SHORT
    | {
        "stop",  # OpenAI and all that follow it; Gemini in capitals
        "tool_calls",
        "function_call",  # OpenAI, before tool_calls
        "eos",  # Together
        "eos_token",  # Hugging Face, IBM
        "stop_sequence",  # Hugging Face, Anthropic, Cohere
        "repetition",  # vLLM: it detects an answer that repeats itself
        "end_turn",  # xAI, Anthropic, Bedrock
        "tool_use",  # Anthropic, Bedrock
        "tool_call",  # Cohere
        "pause_turn",  # Anthropic
        "complete",  # Cohere
        "normal",  # Baidu
    }
)
_FAILURES = frozenset(
    {
        "error",  # Mistral, OpenRouter, Cohere, IBM, vLLM
        "abort",  # vLLM, SGLang
        "aborted",
        "network_error",  # Z.ai
        "insufficient_system_resource",  # DeepSeek
        "function_call_filter",  # Gemini: "function_call_filter: MALFORMED_FUNCTION_CALL"
        "malformed_function_call",  # Gemini, with those below
        "unexpected_tool_call",
        "finish_reason_unspecified",
        "other",
        "malformed_model_output",  # Bedrock, with the next
        "malformed_tool_use",
        "error_limit",  # Cohere, with those below
        "user_cancel",
        "timeout",
        "time_limit",  # IBM, with the next
        "cancelled",
        "load",  # Ollama: it has loaded or unloaded the model, and answered nothing
        "unload",
    }
)
_UNSET = frozenset({"", "null", "none"})
"""Placeholders in chunks before the last one (Ollama, Alibaba, servers that print a None)."""

_PLAIN = re.compile(r"[A-Za-z0-9_.: -]{1,64}")


def is_unset(reason: str) -> bool:
    """Tell a placeholder from a finish reason."""
    return reason.lower() in _UNSET


def is_finish(reason: str) -> bool:
    """Tell whether an answer that ends with this reason is complete."""
    return _name(reason) in _FINISHES


def is_failure(reason: str) -> bool:
    """Tell whether the backend reports a failure of its own with this reason."""
    return _name(reason) in _FAILURES


def is_cut_short(reason: str) -> bool:
    """Tell whether the answer ended because it may not be longer."""
    return _name(reason) in CUT_SHORT


def is_filtered(reason: str) -> bool:
    """Tell whether a filter has cut the answer."""
    return _name(reason) in FILTERED


def printable(reason: str) -> str:
    """Return a reason that may be logged: a backend can send any text."""
    return reason if _PLAIN.fullmatch(reason) else "unprintable"


def _name(reason: str) -> str:
    """Drop capitals, and the cause that Gemini adds after a colon."""
    return reason.partition(":")[0].strip().lower()
