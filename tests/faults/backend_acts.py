"""Lines to the first backend that cannot be opened."""

from tests.faults.lab import Lab


async def refused(lab: Lab) -> str:
    """The backend's host refuses connections."""
    lab.backend_line.refuse()
    seen = await lab.ask()
    await lab.backend_line.accept()
    return seen


async def unreachable(lab: Lab) -> str:
    """The backend's host does not answer."""
    async with lab.backend_line.unreachable():
        lab.strike()
        return await lab.ask()
