"""The places in which backends state a model's context size: answers to look-ups, and refusals."""

import re
from typing import Any

_SIZES = range(128, 10**9)
"""What is believed to be a size."""

_FIELDS = (
    "max_model_len",  # vLLM, SGLang
    "loaded_context_length",  # LM Studio: of the model as it is loaded
    "context_length",  # OpenRouter, Together, Fireworks, Moonshot; Ollama's /api/ps
    "context_window",  # Groq
    "max_context_length",  # Mistral, LM Studio, Cerebras
    "max_context_window_tokens",  # GitHub Copilot
    "context_size",
    "n_ctx",  # llama.cpp
    "max_total_tokens",  # Text Generation Inference
    "max_input_tokens",  # GitHub Models, LiteLLM
    "inputTokenLimit",  # Gemini
)
"""Names of the size, the most exact first: a server's limit counts more than what the model could take."""
_INNER = ("meta", "limits", "capabilities", "top_provider", "metadata", "default_generation_settings")
"""Objects inside of a model's that may hold the size."""
_LOWERED = re.compile(r"^num_ctx\s{1,40}([0-9]{1,9})", re.MULTILINE)
_NUMBER = r"\(?([0-9][0-9,]{0,12})"
_IN_WORDS = tuple(
    re.compile(words + _NUMBER, re.IGNORECASE)
    for words in (
        # OpenAI: "maximum context length is 2,048 tokens", llama.cpp: "context size (2048 tokens)"
        # LM Studio: "context length of only 4096"; vLLM: "max_model_len=2048", "maximum model length of 2048"
        r"context (?:length|size|window)(?:\s?[=:(]|\sis|\sof){0,2}(?:\sonly)?\s?",
        r"(?:maximum model length of |max_model_len=)",
        r"context limit: [0-9]{1,12} \+ [0-9]{1,12} > ",  # Anthropic, with the cap
        r"too long: [0-9]{1,12} tokens > ",  # Anthropic
        r"too large for model with ",  # Mistral
        r"configured context size is ",  # MLX
        r"maximum prompt length is ",  # xAI
        r"[0-9] exceeds the limit of ",  # GitHub Copilot
        r"maximum number of tokens allowed ",  # Gemini
        r"n_ctx: ?",  # LM Studio
        r"configured limit of ",  # OpenAI's newer models
        r"model token limit: ",  # Moonshot
        r"maximum allowed (?:input )?length (?:of )?",  # SGLang, Poolside
        r"`max_new_tokens` must be <= ",  # Text Generation Inference
        r"`inputs` must have less than ",
        r"input length should be \[1, ",  # DashScope
    )
)


def size_in_words(refusal: str) -> int | None:
    """Return the size that a refusal names, as far as its words can be trusted."""
    found = (pattern.search(refusal) for pattern in _IN_WORDS)
    return next((size for each in found if each and (size := _size(int(each[1].replace(",", ""))))), None)


def size_in(told: Any) -> int | None:
    """Return the size in an object that describes a model or a server, at the first or the second level."""
    if not isinstance(told, dict):
        return None
    places = [told, *(inner for name in _INNER if isinstance(inner := told.get(name), dict))]
    places += [inner for place in places[1:] if isinstance(inner := place.get("limits"), dict)]
    found = (_size(place.get(field)) for field in _FIELDS for place in places)
    return next((size for size in found if size), None)


def sizes_by_model(told: Any) -> dict[str, int]:
    """Return the sizes in a list of models: OpenAI's `data`, Ollama's and Gemini's `models`."""
    sizes: dict[str, int] = {}
    for model in _listed(told):
        if size := size_in(model):
            for name in _names(model):
                sizes |= dict.fromkeys([name, short_name(name)], size)
    return sizes


def names_in(told: Any) -> list[str]:
    """Return the names of the models in a list of them."""
    return [name for model in _listed(told) for name in _names(model)[:1]]


def short_name(name: str) -> str:
    """Return the name that is asked for: Ollama says "x:latest" for "x", Gemini "models/x"."""
    return name.removesuffix(":latest").removeprefix("models/")


def _listed(told: Any) -> list[dict[str, Any]]:
    models = (told.get("data") or told.get("models")) if isinstance(told, dict) else told
    return [model for model in models if isinstance(model, dict)] if isinstance(models, list) else []


def _names(model: dict[str, Any]) -> list[str]:
    return [name for field in ("id", "name", "model", "key") if isinstance(name := model.get(field), str)]


def ollama_size(shown: Any) -> int | None:
    """Return the size in Ollama's `/api/show`: as the Modelfile sets it, otherwise the model's own."""
    if not isinstance(shown, dict):
        return None
    parameters, info = shown.get("parameters"), shown.get("model_info")
    if isinstance(parameters, str) and (found := _LOWERED.search(parameters)):
        return _size(int(found[1]))
    fields = info.items() if isinstance(info, dict) else ()
    return next((_size(value) for name, value in fields if name.endswith(".context_length")), None)


def _size(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value in _SIZES else None
