"""Where backends tell the size of a model's context, and what of it is believed."""

from typing import Any

import pytest

from app.llm.windows import ollama_size, size_in, size_in_words, sizes_by_model
from app.llm.wordings import Meaning
from tests.llm.test_refusals import EXAMPLES


@pytest.mark.parametrize(
    "model",
    [
        {"max_model_len": 8192},  # vLLM, SGLang
        {"context_length": 8192, "top_provider": {"context_length": 4096}},  # OpenRouter
        {"context_window": 8192, "max_completion_tokens": 4096},  # Groq
        {"max_context_length": 8192},  # Mistral
        {"max_context_length": 131072, "loaded_context_length": 8192},  # LM Studio
        {"limits": {"max_context_length": 8192}},  # Cerebras
        {"capabilities": {"limits": {"max_context_window_tokens": 8192}}},  # GitHub Copilot
        {"metadata": {"context_length": 8192}},  # DeepInfra
        {"meta": {"n_ctx": 8192, "n_ctx_train": 131072}},  # llama.cpp
        {"default_generation_settings": {"n_ctx": 8192}},  # llama.cpp's /props
        {"max_total_tokens": 8192, "max_input_tokens": 4096},  # Text Generation Inference
        {"max_model_len": None, "context_length": 8192},
    ],
)
def test_the_size_is_found_under_each_name(model: dict[str, Any]) -> None:
    assert size_in(model) == 8192
    assert sizes_by_model({"data": [{"id": "m", **model}, {"id": "other"}]}) == {"m": 8192}


def test_ollamas_and_geminis_names_are_those_that_are_asked_for() -> None:
    running = {"models": [{"name": "llama3:latest", "model": "llama3:latest", "context_length": 4096}]}
    assert sizes_by_model(running) == {"llama3:latest": 4096, "llama3": 4096}
    listed = {"models": [{"name": "models/gemini-2.5-pro", "inputTokenLimit": 1048576}]}
    assert sizes_by_model(listed)["gemini-2.5-pro"] == 1048576


@pytest.mark.parametrize(
    ("shown", "size"),
    [
        ({"model_info": {"general.architecture": "llama", "llama.context_length": 131072}}, 131072),
        (
            {"model_info": {"llama.context_length": 131072}, "parameters": "stop  x\nnum_ctx      8192\n"},
            8192,
        ),
        ({"model_info": {}, "parameters": ""}, None),
        ({"model_info": {"llama.context_length": "x"}}, None),
        ([], None),
    ],
)
def test_ollama_shows_what_its_modelfile_sets(shown: Any, size: int | None) -> None:
    assert ollama_size(shown) == size


@pytest.mark.parametrize(
    "told",
    [None, 7, "x", [], {}, {"data": 7}, {"data": [7, None, {"id": 7}]}, {"data": [{"context_length": 8192}]}],
)
def test_anything_else_tells_nothing(told: Any) -> None:
    assert sizes_by_model(told) == {}


@pytest.mark.parametrize("value", [-1, 0, 7, 10**9, 10**30, True, "8192", 8192.0, None, [8192]])
def test_what_can_be_no_size_is_none(value: Any) -> None:
    assert size_in({"context_length": value}) is None


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ("This model's maximum context length is 2,048 tokens.", 2048),
        ("request (3000 tokens) exceeds the available context size (2048 tokens), try increasing it", 2048),
        ("the model is loaded with context length of only 4096 tokens", 4096),
        ("greater than the context length (n_keep: 5000>= n_ctx: 4096)", 4096),
        ("The input (61709 tokens) is longer than the model's context length (40960 tokens).", 40960),
        ("exceed context limit: 178959 + 64000 > 200000, decrease input length", 200000),
        ("prompt is too long: 213462 tokens > 200000 maximum", 200000),
        ("Prompt contains 40000 tokens, too large for model with 32768 maximum context length", 32768),
        ("This model's maximum prompt length is 131072 but the request contains 136973 tokens.", 131072),
        ("prompt token count of 200000 exceeds the limit of 128000", 128000),
        ("The input token count (1048600) exceeds the maximum number of tokens allowed (1048576).", 1048576),
        ("Input tokens exceed the configured limit of 272000 tokens.", 272000),
        ("Your request exceeded model token limit: 131072 (requested: 200000)", 131072),
        ("Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens).", 59862),
        ("`inputs` tokens + `max_new_tokens` must be <= 2048. Given: 1244 `inputs` tokens", 2048),
        ("`inputs` must have less than 1024 tokens. Given: 1168", 1024),
        ("Range of input length should be [1, 30720]", 30720),
        ("max_tokens=4097 cannot be greater than max_model_len=2048.", 2048),
        ("prompt too long; exceeded max context length by 2000 tokens", None),
        ("on tokens per minute (TPM): Limit 6000, Requested 7214, please reduce your message size", None),
        ("the context length is 2 tokens", None),
        (f"the context length is {'9' * 5000} tokens", None),
    ],
)
def test_a_refusal_names_the_size(words: str, size: int | None) -> None:
    assert size_in_words(words) == size


def test_most_refusals_of_backends_teach_a_size() -> None:
    refusals = [sentence for meaning, sentence in EXAMPLES if meaning is Meaning.CONTEXT]
    assert sum(size_in_words(sentence) is not None for sentence in refusals) > len(refusals) / 2
