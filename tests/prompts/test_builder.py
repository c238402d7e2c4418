"""What the model is asked, and what is left out so that it fits."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.errors import ContextLengthExceeded
from app.llm.context import ContextSizes
from app.models import AssistantMessage, Message, Question, UserMessage
from app.prompts.builder import Prompt, PromptBuilder

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


def ask(message: str = "Hi", **sampling: Any) -> Question:
    return Question(user_id="u", conversation_id="c", message=message, model="m", sampling=sampling)


def contents(prompt: Prompt) -> list[str]:
    return [message["content"] for message in prompt.completion.messages]


class Builders:
    """Makes builders for contexts of any size."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.watching: list[asyncio.Task[None]] = []

    def __call__(
        self, context: int | None = 4096, *, system_prompt: str | None = None, max_tokens: int = 100
    ) -> PromptBuilder:
        sizes = ContextSizes(self._http, configured=context)
        if context is None:
            self.watching.append(asyncio.create_task(sizes.watch()))
        return PromptBuilder(sizes, system_prompt=system_prompt, max_tokens=max_tokens)


@pytest.fixture
async def builder() -> AsyncIterator[Builders]:
    """Contexts that are not configured are those of a backend that does not know them."""
    transport = httpx.MockTransport(lambda _: httpx.Response(404))
    async with httpx.AsyncClient(base_url="http://backend.test/v1", transport=transport) as http:
        builders = Builders(http)
        yield builders
        for watch in builders.watching:
            watch.cancel()


async def test_the_system_prompt_is_first_and_the_new_message_last(builder: Builders) -> None:
    prompt = await builder(system_prompt="Be kind.").build(ask(), [])
    assert prompt.completion.messages == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
    ]


async def test_without_a_system_prompt_none_is_sent(builder: Builders) -> None:
    prompt = await builder().build(ask(), [])
    assert prompt.completion.messages == [{"role": "user", "content": "Hi"}]


async def test_unfinished_answers_are_in_it_with_the_text_they_have_and_empty_ones_are_not(
    builder: Builders,
) -> None:
    prompt = await builder().build(ask("Four"), HISTORY)
    assert contents(prompt) == ["One", "First", "Two", "Three", "Thi", "Four"]
    assert prompt.dropped_messages == 0


async def test_an_answer_may_be_shorter_than_the_cap_and_not_longer(builder: Builders) -> None:
    for asked, sent in ((None, 100), (7, 7), (1000, 100)):
        question = ask() if asked is None else ask(max_tokens=asked)
        completion = (await builder().build(question, [])).completion
        assert (completion.max_tokens, "max_tokens" in completion.sampling) == (sent, False)


async def test_whole_turns_are_left_out_from_the_oldest(builder: Builders) -> None:
    prompt = await builder(1000, system_prompt="Be kind.").build(ask(), turns(5))
    assert contents(prompt) == ["Be kind.", *["x" * LETTERS_A_MESSAGE] * 6, "Hi"]
    assert prompt.dropped_messages == 4


@pytest.mark.parametrize("context", [50, 200, 1000, 4096])
async def test_what_is_sent_and_asked_for_fits(builder: Builders, context: int) -> None:
    prompt = await builder(context, max_tokens=1024).build(ask(), turns(30))
    assert prompt.tokens + prompt.completion.max_tokens <= context


async def test_the_answer_keeps_a_quarter_of_a_context_that_its_cap_would_fill(builder: Builders) -> None:
    prompt = await builder(1000, max_tokens=4096).build(ask(), turns(10))
    assert 250 <= prompt.completion.max_tokens < 450


async def test_a_message_that_fits_alone_is_sent_alone_and_leaves_less_for_the_answer(
    builder: Builders,
) -> None:
    prompt = await builder(300, max_tokens=200).build(ask("x" * 800), turns(2))
    assert len(prompt.completion.messages) == 1
    assert prompt.dropped_messages == 4
    assert 50 < prompt.completion.max_tokens < 100


async def test_a_message_that_does_not_fit_is_refused(builder: Builders) -> None:
    with pytest.raises(ContextLengthExceeded) as caught:
        await builder(100).build(ask("x" * 1000), [])
    assert caught.value.param == "message"
    assert "100 tokens" in caught.value.message


async def test_in_a_context_of_unknown_size_nothing_is_left_out_or_refused(builder: Builders) -> None:
    unknown = builder(None, max_tokens=1024)
    prompt = await unknown.build(ask("x" * 32_000), turns(200))
    assert (prompt.dropped_messages, prompt.completion.max_tokens) == (0, 1024)


async def test_a_cap_of_the_client_is_not_one_of_the_service(builder: Builders) -> None:
    prompts = builder()
    assert "max_tokens" in (await prompts.build(ask(), [])).completion.added
    assert "max_tokens" not in (await prompts.build(ask(max_tokens=7), [])).completion.added


async def test_what_the_backend_counts_corrects_the_guesses(builder: Builders) -> None:
    prompts = builder(2000)
    before = await prompts.build(ask(), turns(30))
    prompts.learn(before, int(3 * before.guess))
    after = await prompts.build(ask(), turns(30))
    assert after.dropped_messages > before.dropped_messages
    assert 2.5 * after.guess < after.tokens < 2000


@pytest.mark.parametrize("counted", [1, 10**9, 10**400])
async def test_a_count_beyond_belief_changes_nothing(builder: Builders, counted: int) -> None:
    prompts = builder(2000)
    before = await prompts.build(ask(), turns(30))
    prompts.learn(before, counted)
    assert await prompts.build(ask(), turns(30)) == before


async def test_a_template_that_is_most_of_short_prompts_says_little_of_long_ones(builder: Builders) -> None:
    prompts = builder(4096)
    for _ in range(20):
        short = await prompts.build(ask(), [])
        prompts.learn(short, int(short.guess) + 70)
    long = await prompts.build(ask("x" * 12_000), [])
    assert long.tokens < 1.2 * long.guess


async def test_no_message_is_refused_for_what_was_only_learnt(builder: Builders) -> None:
    prompts = builder(4096)
    for _ in range(5):
        prompts.learn(before := await prompts.build(ask(), turns(5)), int(7 * before.guess))
    assert (await prompts.build(ask("x" * 12_000), [])).completion.max_tokens > 1


async def test_after_a_refusal_less_of_the_conversation_is_sent(builder: Builders) -> None:
    prompts = builder(4096)
    refused = await prompts.build(ask(), turns(10))
    half = await prompts.build(ask(), turns(10), most_history=refused.history_guess / 2)
    assert (refused.dropped_messages, half.dropped_messages) == (0, 10)
    alone = await prompts.build(ask(), turns(10), most_history=0)
    assert contents(alone) == ["Hi"]


@pytest.mark.parametrize("script", ["Ж", "語", "🙂"])
async def test_letters_of_several_bytes_are_expected_to_take_more_tokens(
    builder: Builders, script: str
) -> None:
    prompts = builder()
    plain, other = [(await prompts.build(ask(letter * 100), [])).tokens for letter in ("a", script)]
    assert other > 1.5 * plain
