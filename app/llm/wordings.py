"""The words with which backends refuse a request, sorted by what they mean.

The first row that matches decides, so the order matters: words that look like another meaning come first. A
pattern is searched in the backend's own message and codes, whatever the status is. Each row says where its
words come from; `tests/llm/refusals.txt` has the words themselves, and each row has a test.

Every repetition is bounded, because a backend's message is as long as the backend likes.
"""

import re
from enum import Enum
from typing import NamedTuple


class Meaning(Enum):
    """What a refusal means for the request."""

    CONTEXT = "too long for the context"
    BUSY = "wait and retry"
    OPERATOR = "the operator has to act"
    UNSUPPORTED = "parameter or role not supported"
    CONTENT = "content filtered"
    MODEL = "model unknown"
    OTHER = "another reason"


class Wording(NamedTuple):
    """One way to say it."""

    meaning: Meaning
    pattern: re.Pattern[str]
    source: str


def _row(meaning: Meaning, pattern: str, source: str) -> Wording:
    return Wording(meaning, re.compile(pattern, re.IGNORECASE), source)


CAP_TOO_LARGE = re.compile(
    r"(?:this model supports at most|max_(?:completion_)?tokens\W{1,3}.{0,30}be less than or equal to"
    r"|tokens you requested exceeds the model limit of|maximum output tokens|range of max_tokens is \[1,"
    r"|range of max_tokens should be \[1,|max_tokens: \d{1,12} >)"
    r"\s?[`(]?(\d{1,9})",
    re.IGNORECASE,
)
"""The largest `max_tokens` that a model takes, in the words of OpenAI, Groq, Bedrock, Ollama's cloud,
DeepSeek, DashScope and Anthropic."""

SYSTEM_ROLE = re.compile(
    r"system (?:role|messages?|prompts?|instructions?|field) (?:is |are )?not (?:supported|enabled|allowed)"
    r"|developer instruction is not enabled"
    r"|role'? does not support 'system'"
    r"|(?:does not|doesn't) support (?:the )?system (?:role|messages?|prompts?|instructions?|field)"
    r"|(?:invalid|unknown|unsupported|unexpected) (?:message )?role:? ['\"`]?system"
    r"|only user and assistant roles are supported"
    r"|(?<!message, )conversation roles must alternate"
    r"|input should be 'user' or 'assistant'",
    re.IGNORECASE,
)
"""The words for a model without a system role: templates of Gemma, Mistral 7B and Zephyr as vLLM, SGLang and
llama.cpp repeat them, Gemini's front, OpenAI's o1, Bedrock, servers that validate the role with pydantic."""

_CONTEXT, _BUSY, _OPERATOR = Meaning.CONTEXT, Meaning.BUSY, Meaning.OPERATOR
_UNSUPPORTED, _CONTENT, _MODEL = Meaning.UNSUPPORTED, Meaning.CONTENT, Meaning.MODEL

