"""Faults of the backend, of the store and of clients, over real sockets: `docs/faults.md` comes from here."""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("bystander", "client_acts", "lab", "prove", "store_acts"))
)
