"""Probes while Redis cannot be reached; what turns do then is in `tests/faults`."""

from tests.live.conftest import Serve
from tests.support.ports import free_port


async def test_without_redis_the_process_is_alive_and_not_ready(serve: Serve) -> None:
    async with serve(redis_url=f"redis://127.0.0.1:{free_port()}/0") as client:
        assert (await client.get("/health")).status_code == 200
        ready = await client.get("/ready")
    assert (ready.status_code, ready.json()["checks"]["redis"]["status"]) == (503, "down")
