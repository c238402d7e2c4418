"""The function calls of a response: parts of several may come in turn, and names after arguments."""

from collections.abc import Callable

from app.responses.delta import CallDelta
from app.responses.output import CallItem, Status

OpenCall = Callable[[str, str], CallItem]
"""Makes the item of a call with this id (empty: the backend has sent none) and name."""


class _Call:
    def __init__(self, number: int | None, call_id: str) -> None:
        self.number = number
        self.call_id = call_id
        self.item: CallItem | None = None
        self.waiting: list[CallDelta] = []
        """Parts that came before the name."""


class Calls:
    """Finds the call that each part belongs to. All calls stay open until the answer ends."""

    def __init__(self, open_call: OpenCall) -> None:
        self._open = open_call
        self._calls: list[_Call] = []

    def add(self, delta: CallDelta) -> None:
        """Add a part to its call."""
        call = self._find(delta)
        if call is None:
            call = _Call(delta.number, delta.call_id)
            self._calls.append(call)
        call.call_id = call.call_id or delta.call_id
        if call.item is None and delta.name:
            self._begin(call, delta.name)
        if call.item is not None:
            call.item.add(delta)
        else:
            call.waiting.append(delta)

    def close(self, status: Status) -> None:
        """End all calls, also one that never got a name."""
        for call in self._calls:
            if call.item is None:
                self._begin(call, "")
            if call.item is not None:
                call.item.close(status)

    def _begin(self, call: _Call, name: str) -> None:
        call.item = self._open(call.call_id, name)
        for delta in call.waiting:
            call.item.add(delta)
        call.waiting.clear()

    def _find(self, delta: CallDelta) -> _Call | None:
        """Find the call by its index, otherwise by its id; a part with neither goes to the newest call."""
        for call in reversed(self._calls):
            if delta.number is not None:
                if delta.number == call.number:
                    # Some backends number all calls 0.
                    is_other = delta.name and delta.call_id and call.call_id not in ("", delta.call_id)
                    return None if is_other else call
            elif delta.call_id in ("", call.call_id):
                return call
        return None
