"""What the model is asked, and what is left out so that it fits."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.errors import ContextLengthExceeded
from app.models import AssistantMessage, Message, TurnRequest, UserMessage
from app.prompts.builder import Prompt, PromptBuilder
from app.store.recent_turns import MessageBlock, RecentTurns
from tests.prompts.sizes import open_windows
from tests.prompts.stored import recent

AT = "2026-01-01T00:00:00.000Z"
HISTORY: list[Message] = [
    UserMessage("One", "t1", AT),
    AssistantMessage("First", "t1", AT, "complete", "m"),
    UserMessage("Two", "t2", AT),
    AssistantMessage("", "t2", AT, "error", "m"),
    UserMessage("Three", "t3", AT),
    AssistantMessage("Thi", "t3", AT, "interrupted", "m"),
]
LETTERS_A_MESSAGE = 400


def turns(count: int) -> list[Message]:
    """Turns of some 208 tokens each."""
    text = "x" * LETTERS_A_MESSAGE
    return [
        message
        for n in range(count)
        for message in (
            UserMessage(text, f"t{n}", AT),
            AssistantMessage(text, f"t{n}", AT, "complete", "m"),
        )
    ]


def ask(message: str = "Hi", **sampling: Any) -> TurnRequest:
    return TurnRequest(user_id="u", conversation_id="c", message=message, model="m", sampling=sampling)


def contents(prompt: Prompt) -> list[str]:
    return [message["content"] for message in prompt.completion.messages]


Builders = Callable[..., PromptBuilder]


@pytest.fixture
async def builder() -> AsyncIterator[Builders]:
    """Makes builders for windows of these sizes."""
    async with open_windows(None, 50, 100, 200, 300, 1000, 2000, 4096) as windows:

        def build(
            context: int | None = 4096, *, system_prompt: str | None = None, max_tokens: int = 100
        ) -> PromptBuilder:
            return PromptBuilder(windows[context], system_prompt=system_prompt, max_tokens=max_tokens)

        yield build


async def test_the_system_prompt_is_first_and_the_new_message_last(builder: Builders) -> None:
    prompt = await builder(system_prompt="Be kind.").build(ask(), recent([]))
    assert prompt.completion.messages == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
    ]


async def test_without_a_system_prompt_none_is_sent(builder: Builders) -> None:
    prompt = await builder().build(ask(), recent([]))
    assert prompt.completion.messages == [{"role": "user", "content": "Hi"}]


async def test_unfinished_answers_are_in_it_with_the_text_they_have_and_turns_without_text_are_not(
    builder: Builders,
) -> None:
    prompt = await builder().build(ask("Four"), recent(HISTORY))
    assert contents(prompt) == ["One", "First", "Three", "Thi", "Four"]
    assert prompt.dropped_messages == 0


async def test_an_answer_may_be_shorter_than_the_cap_and_not_longer(builder: Builders) -> None:
    for asked, sent in ((None, 100), (7, 7), (1000, 100)):
        question = ask() if asked is None else ask(max_tokens=asked)
        completion = (await builder().build(question, recent([]))).completion
        assert (completion.bound, "max_tokens" in completion.sampling) == (sent, False)


async def test_whole_turns_are_left_out_from_the_oldest(builder: Builders) -> None:
    prompt = await builder(1000, system_prompt="Be kind.").build(ask(), recent(turns(5)))
    assert contents(prompt) == ["Be kind.", *["x" * LETTERS_A_MESSAGE] * 6, "Hi"]
    assert prompt.dropped_messages == 4


@pytest.mark.parametrize("context", [50, 200, 1000, 4096])
async def test_what_is_sent_and_asked_for_fits(builder: Builders, context: int) -> None:
    prompt = await builder(context, max_tokens=1024).build(ask(), recent(turns(30)))
    assert prompt.tokens + prompt.completion.bound <= context


async def test_a_quarter_of_a_known_window_is_kept_free_for_the_answer_at_most(builder: Builders) -> None:
    prompt = await builder(2000, max_tokens=4096).build(ask(), recent(turns(20)))
    assert 500 <= prompt.completion.bound < 700


async def test_a_message_that_fits_alone_is_sent_alone_and_leaves_less_for_the_answer(
    builder: Builders,
) -> None:
    prompt = await builder(300, max_tokens=200).build(ask("x" * 800), recent(turns(2)))
    assert len(prompt.completion.messages) == 1
    assert prompt.dropped_messages == 4
    assert 50 < prompt.completion.bound < 100


async def test_a_message_that_does_not_fit_is_refused(builder: Builders) -> None:
    with pytest.raises(ContextLengthExceeded) as caught:
        await builder(100).build(ask("x" * 1000), recent([]))
    assert caught.value.param == "message"
    assert "100 tokens" in caught.value.message


async def test_in_an_unknown_window_nothing_is_left_out(builder: Builders) -> None:
    unknown = builder(None, max_tokens=1024)
    prompt = await unknown.build(ask("x" * 32_000), recent(turns(300)))
    assert (len(prompt.completion.messages), prompt.completion.bound) == (601, 1024)
    assert prompt.dropped_messages == 0


async def test_in_an_unknown_window_a_refusal_is_remembered_until_a_longer_prompt_is_taken(
    builder: Builders,
) -> None:
    unknown = builder(None)
    refused = await unknown.build(ask(), recent(turns(40)))
    smaller = await unknown.build_smaller(ask(), recent(turns(40)), refused=refused, share=0.5)
    assert smaller.dropped_messages == 40
    later = await unknown.build(ask(), recent(turns(41)))
    assert smaller.guess < later.guess < refused.guess
    unknown.learn(refused, int(refused.guess))
    assert (await unknown.build(ask(), recent(turns(41)))).dropped_messages == 0


async def test_only_as_much_of_a_conversation_is_read_as_a_known_window_holds(builder: Builders) -> None:
    messages = turns(1000)
    read: list[int] = []

    async def read_before(position: int | None, _max_bytes: int) -> MessageBlock:
        stop = len(messages) if position is None else position
        read.append(stop)
        return MessageBlock(stop - 10, stop, messages[stop - 10 : stop], 1)

    history = RecentTurns(read_before, max_bytes=2**30)
    prompt = await builder(4096).build(ask(), history)
    assert len(prompt.completion.messages) + prompt.dropped_messages == 2001
    assert len(read) <= 5


async def test_a_prompt_without_history_is_the_message_alone(builder: Builders) -> None:
    prompt = await builder(system_prompt="Be kind.").build_without_history(ask(), recent(turns(5)))
    assert contents(prompt) == ["Be kind.", "Hi"]
    assert prompt.dropped_messages == 10


async def test_what_the_backend_counts_corrects_the_guesses(builder: Builders) -> None:
    prompts = builder(2000)
    before = await prompts.build(ask(), recent(turns(30)))
    prompts.learn(before, int(3 * before.guess))
    after = await prompts.build(ask(), recent(turns(30)))
    assert after.dropped_messages > before.dropped_messages
    assert 2.5 * after.guess < after.tokens < 2000


@pytest.mark.parametrize("counted", [1, 10**9, 10**400])
async def test_a_count_beyond_belief_changes_nothing(builder: Builders, counted: int) -> None:
    prompts = builder(2000)
    before = await prompts.build(ask(), recent(turns(30)))
    prompts.learn(before, counted)
    assert await prompts.build(ask(), recent(turns(30))) == before


async def test_a_template_that_is_most_of_short_prompts_says_little_of_long_ones(builder: Builders) -> None:
    prompts = builder(4096)
    for _ in range(20):
        short = await prompts.build(ask(), recent([]))
        prompts.learn(short, int(short.guess) + 70)
    long = await prompts.build(ask("x" * 12_000), recent([]))
    assert long.tokens < 1.2 * long.guess


async def test_no_message_is_refused_for_what_was_only_learnt(builder: Builders) -> None:
    prompts = builder(4096)
    for _ in range(5):
        prompts.learn(before := await prompts.build(ask(), recent(turns(5))), int(7 * before.guess))
    assert (await prompts.build(ask("x" * 12_000), recent([]))).completion.bound > 1


async def test_after_a_refusal_less_of_the_conversation_is_sent(builder: Builders) -> None:
    prompts = builder(4096)
    refused = await prompts.build(ask(), recent(turns(10)))
    half = await prompts.build(ask(), recent(turns(10)), most_history=refused.history_guess / 2)
    assert (refused.dropped_messages, half.dropped_messages) == (0, 10)
    alone = await prompts.build(ask(), recent(turns(10)), most_history=0)
    assert contents(alone) == ["Hi"]


@pytest.mark.parametrize("script", ["Ж", "語", "🙂"])
async def test_letters_of_several_bytes_are_expected_to_take_more_tokens(
    builder: Builders, script: str
) -> None:
    prompts = builder()
    plain, other = [(await prompts.build(ask(letter * 100), recent([]))).tokens for letter in ("a", script)]
    assert other > 1.5 * plain
