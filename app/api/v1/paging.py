"""Pages of lists as OpenAI's API has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from app.responses.errors import ItemNotFound
from app.responses.record import Item


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    limit: int
    is_descending: bool
    after: str | None


async def _page(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
    after: Annotated[str, Query(max_length=128)] = "",
) -> Page:
    return Page(limit, order == "desc", after or None)


PageQuery = Annotated[Page, Depends(_page)]


def page_of(items: Sequence[Item], page: Page) -> dict[str, Any]:
    """Return a part of a list whose items are given oldest first.

    Raises:
        ItemNotFound: There is no item with the id after which the page is to begin.
    """
    ordered = list(items)[::-1] if page.is_descending else list(items)
    if page.after is not None:
        ids = [item["id"] for item in ordered]
        if page.after not in ids:
            raise ItemNotFound(param="after")
        ordered = ordered[ids.index(page.after) + 1 :]
    return item_list(ordered[: page.limit], has_more=len(ordered) > page.limit)


def item_list(items: list[Item], *, has_more: bool) -> dict[str, Any]:
    """Return a list of items as a body."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": has_more,
    }
