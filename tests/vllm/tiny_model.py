"""A model small enough to be written on the spot: a Llama of two layers that speaks in single characters.

It has no weights file: vLLM is told to make them up (`--load-format dummy`). It has no end-of-sequence token
either, so an answer goes on to `max_tokens` or to the end of the window.
"""

import json
import string
from pathlib import Path
from typing import Any

WINDOW = 16384
"""Tokens of prompt and answer together. A character is a token."""

_CHARACTERS = [*string.digits, *string.ascii_letters, *string.punctuation, " ", "\n"]
# One token is longer: vLLM then refuses a prompt by its characters only above twice the window, and below
# that by its tokens, as it does with other models.
_VOCABULARY = [*_CHARACTERS, "th"]

_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": len(_VOCABULARY),
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": WINDOW,
    "bos_token_id": None,
    "eos_token_id": None,
}
_TOKENIZER: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": {"type": "Fuse"},
    "model": {
        "type": "BPE",
        "unk_token": "?",
        "vocab": {token: number for number, token in enumerate(_VOCABULARY)},
        "merges": [["t", "h"]],
    },
}
_CHAT_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "


def write_tiny_model(folder: Path, *, with_chat_template: bool) -> None:
    """Write what vLLM reads of a model before its weights."""
    tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if with_chat_template:
        tokenizer_config["chat_template"] = _CHAT_TEMPLATE
    for name, content in {
        "config.json": _CONFIG,
        "tokenizer.json": _TOKENIZER,
        "tokenizer_config.json": tokenizer_config,
    }.items():
        (folder / name).write_text(json.dumps(content))
