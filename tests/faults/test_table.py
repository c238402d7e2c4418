"""The page `docs/faults.md` has every fault of the suite, and no other."""

import pytest

from tests.faults import (
    table,
    test_backend_faults,
    test_client_faults,
    test_failover_faults,
    test_store_faults,
    test_stream_faults,
)

FAULTS = [
    *test_backend_faults.FAULTS,
    *test_stream_faults.FAULTS,
    *test_failover_faults.FAULTS,
    *test_store_faults.FAULTS,
    *test_client_faults.FAULTS,
]


def test_no_two_rows_have_one_name() -> None:
    assert len({fault.full_name for fault in FAULTS}) == len(FAULTS)


# Runs last in its folder, when each row has its time.
def test_the_table_is_as_the_suite_has_it(seconds: dict[str, float], pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--write-table", default=False):
        table.PATH.write_text(table.render(FAULTS, seconds))
    any_seconds = {fault.full_name: 0.0 for fault in FAULTS}
    written = table.PATH.read_text()
    assert table.without_seconds(written) == table.without_seconds(table.render(FAULTS, any_seconds))
