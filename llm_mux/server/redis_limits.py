"""The sliding windows of `routing/limits.py` in Redis, shared by all daemons that name it (extra `llm-mux[redis]`).

Rule: whether a request is admitted is decided by one script, all limits at once, in one round trip, with the same
results as the windows in memory, and takes nothing twice when it is asked twice. What is told behind an answer and does
not arrive is told again when Redis answers. Times are unix seconds of Redis's clock, so those of daemons may differ;
should it be set back, what is in the windows happened just now. A worker that dies leaves its requests under way to its
successor, which ends them when it starts; a daemon that dies, for at most `LEASE_S`. What they have reserved of tokens
stays for its minute: nobody knows what they used.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

from llm_mux.config import ConfigError
from llm_mux.routing.limits import BUSY_RETRY_S, Charge, Refused, Standing

LEASE_S = 120.0
_TIMEOUT_S = 0.5
_GOODBYE_S = 2.0
_MOST_CONNECTIONS = 16
_TURN_S = 2.0
_MOST_OWED = 10_000
_PREFIX = "{llm-mux}:limits:"
"""The braces keep all keys on one node of a cluster."""

# ARGV of all that depend on the time begin with it; "" is the time of Redis.
_NOW = """
local function number(value) return string.format('%.17g', value) end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
"""

# KEYS: for each limit its log (sorted by time) and its amounts. ARGV: now, id ("" only looks), lease, then for each
# limit kind, period, limit, amount. Answers "1" or "0" and the time, then for each limit: used, time of the oldest,
# when enough of it is over.
_ADMIT = (
    _NOW
    + """
local id, lease = ARGV[2], tonumber(ARGV[3])
local again = id ~= '' and redis.call('ZSCORE', KEYS[1], id)
local answer, refused = {'1', number(now)}, false
for i = 1, #KEYS / 2 do
  local log, amounts, at = KEYS[2 * i - 1], KEYS[2 * i], 3 + (i - 1) * 4
  local kind, period = ARGV[at + 1], tonumber(ARGV[at + 2])
  local limit, amount = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local used, oldest, enough = 0, '', ''
  local newest = number(kind == 'concurrent' and now + lease or now)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', log, '(' .. newest, '+inf')) do
    redis.call('ZADD', log, newest, member)
  end
  if kind == 'tokens' then
    local over = redis.call('ZRANGEBYSCORE', log, '-inf', number(now - period))
    for _, member in ipairs(over) do
      local amount_over = tonumber(redis.call('HGET', amounts, member) or '0')
      redis.call('HINCRBY', amounts, '=', string.format('%d', -amount_over))
      redis.call('HDEL', amounts, member)
      redis.call('ZREM', log, member)
    end
    used = tonumber(redis.call('HGET', amounts, '=') or '0')
  else
    redis.call('ZREMRANGEBYSCORE', log, '-inf', number(now - period))
    used = redis.call('ZCARD', log)
  end
  local first = redis.call('ZRANGE', log, 0, 0, 'WITHSCORES')
  if first[2] then oldest = first[2] end
  local too_much = used + amount - limit
  if id ~= '' and too_much > 0 and not again then
    refused = true
    if kind == 'requests' and amount <= limit then
      enough = redis.call('ZRANGE', log, too_much - 1, too_much - 1, 'WITHSCORES')[2] or ''
    elseif kind == 'tokens' and amount <= limit then
      local entries = redis.call('ZRANGE', log, 0, -1, 'WITHSCORES')
      for j = 1, #entries, 2 do
        too_much = too_much - tonumber(redis.call('HGET', amounts, entries[j]) or '0')
        if too_much <= 0 then enough = entries[j + 1]; break end
      end
    end
  end
  table.insert(answer, tostring(used))
  table.insert(answer, oldest)
  table.insert(answer, enough)
end
if refused then answer[1] = '0' end
if id == '' or refused or again then return answer end
for i = 1, #KEYS / 2 do
  local log, amounts, at = KEYS[2 * i - 1], KEYS[2 * i], 3 + (i - 1) * 4
  local kind, period, amount = ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 4]
  local kept = math.ceil(period + lease)
  redis.call('ZADD', log, number(kind == 'concurrent' and now + lease or now), id)
  redis.call('EXPIRE', log, kept)
  if kind == 'tokens' then
    redis.call('HSET', amounts, id, amount)
    redis.call('HINCRBY', amounts, '=', amount)
    redis.call('EXPIRE', amounts, kept)
  end
end
return answer
"""
)

# KEYS: logs of requests at the same time. ARGV: now, lease, id.
_RENEW = (
    _NOW
    + """
for _, log in ipairs(KEYS) do
  redis.call('ZADD', log, 'XX', number(now + tonumber(ARGV[2])), ARGV[3])
  redis.call('EXPIRE', log, math.ceil(2 * tonumber(ARGV[2])))