WORDINGS: tuple[Wording, ...] = (
    # Words that a later row would read as something else.
    _row(_BUSY, r"too many tokens, please wait", "Bedrock's ThrottlingException"),
    _row(
        _OPERATOR,
        r"quota exceeded.{0,300}limit: 0\b",
        "Gemini: a model that the account's tier does not have",
    ),
    _row(_OPERATOR, r"requires more credits", "OpenRouter, 402"),
    _row(_CONTEXT, r"request too large for", "Groq and OpenAI: one request above the tokens per minute"),
    _row(_BUSY, r"(?:try again|retry) in \d", "OpenAI, Groq, Gemini: rate limits"),
    Wording(_UNSUPPORTED, CAP_TOO_LARGE, "see CAP_TOO_LARGE"),
    Wording(_UNSUPPORTED, SYSTEM_ROLE, "see SYSTEM_ROLE"),
    # Too long for the context.
    _row(_CONTEXT, r"context_length_exceeded", "OpenAI, Groq, OpenRouter: code"),
    _row(_CONTEXT, r"exceed_context_size_error", "llama.cpp: type"),
    _row(_CONTEXT, r"request_too_large", "Anthropic, 413: type"),
    _row(_CONTEXT, r"tokens_limit_reached|request body too large for", "Azure AI Inference, GitHub Models"),
    _row(
        _CONTEXT, r"maximum context length", "OpenAI, vLLM, SGLang, DeepSeek, OpenRouter, Mistral, Fireworks"
    ),
    _row(
        _CONTEXT,
        r"exceed(?:s|ed|ing)?\b.{0,60}\bcontext (?:length|window|size|limit)",
        "OpenAI, Anthropic, Ollama, llama.cpp, llama-cpp-python, Cloudflare",
    ),
    _row(
        _CONTEXT,
        r"context (?:length|window|size|limit)(?: has been)? (?:was |is )?exceed",
        "llama.cpp in mid-stream, MiniMax",
    ),
    _row(
        _CONTEXT,
        r"(?:greater|longer|larger) than the (?:model'?s )?context (?:length|window|size)",
        "LM Studio, SGLang",
    ),
    _row(_CONTEXT, r"(?:reached )?context length of (?:only )?\d", "LM Studio"),
    _row(_CONTEXT, r"context (?:length|window) is (?:only )?\d", "vLLM since 0.12"),
    _row(_CONTEXT, r"configured context size", "MLX servers"),
    _row(_CONTEXT, r"(?:prompt|input)(?: text)? (?:is )?too long", "Anthropic, Bedrock, Fireworks, Ollama"),
    _row(_CONTEXT, r"maximum prompt length is \d", "xAI"),
    _row(_CONTEXT, r"prompt token count of \d{1,12} exceeds the limit", "GitHub Copilot"),
    _row(_CONTEXT, r"input token count.{0,40}exceeds the maximum", "Gemini"),
    _row(_CONTEXT, r"input tokens exceed the configured limit", "OpenAI's newer models"),
    _row(
        _CONTEXT, r"exceeds the maximum (?:allowed )?(?:input )?(?:length|number of tokens)", "SGLang, Gemini"
    ),
    _row(_CONTEXT, r"maximum allowed input length", "Poolside"),
    _row(_CONTEXT, r"maximum model length|max_model_len|max_tokens must be at least 1", "vLLM"),
    _row(
        _CONTEXT,
        r"`inputs` (?:tokens \+ `max_new_tokens` must be|must have less than)",
        "Text Generation Inference, Together",
    ),
    _row(_CONTEXT, r"exceeded model token limit", "Moonshot"),
    _row(_CONTEXT, r"range of input length should be", "DashScope"),
    _row(_CONTEXT, r"(?:prompt|input) exceeds max", "Zhipu, code 1261"),
    _row(_CONTEXT, r"total number of tokens.{0,40}exceed", "Cohere"),
    _row(_CONTEXT, r"string too long\. expected a string with maximum length", "OpenAI"),
    _row(_CONTEXT, r"reduce the (?:length|number|size) of", "Groq, without another word"),
    _row(_CONTEXT, r"reduce your (?:message|prompt|input)", "Groq"),
    _row(
        _CONTEXT, r"token_?\s?limit_?\s?exceeded|exceeds? (?:the )?token limit", "OpenRouter: code; gateways"
    ),
    _row(_CONTEXT, r"(?:request )?entity too large|payload too large", "nginx, Express: 413 as text"),
    # The backend's filter took offence at the prompt.
    _row(_CONTENT, r"content[_ ]filter|ResponsibleAIPolicyViolation", "Azure, Moonshot: code"),
    _row(_CONTENT, r"content[_ ](?:management[_ ])?policy", "Azure, OpenAI"),
    _row(_CONTENT, r"content exists risk", "DeepSeek"),
    _row(_CONTENT, r"data_?inspection_?failed|inappropriate content", "DashScope"),
    _row(_CONTENT, r"considered high risk", "Moonshot"),
    _row(_CONTENT, r"(?:input|prompt) was flagged|flagged as potentially", "OpenRouter, OpenAI"),
    _row(_CONTENT, r"prohibited[_ ]content|blocked due to safety|block_?reason", "Gemini"),
    _row(
        _CONTENT, r"(?:blocked|intervened).{0,60}guardrail|guardrail.{0,60}(?:blocked|intervened)", "Bedrock"
    ),
    _row(_CONTENT, r"不安全或敏感|sensitive (?:content|words)", "Zhipu, code 1301"),
    # The model is unknown to the backend.
    _row(
        _MODEL,
        r"model_not_found|model_not_exist|model_not_supported|modelnotfound",
        "OpenAI, Groq, Copilot: code",
    ),
    _row(_MODEL, r"model_decommissioned|has been decommissioned", "Groq"),
    _row(_MODEL, r"deploymentnotfound|deployment for this resource does not exist", "Azure"),
    _row(
        _MODEL,
        r"model\b.{0,150}(?:\bnot found|does not exist|doesn't exist|not exist\b)",
        "vLLM, Ollama, DeepSeek",
    ),
    _row(_MODEL, r"not found the model|resource_not_found_error", "Moonshot"),
    _row(_MODEL, r"not a valid model", "OpenRouter"),
    _row(_MODEL, r"(?:invalid|unknown) model\b|model identifier is invalid", "Mistral, LiteLLM, Bedrock"),
    _row(_MODEL, r"no endpoints found", "OpenRouter"),
    _row(_MODEL, r"no models? (?:is )?(?:loaded|available)", "LM Studio"),
    _row(_MODEL, r"on-demand throughput", "Bedrock: a model that needs an inference profile"),
    _row(_MODEL, r"models?/\S{1,100} is not found", "Gemini"),
    _row(_MODEL, r"does not support (?:chat|generate)\b", "Ollama: an embedding model"),
    # The operator has to act: the key, the account, the set-up.
    _row(
        _OPERATOR, r"insufficient[_ ](?:quota|balance|credits?|funds)", "OpenAI: code; DeepSeek, OpenRouter"
    ),
    _row(_OPERATOR, r"exceeded[_ ](?:your )?current[_ ]quota", "OpenAI, Moonshot: code"),
    _row(_OPERATOR, r"credit balance is too low|out of credits?|payment[_ ]required", "Anthropic, gateways"),
    _row(_OPERATOR, r"billing|arrearage|余额不足|欠费", "OpenAI, DashScope, Zhipu"),
    _row(_OPERATOR, r"allocationquota|allocated quota exceeded", "DashScope"),
    _row(
        _OPERATOR,
        r"key limit exceeded|(?:monthly|spend(?:ing)?|usage) (?:limit|cap)s?\b",
        "OpenRouter, Hugging Face",
    ),
    _row(_OPERATOR, r"account.{0,60}(?:suspended|deactivated|not active|disabled)", "Moonshot, OpenAI"),
    _row(
        _OPERATOR,
        r"(?:incorrect|invalid|missing|wrong|no|valid) (?:api[ _-]?keys?|(?:auth )?credentials|access token)",
        "OpenAI, Groq, OpenRouter",
    ),
    _row(
        _OPERATOR,
        r"invalid_api_key|api_key_invalid|api key not valid|api key.{0,60}(?:is invalid|expired)",
        "Gemini",
    ),
    _row(
        _OPERATOR, r"authentication[_ ](?:fails|failed|error)|invalid_authentication", "DeepSeek, Anthropic"
    ),
    _row(_OPERATOR, r"unauthorized|unauthenticated|unrecognizedclient", "Mistral, Google, AWS"),
    _row(
        _OPERATOR,
        r"permission[_ ](?:denied|error)|access[_ ]?denied|not authorized|not have (?:access|permission)",
        "Google, Anthropic, Bedrock",
    ),
    _row(_OPERATOR, r"unsupported_country|country, region, or territory not supported", "OpenAI"),
    _row(
        _OPERATOR,
        r"must provide a chat template|chat template is (?:not|missing)",
        "vLLM: a model without one",
    ),
    # Waiting helps.
    _row(_BUSY, r"rate[_ -]?limit|rate limited|too[_ ]many[_ ]requests", "OpenAI, Anthropic, Mistral: code"),
    _row(_BUSY, r"throttl", "Bedrock, DashScope"),
    _row(_BUSY, r"resource_exhausted|resource has been exhausted", "Gemini"),
    _row(
        _BUSY,
        r"overloaded|server_busy|(?:server|engine) is (?:currently )?busy",
        "OpenAI, Anthropic, TGI, DeepSeek",
    ),
    _row(_BUSY, r"capacity[_ ](?:exceeded|exhausted)|at capacity|no capacity", "Mistral, Groq, Gemini"),
    _row(_BUSY, r"concurren(?:cy|t)", "Zhipu, Moonshot: too many at once"),
    _row(
        _BUSY,
        r"loading model|is (?:currently )?loading|engine is (?:sleeping|paused)",
        "llama.cpp, TGI, vLLM",
    ),
    _row(_BUSY, r"request rate increased too quickly|slow[_ ]down", "DashScope, OpenAI"),
    # A parameter that the backend does not take.
    _row(_UNSUPPORTED, r"unsupported[_ ](?:parameter|value)|unknown[_ ]parameter", "OpenAI: code"),
    _row(
        _UNSUPPORTED,
        r"unrecognized request argument|unknown name \"|unexpected (?:keyword|field|propert)",
        "Gemini",
    ),
    _row(
        _UNSUPPORTED,
        r"extra_forbidden|extra (?:inputs|fields) (?:are )?not permitted",
        "Mistral, vLLM: pydantic",
    ),
    _row(
        _UNSUPPORTED,
        r"(?:is|are) (?:not |un)(?:yet )?(?:supported|permitted|allowed)|(?:does not|doesn't) support",
        "Groq, xAI, Ollama",
    ),
    _row(_UNSUPPORTED, r"use 'max_completion_tokens' instead", "OpenAI"),
)
