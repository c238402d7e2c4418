"""What of a conversation is sent back: whatever it is, the strictest chat template takes it."""

from collections.abc import AsyncIterator, Sequence
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.llm.finish import FILTERED
from app.models import AssistantMessage, Message, TurnRequest, TurnStatus, UserMessage
from app.prompts.builder import PromptBuilder
from app.prompts.transcript import as_sent
from app.store.recent_turns import MessageBlock, RecentTurns
from tests.prompts.sizes import Windows, open_windows

AT = "2026-01-01T00:00:00.000Z"

THOUGHTS = [
    f"{before}{opening}hm{closing}{after}"
    for before in ("", "\n ")
    for opening in ("<think>", "<THINK>", "[THINK]", "<seed:think>", "\u25c1think\u25b7", "a\n</think>\n")
    for closing in ("</think>", "[/THINK]", "</seed:think>", "\u25c1/think\u25b7", "")
    for after in ("", "\n\n", "so it is")
]
CONTENT = st.sampled_from(
    ["", " ", "\n\n", "\t", "\u3000", "\x1c", "\x85", "yes", "x" * 100, "🙂 no", *THOUGHTS]
)
FINISHES = st.sampled_from([None, "stop", "length", "content_filter", "SAFETY", "tool_calls"])
IDS = st.sampled_from([f"t{n}" for n in range(6)])
QUESTIONS = st.builds(UserMessage, CONTENT, IDS, st.just(AT))
ANSWERS = st.builds(
    AssistantMessage,
    CONTENT,
    IDS,
    st.just(AT),
    st.sampled_from(get_args(TurnStatus)),
    st.just("m"),
    FINISHES,
)
HISTORIES = st.lists(st.one_of(QUESTIONS, ANSWERS), max_size=12)
WINDOWS = [None, 60, 100, 200, 1000]
SYSTEMS = st.sampled_from([None, "", " ", "Be kind."])
QUESTION = TurnRequest(user_id="u", conversation_id="c", message="And now?", model="m")


@pytest.fixture
async def windows() -> AsyncIterator[Windows]:
    async with open_windows(*WINDOWS) as windows:
        yield windows


def check_strictly(messages: Sequence[dict[str, str]]) -> None:
    """Refuse what any chat template refuses."""
    if messages[0]["role"] == "system":
        messages = messages[1:]
    assert messages, "a prompt asks something"
    for n, message in enumerate(messages):
        expected = "assistant" if n % 2 else "user"
        assert message["role"] == expected, (
            "Conversation roles must alternate user/assistant/user/assistant/..."
        )
        assert message["content"].strip(), "all messages must have non-empty content"
    assert messages[-1]["role"] == "user"


def in_blocks(messages: Sequence[Message], size: int) -> RecentTurns:
    """A conversation that is read in blocks of so many messages, wherever that tears a turn apart."""

    async def read_before(position: int | None, _max_bytes: int) -> MessageBlock:
        stop = len(messages) if position is None else position
        start = max(0, stop - size)
        return MessageBlock(start, stop, messages[start:stop], 1)

    return RecentTurns(read_before, max_bytes=2**30)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES, size=st.sampled_from(WINDOWS), block=st.integers(1, 7), system=SYSTEMS)
async def test_any_history_makes_a_prompt_that_the_strictest_template_takes(
    windows: Windows, history: list[Message], size: int | None, block: int, system: str | None
) -> None:
    prompts = PromptBuilder(windows[size], system_prompt=system, max_tokens=10)
    prompt = await prompts.build(QUESTION, in_blocks(history, block))
    smaller = await prompts.build_smaller(QUESTION, in_blocks(history, block), refused=prompt, share=0.5)
    alone = await prompts.build_without_history(QUESTION, in_blocks(history, block))
    for each in (prompt, smaller, alone):
        messages = each.completion.messages
        check_strictly(messages)
        assert messages[-1]["content"] == "And now?"
        assert 0 <= each.dropped_messages <= len(history)
        sent = {message["content"] for message in messages if message["role"] == "assistant"}
        assert not any(text.lstrip().lower().startswith("<think>") for text in sent)


def answered(content: str, finish_reason: str | None = "stop") -> list[Message]:
    return [
        UserMessage("2+2?", "t1", AT),
        AssistantMessage(content, "t1", AT, "complete", "m", finish_reason),
    ]


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ("**4**", "**4**"),
        ("  4\n", "  4\n"),
        ("<think>\nfirst I add</think>\n\n**4**", "**4**"),
        ("\n<think></think>\n\n<think>again</think>4", "4"),
        ("<thinking>I add</thinking>4", "4"),
        ("[THINK]I add[/THINK]4", "4"),
        ("<seed:think>I add</seed:think>4", "4"),
        ("\u25c1think\u25b7I add\u25c1/think\u25b74", "4"),
        ("<|begin_of_thought|>I add<|end_of_thought|>4", "4"),
        ("I add\n</think>\n\n4", "4"),  # the template has opened the block
        (
            "a block ends with </think>, as in:\n<think>\n</think>\n",
            "a block ends with </think>, as in:\n<think>\n</think>\n",
        ),
        ("4, as <think> says", "4, as <think> says"),
        ("<thinker>4", "<thinker>4"),
    ],
)
def test_a_leading_think_block_stays_out_and_everything_else_stays_as_it_is(content: str, sent: str) -> None:
    assert [message["content"] for message in as_sent(answered(content))] == ["2+2?", sent]


@pytest.mark.parametrize(
    ("content", "finish_reason"),
    [
        ("", "stop"),
        ("\n\n", "stop"),
        ("<think>cut in the middle", "length"),
        ("<think>all of it</think>\n", "stop"),
    ],
)
def test_a_turn_without_an_answer_to_send_is_left_out(content: str, finish_reason: str) -> None:
    assert as_sent(answered(content, finish_reason)) == []


@pytest.mark.parametrize(
    "finish_reason", [*sorted(FILTERED), "SAFETY", "PROHIBITED_CONTENT", "content_filter: SAFETY"]
)
def test_a_turn_whose_answer_a_filter_has_cut_is_left_out(finish_reason: str) -> None:
    assert as_sent(answered("forbidden half", finish_reason)) == []


def test_a_refusal_of_the_model_is_its_answer() -> None:
    sent = as_sent(answered("I can't help with that.", "stop"))
    assert sent[-1] == {"role": "assistant", "content": "I can't help with that."}
