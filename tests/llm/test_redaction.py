"""What of a backend's sentence may be told."""

import pytest

from app.llm.redaction import redacted
from app.llm.request import CompletionRequest

PROMPT = ["You are a helpful assistant.", "my PIN is 4711 and my dog is called Rex the third", "hunter2"]


def clean(sentence: str, prompt: list[str] = PROMPT) -> str:
    return redacted(sentence, secrets=["sk-secret-1234", ""], hosts=["vllm", ""], prompt=prompt)


@pytest.mark.parametrize(
    "sentence",
    [
        "The model `meta-llama/Llama-3.1-70B-Instruct` does not exist.",
        'model "qwen3:14b" not found, try pulling it first',
        "deepseek-v4-flash:0731 and gpt-4.1-mini, qwen2.5, v0.12.1",
        "temperature: Input should be <= 2",
        "Unsupported value: 'temperature' does not support 0.2 with this model.",
        "This model's maximum context length is 131072 tokens (125000 in the messages).",
        "Rate limit reached on tokens per minute (TPM): Limit 6000, Requested 7214. Please try again in 8.1s",
        "系统检测到输入或生成内容可能包含不安全或敏感内容",
    ],
)
def test_a_sentence_without_internals_stays_as_it_is(sentence: str) -> None:
    assert clean(sentence) == sentence


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("bad stop\n see http://10.0.0.7:8000/secret", "bad stop see …"),
        ("at http://user:pass@host/x?key=1, really", "at … really"),
        ("cannot connect to vllm", "cannot connect to …"),
        ("Cannot connect to host vllm:8000 ssl:default", "Cannot connect to host … ssl:default"),
        ("connect to backend-1.default.svc.cluster.local failed", "connect to … failed"),
        ("upstream 10.0.0.7 and 10.0.0.7:8000 and [::1]:8000 are away", "upstream … and … and … are away"),
        ("quota of generativelanguage.googleapis.com/requests", "quota of …"),
        ("in file /usr/lib/python3/site.py or C:\\Users\\me", "in file … or …"),
        ("Incorrect API key provided: sk-abc***. Look it up.", "Incorrect API key provided: … Look it up."),
        ("Incorrect API key provided: xa***AB.", "Incorrect API key provided: …"),
        (
            "Authentication Fails, Your api key: ****2b4d is invalid",
            "Authentication Fails, Your api key: … is invalid",
        ),
        ("key AIzaSyA1234567890abcdefghijk is wrong", "key … is wrong"),
        ("token gsk_abcdefghijk, hf_abcdef", "token …, …"),
        ("wrong: sk-secret-1234!", "wrong: …!"),
        ("xsk-secret-1234x", "x…x"),
        ("Authorization was Bearer abc.def", "Authorization was Bearer …"),
        ("id deadbeefdeadbeefdeadbeefdeadbeef", "id …"),
        ("in organization `org_01hxyz` on requests", "in organization `…` on requests"),
    ],
)
def test_addresses_and_keys_are_left_out(sentence: str, told: str) -> None:
    assert clean(sentence) == told


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("you said hunter2.", "you said …."),
        ("invalid content: 'my PIN is 4711'", "invalid content: '…'"),
        ("invalid content: 'my PIN is 4711 and...'", "invalid content: '…'"),
        ("cannot parse my PIN is 4711\nand my  dog is called Rex the third here", "cannot parse … here"),
        ("cannot parse PIN is 4711 and my dog is called Rex here", "cannot parse … here"),
        ("my PIN is 4711 and my dog is called Rex the third", "…"),
    ],
)
def test_what_stands_in_the_prompt_is_left_out(sentence: str, told: str) -> None:
    assert clean(sentence) == told


def test_a_run_of_the_prompt_is_found_wherever_it_begins() -> None:
    secret = "".join(chr(ord("a") + at * 7 % 26) for at in range(40))
    for shift in range(20):
        assert secret[8:24] not in clean(f"{'.' * shift} {secret[:30]} !", [f"before {secret} after"])


def test_a_sentence_is_withheld_if_the_prompt_is_too_long_to_search() -> None:
    assert clean("You said something.", ["x" * 600_000]) == ""


@pytest.mark.parametrize(
    "sentence", ["<html>busy</html>", "Traceback (most recent call last)", "a\x00b", "a\x1b[31m"]
)
def test_pages_stack_traces_and_control_characters_are_told_in_no_part(sentence: str) -> None:
    assert clean(sentence) == ""


def test_a_sentence_is_cut() -> None:
    assert len(clean("no " * 10_000)) <= 300


def test_a_clients_own_messages_are_searched_also_in_parts_and_in_tool_calls() -> None:
    function = {"name": "pay", "arguments": '{"account": "DE89 3704"}'}
    request = CompletionRequest(
        model="m",
        max_tokens=None,
        messages=[
            {"role": "user", "content": "Pay"},
            {"role": "user", "content": [{"type": "text", "text": "Rent"}, {"type": "image_url"}, "Now"]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": function}, {}, None]},
            {"role": "assistant", "function_call": function, "reasoning_content": "Which account?"},
            {"role": "tool", "tool_calls": 7, "content": {"odd": 1}},
        ],
        sampling={"stop": ["End"], "user": "alice", "tools": [{"type": "function"}], "seed": 1},
    )
    assert [*request.texts()] == [
        *("Pay", "Rent", "Now", function["arguments"]),
        *("Which account?", function["arguments"]),
        *("End", "alice"),
    ]