end
return 1
"""
)

# KEYS as above for limits on tokens. ARGV: id, tokens.
_SETTLE = """
for i = 1, #KEYS / 2 do
  local amounts = KEYS[2 * i]
  local before = redis.call('HGET', amounts, ARGV[1])
  if before then
    redis.call('HSET', amounts, ARGV[1], ARGV[2])
    redis.call('HINCRBY', amounts, '=', string.format('%d', tonumber(ARGV[2]) - tonumber(before)))
  end
end
return 1
"""

# KEYS and ARGV as for settling, for all limits.
_UNDO = """
for i = 1, #KEYS / 2 do
  local log, amounts = KEYS[2 * i - 1], KEYS[2 * i]
  local amount = redis.call('HGET', amounts, ARGV[1])
  if amount then
    redis.call('HINCRBY', amounts, '=', string.format('%d', -tonumber(amount)))
    redis.call('HDEL', amounts, ARGV[1])
  end
  redis.call('ZREM', log, ARGV[1])
end
return 1
"""


# KEYS: the set of logs in which a worker and those before it in its place have requests under way. ARGV: what the names
# of all of them begin with, and those of the worker itself.
_FREE = """
local freed = 0
for _, log in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  for _, name in ipairs(redis.call('ZRANGE', log, 0, -1)) do
    if string.sub(name, 1, #ARGV[1]) == ARGV[1] and string.sub(name, 1, #ARGV[2]) ~= ARGV[2] then
      freed = freed + redis.call('ZREM', log, name)
    end
  end
end
return freed
"""


class RedisWindows:
    """`failures` are the exceptions that mean that Redis does not answer. Used from one event loop. `place` names the
    worker and whoever is in its place after it. `clock` None: that of Redis."""

    def __init__(
        self, url: str, *, clock: Callable[[], float] | None = None, prefix: str = _PREFIX, place: str = ""
    ) -> None:
        try:
            import redis.asyncio as client
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError
        except ModuleNotFoundError as error:
            raise ConfigError(
                "redis-url needs the Redis client; install it with: pip install 'llm-mux[redis]'"
            ) from error
        self.failures: tuple[type[BaseException], ...] = (RedisError, OSError, TimeoutError)
        pool = client.BlockingConnectionPool.from_url(
            url,
            max_connections=_MOST_CONNECTIONS,
            timeout=_TURN_S,
            decode_responses=True,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )
        self._redis: Any = client.Redis.from_pool(pool)
        self._admit = self._redis.register_script(_ADMIT)
        self._renewal = self._redis.register_script(_RENEW)
        self._settle = self._redis.register_script(_SETTLE)
        self._undo = self._redis.register_script(_UNDO)
        self._free = self._redis.register_script(_FREE)
        self._clock = clock
        self._prefix = prefix
        self._place = f"{place}:" if place else ""
        self._name = f"{self._place}{secrets.token_hex(4)}:" if place else ""
        self._noted: set[str] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._owed: deque[Callable[[], Coroutine[Any, Any, Any]]] = deque(maxlen=_MOST_OWED)
        self._leased: dict[str, list[str]] = {}
        self._renewing: asyncio.Task[None] | None = None

    def succeed(self) -> None:
        """End what those who were in this worker's place before have left under way."""
        if self._place:
            self._tell(lambda: self._free(keys=[self._places_logs], args=[self._place, self._name]))

    async def admit(self, wanted: Sequence[Charge], tokens: int) -> RedisPass | Refused:
        name = self._name + secrets.token_hex(8)
        try:
            admitted, now, found = await self._asked(name, wanted, tokens)
        except BaseException:
            # The client left, or the answer did not come: whatever the script has taken is given back.
            self.undone(name, wanted)
            raise
        self._tell_again()
        if not admitted:
            return max(_refusals(found, tokens, now), key=lambda refusal: refusal.retry_s)
        standings = tuple(_standing(c, used + c.amount(tokens), oldest or now, now) for c, (used, oldest, _) in found)
        self._lease(name, [self._log(charge) for charge in wanted if charge.kind == "concurrent"])
        return RedisPass(self, name, wanted, standings)

    async def standings(self, wanted: Sequence[Charge]) -> Sequence[Standing]:
        _, now, found = await self._asked("", wanted, 0)
        return tuple(_standing(charge, used, oldest, now) for charge, (used, oldest, _) in found)

    async def ping(self) -> None:
        """Raises one of `failures` when Redis does not answer."""
        await self._redis.ping()

    async def close(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        for name in list(self._leased):
            self.left(name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await asyncio.gather(*self._telling, return_exceptions=True)
                await self._redis.aclose()

    def settled(self, name: str, wanted: Iterable[Charge], tokens: int) -> None:
        keys = [
            key for charge in wanted if charge.kind == "tokens" for key in (self._log(charge), self._amounts(charge))
        ]
        if keys:
            self._tell(lambda: self._settle(keys=keys, args=[name, tokens]))

    def undone(self, name: str, wanted: Iterable[Charge]) -> None:
        self._leased.pop(name, None)
        keys = [key for charge in wanted for key in (self._log(charge), self._amounts(charge))]
        self._tell(lambda: self._undo(keys=keys, args=[name]))

    def left(self, name: str) -> None:
        for log in self._leased.pop(name, ()):
            self._tell(partial(self._redis.zrem, log, name))

    async def _asked(
        self, name: str, wanted: Sequence[Charge], tokens: int
    ) -> tuple[bool, float, list[tuple[Charge, tuple[int, float | None, float | None]]]]:
        keys = [key for charge in wanted for key in (self._log(charge), self._amounts(charge))]
        arguments: list[str | int | float] = [self._now(), name, LEASE_S]
        for charge in wanted:
            arguments += [charge.kind, repr(charge.period_s), charge.limit, charge.amount(tokens)]
        admitted, now, *rest = await self._admit(keys=keys, args=arguments)
        found = [
            (charge, (int(float(used)), _time(oldest), _time(enough)))
            for charge, used, oldest, enough in zip(wanted, rest[::3], rest[1::3], rest[2::3], strict=True)
        ]
        return admitted == "1", float(now), found

    def _now(self) -> str:
        return "" if self._clock is None else repr(self._clock())

    def _log(self, charge: Charge) -> str:
        return f"{self._prefix}{charge.kind}:{charge.period_s:g}:{charge.subject}"

    def _amounts(self, charge: Charge) -> str:
        return f"{self._prefix}amounts:{charge.period_s:g}:{charge.subject}"

    def _lease(self, name: str, logs: list[str]) -> None:
        if not logs:
            return
        self._leased[name] = logs
        self._note([log for log in logs if log not in self._noted])
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        """Long answers keep their place while they last."""
        while self._leased:
            await asyncio.sleep(LEASE_S / 3)
            with contextlib.suppress(*self.failures):
                for name, logs in list(self._leased.items()):
                    await self._renewal(keys=logs, args=[self._now(), LEASE_S, name])
                await self._redis.expire(self._places_logs, int(2 * LEASE_S))
        self._noted.clear()

    @property
    def _places_logs(self) -> str:
        return f"{self._prefix}place:{self._place}"

    def _note(self, logs: list[str]) -> None:
        """Where a successor is to look."""
        if self._place and logs:
            self._noted.update(logs)
            self._tell(lambda: self._redis.sadd(self._places_logs, *logs))
            self._tell(lambda: self._redis.expire(self._places_logs, int(2 * LEASE_S)))

    def _tell(self, what: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Something that no answer waits for, and that does no harm a second time."""
        task = asyncio.create_task(self._quietly(what))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _quietly(self, what: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            await what()
        except self.failures:
            self._owed.append(what)

    def _tell_again(self) -> None:
        """Redis answers: what it did not hear when it did not."""
        while self._owed:
            self._tell(self._owed.popleft())


class RedisPass:
    """A request that is under way."""

    def __init__(
        self, windows: RedisWindows, name: str, wanted: Sequence[Charge], standings: tuple[Standing, ...]
    ) -> None:
        self._windows = windows
        self._name = name
        self._wanted = wanted
        self._standings = standings

    def standings(self, count: int | None = None) -> Sequence[Standing]:
        return self._standings[:count]

    def settle(self, tokens: int) -> None:
        self._windows.settled(self._name, self._wanted, tokens)

    def leave(self) -> None:
        self._windows.left(self._name)

    def undo(self) -> None:
        self._windows.undone(self._name, self._wanted)


def _time(text: str) -> float | None:
    return float(text) if text else None


def _standing(charge: Charge, used: int, oldest: float | None, now: float) -> Standing:
    reset_s = oldest + charge.period_s - now if oldest is not None and charge.period_s else 0.0
    return Standing(charge, max(0, charge.limit - used), reset_s)


def _refusals(
    found: Sequence[tuple[Charge, tuple[int, float | None, float | None]]],
    tokens: int,
    now: float,
) -> Iterable[Refused]:
    for charge, (used, _, enough) in found:
        amount = charge.amount(tokens)
        if used + amount <= charge.limit:
            continue
        fits = amount <= charge.limit
        if not charge.period_s:
            wait = BUSY_RETRY_S if fits else 0.0
        else:
            wait = enough + charge.period_s - now if fits and enough is not None else charge.period_s
        yield Refused(charge, wait, fits)
