"""The choice among backends: priority, then the conversation's own backend, then the load."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from app.llm.choice import in_order


@dataclass(frozen=True)
class Server:
    name: str
    weight: float = 1
    priority: int = 0
    running: int = 0


NAMES = st.lists(st.text("abcdefgh", min_size=1, max_size=3), min_size=2, max_size=8, unique=True)


@given(NAMES, st.text(max_size=20))
def test_if_a_backend_goes_only_its_own_conversations_move(names: list[str], affinity: str) -> None:
    servers = [Server(name) for name in names]
    order = in_order(servers, affinity)
    for gone in order:
        assert in_order([each for each in servers if each != gone], affinity) == [
            each for each in order if each != gone
        ]


@given(NAMES, st.text(max_size=20), st.lists(st.integers(0, 2), min_size=8, max_size=8))
def test_a_lower_priority_number_comes_first(names: list[str], affinity: str, priorities: list[int]) -> None:
    servers = [Server(name, priority=at) for name, at in zip(names, priorities, strict=False)]
    order = in_order(servers, affinity)
    assert [each.priority for each in order] == sorted(each.priority for each in servers)
    assert set(order) == set(servers)


@given(NAMES, st.text(max_size=20), st.lists(st.integers(0, 50), min_size=8, max_size=8))
def test_the_first_never_runs_more_than_its_share(names: list[str], affinity: str, loads: list[int]) -> None:
    servers = [Server(name, running=load) for name, load in zip(names, loads, strict=False)]
    first = in_order(servers, affinity)[0]
    assert first.running + 1 <= 1.25 * (sum(each.running for each in servers) + 1) / len(servers) + 1


def test_weights_are_respected() -> None:
    servers = [Server("a", weight=3), Server("b")]
    firsts = [in_order(servers, f"user\n{number}")[0].name for number in range(4000)]
    assert 0.72 < firsts.count("a") / len(firsts) < 0.78


def test_a_backend_with_more_than_its_share_comes_after_its_equals_and_before_the_next_priority() -> None:
    servers = [Server("a", running=9), Server("b", running=1), Server("c", priority=1)]
    assert [each.name for each in in_order(servers, "any")] == ["b", "a", "c"]
