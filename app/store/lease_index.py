"""Which turns are running, of all users, by the end of their leases."""

from collections import defaultdict
from collections.abc import Mapping

from app.store import keys
from app.store.connection import RedisClient
from app.store.faults import translated_redis_errors
from app.store.script import Call, Script


class LeaseIndex:
    """Finds turns whose owners have died, without SCAN.

    `TurnJournal` puts a turn into it and takes it out again.
    Every method raises HistoryUnavailable where Redis does not do its part in time.
    """

    def __init__(self, redis: RedisClient) -> None:
        """Use a client that somebody else closes; its answers are bytes."""
        self._redis = redis
        self._find_lapsed = Script(redis, "find_lapsed")

    async def note_renewed(self, until_ms: Mapping[str, int]) -> None:
        """Note the new ends of leases, by turn id."""
        by_shard = defaultdict[str, dict[str, int]](dict)
        for turn_id, lease_until_ms in until_ms.items():
            by_shard[keys.shard_of(turn_id)][turn_id] = lease_until_ms
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for shard, turns in by_shard.items():
                # One that has ended in the meantime is not added again.
                pipeline.zadd(keys.running_turns(shard), turns, xx=True)
            await pipeline.execute()

    async def lapsed(self, limit: int) -> list[str]:
        """The ids of turns whose leases have run out, or that ended just now; longest ago first."""
        async with translated_redis_errors():
            found = await self._find_lapsed.call_all(
                [Call([keys.running_turns(shard)], [limit]) for shard in keys.SHARDS]
            )
        by_end = sorted(
            (int(until), turn_id)
            for lapsed in found
            for turn_id, until in zip(lapsed[::2], lapsed[1::2], strict=True)
        )
        return [turn_id.decode() for _, turn_id in by_end[:limit]]

    async def forget(self, *turn_ids: str) -> None:
        """Nobody needs to look for these turns any more."""
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for turn_id in turn_ids:
                pipeline.zrem(keys.running_turns(keys.shard_of(turn_id)), turn_id)
            await pipeline.execute()
