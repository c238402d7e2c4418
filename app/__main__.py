"""`python -m app`, and the command `streaming-llm-chat`."""

import signal
import sys
from types import FrameType


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def run() -> None:
    """Run the service and exit with its code."""
    # Before the rest is imported: a signal in this first second ends the start as quietly as any other.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _end)

    from app.start import main  # noqa: PLC0415 - see above

    sys.exit(main())


if __name__ == "__main__":
    run()
