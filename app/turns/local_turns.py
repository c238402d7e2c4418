"""The turns that this process owns."""

import asyncio
from collections.abc import Iterator

from app.models import TurnEnd
from app.turns.background import cancel
from app.turns.generation import Generation


class LocalTurns:
    """The registry of the generations that this process runs, by turn id, each with its task.

    Looking one up is a plain dictionary access, so that it may be done for every token.
    """

    def __init__(self) -> None:
        self._generations: dict[str, Generation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __contains__(self, turn_id: object) -> bool:
        return turn_id in self._generations

    def __iter__(self) -> Iterator[Generation]:
        """Iterate over a copy: turns may end while the caller waits."""
        return iter(list(self._generations.values()))

    def __len__(self) -> int:
        return len(self._generations)

    def get(self, turn_id: str) -> Generation | None:
        """Return the running generation, or None if this process does not run the turn."""
        return self._generations.get(turn_id)

    def run(self, generation: Generation) -> None:
        """Run a generation in a task of its own. It leaves the registry when the task ends."""
        turn_id = generation.record.turn_id
        self._generations[turn_id] = generation
        task = asyncio.create_task(generation.run(), name=f"turn {turn_id}")
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._generations.pop(turn_id))
        task.add_done_callback(self._tasks.discard)

    def interrupt_all(self, end: TurnEnd) -> None:
        """Stop every generation. Each turn is stored and ends with this end."""
        for generation in self:
            generation.interrupt(end)

    async def wait(self, seconds: float | None) -> None:
        """Wait until the turns that run now have ended, for at most `seconds` (None: no limit)."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def cancel(self) -> None:
        """Cancel the tasks that still run, and wait for them."""
        await cancel(self._tasks)
