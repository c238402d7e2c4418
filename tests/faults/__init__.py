"""Faults of the backend, of the store and of clients, over real sockets: `docs/faults.md` comes from here."""

import pytest

pytest.register_assert_rewrite("tests.faults.bystander", "tests.faults.lab", "tests.faults.prove")
