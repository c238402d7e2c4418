"""The index of running turns, over all users, by the end of their leases."""

from collections import defaultdict
from collections.abc import Mapping

from app.store import keys
from app.store.connection import RedisClient
from app.store.faults import translated_redis_errors
from app.store.script import Script, together


class LeaseIndex:
    """Finds turns whose owners have died, without SCAN.

    `TurnJournal` adds a turn to the index and removes it again.
    Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(self, redis: RedisClient) -> None:
        """Use a client that returns bytes. Its opener closes it."""
        self._redis = redis
        self._find_lapsed = Script(redis, "find_lapsed")

    async def note_renewed(self, until_ms: Mapping[str, int]) -> None:
        """Store the new ends of leases, by turn id."""
        by_shard = defaultdict[str, dict[str, int]](dict)
        for turn_id, lease_until_ms in until_ms.items():
            by_shard[keys.shard_of(turn_id)][turn_id] = lease_until_ms
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for shard, turns in by_shard.items():
                # XX: a turn that has ended meanwhile is not added again.
                pipeline.zadd(keys.running_turns(shard), turns, xx=True)
            await pipeline.execute()

    async def lapsed(self, limit: int) -> list[str]:
        """Return the turns whose leases have expired, longest ago first. Some may have ended just now."""
        async with translated_redis_errors():
            found = await together(
                [self._find_lapsed(keys=[keys.running_turns(shard)], args=[limit]) for shard in keys.SHARDS]
            )
        by_end = sorted(
            (int(until), turn_id)
            for lapsed in found
            for turn_id, until in zip(lapsed[::2], lapsed[1::2], strict=True)
        )
        return [turn_id.decode() for _, turn_id in by_end[:limit]]

    async def forget(self, *turn_ids: str) -> None:
        """Remove turns from the index."""
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for turn_id in turn_ids:
                pipeline.zrem(keys.running_turns(keys.shard_of(turn_id)), turn_id)
            await pipeline.execute()
