"""One rate limiter for all processes (频率限制): GCRA in Redis, and in PostgreSQL without it.

A limit promises "at most `count` in any `per` seconds" (not only in the platform's own minute):
it is a bucket of `burst` that refills at (count - burst) per `per`. All limits of one call are
taken together or not at all, in one Lua call. When Redis is away the same arithmetic runs on rows
of PostgreSQL; the change of store can add one `burst` once, which the fifth that we stay under
WeCom's own limits has room for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from sqlalchemy import BigInteger, String, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from bot.db import Base, transaction

# After a failure Redis is left alone for this long, so that a broken one does not cost every call
# its timeout.
_REDIS_REST_SECONDS = 5.0
# A call waits no longer than this for Redis; the database answers in some milliseconds.
_REDIS_PATIENCE_SECONDS = 0.5
# What of a given client says which server it talks to, and as whom.
_CONNECTION_SETTINGS = (
    "host",
    "port",
    "path",
    "db",
    "username",
    "password",
    "credential_provider",
    "ssl_ca_certs",
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "ssl_certfile",
    "ssl_keyfile",
)
# What to answer when neither store answers: nothing may pass uncounted.
_NO_STORE_SECONDS = 1.0


@dataclass(frozen=True)
class Limit:
    """At most `count` in any `per` seconds; of these `burst` at once (default: a fifth)."""

    key: str
    per: float
    count: int
    burst: int | None = None

    @property
    def at_once(self) -> int:
        """How many may pass in one moment."""
        return max(1, min(self.burst or self.count // 5, self.count - 1))

    @property
    def interval_us(self) -> int:
        """Microseconds in which one call is earned back, rounded up."""
        earned = max(1, self.count - self.at_once)
        return -int(-self.per * 1_000_000 // earned)

    @property
    def tolerance_us(self) -> int:
        """How far ahead of the even pace a burst may run."""
        return self.interval_us * (self.at_once - 1)

    @property
    def bucket(self) -> str:
        """The key of this limit's state; one API has one for the minute and one for the hour."""
        return f"rate:{self.key}:{self.per:g}"


@dataclass(frozen=True)
class Documented:
    """A limit as WeCom documents it, and the share of it that we use."""

    per: float
    count: int
    burst: int | None = None

    def on(self, key: str) -> Limit:
        """This limit for one API of one corp, or one member."""
        return Limit(key, self.per, self.count, self.burst)


# developer.work.weixin.qq.com/document/path/90454: 10,000 a minute and 150,000 an hour per corp
# and API (we use 80 %), and 30 a minute and 1,000 an hour per member for message/send, which
# drops what is above without an error (we use two thirds: with one burst more it is still under).
LIMITS: dict[str, tuple[Documented, ...]] = {
    "api": (Documented(60, 8_000), Documented(3600, 120_000)),
    "member": (Documented(60, 20, burst=10), Documented(3600, 800, burst=100)),
}
# Limits that one API has besides these. Moments: 10 a minute and 100,000 a month per corp
# (developer.work.weixin.qq.com/document/path/95094); we use 80 %.
OWN_LIMITS: dict[str, tuple[Documented, ...]] = {
    "externalcontact/add_moment_task": (
        Documented(60, 8, burst=2),
        Documented(30 * 86400, 80_000, burst=1_000),
    ),
}
# message/send is not counted in the frequency per API; gettoken is asked for once in two hours.
UNCOUNTED = frozenset({"message/send"})
# At most this many at once per process; mark_tag is where 45033 (too many at once) was met.
CONCURRENCY: dict[str, int] = {"externalcontact/mark_tag": 4}
# How long an API rests after 45009 for the first, second … time in a row: we are not told which
# window was hit, the minute (60 s), the hour or the day.
BLOCK_SECONDS: tuple[float, ...] = (60.0, 300.0, 1500.0, 3600.0)


class RateBucket(Base):
    """The fallback's state: `tat_us` is the moment, in Unix microseconds, the bucket is full."""

    __tablename__ = "rate_bucket"

    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    tat_us: Mapped[int] = mapped_column(BigInteger)


# KEYS: the buckets, then the blocks. ARGV: how many buckets, then interval and tolerance of each.
# Times are whole microseconds; doubles hold them exactly, but only %.0f prints them so.
_LUA = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local buckets = tonumber(ARGV[1])
local wait = 0
for i = buckets + 1, #KEYS do
  local left = redis.call('PTTL', KEYS[i])
  if left > 0 then wait = math.max(wait, left * 1000) end
end
local tats = {}
for i = 1, buckets do
  local interval, tolerance = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local tat = math.max(tonumber(redis.call('GET', KEYS[i]) or '0'), now)
  wait = math.max(wait, tat - tolerance - now)
  tats[i] = tat + interval
end
if wait > 0 then return string.format('%.0f', wait) end
for i = 1, buckets do
  local life = math.ceil((tats[i] - now) / 1000) + 1
  redis.call('SET', KEYS[i], string.format('%.0f', tats[i]), 'PX', life)
end
return '0'
"""


class Limiter:
    """Grants calls; `redis` may be None. Safe to share between threads."""

    def __init__(self, redis: Redis | None, sessions: sessionmaker[Session]) -> None:
        self._redis = None if redis is None else _impatient(redis)
        self._script: Any = None if self._redis is None else self._redis.register_script(_LUA)
        self._sessions = sessions
        self._rest_until = 0.0
        self._lock = threading.Lock()

    def acquire(self, limits: Sequence[Limit]) -> float:
        """Take one from each limit, or from none: 0.0 is granted, else the seconds to wait."""
        if not limits:
            return 0.0
        unique = {limit.bucket: limit for limit in limits}
        # One order for everybody, so that two processes never lock rows crosswise.
        ordered = [unique[bucket] for bucket in sorted(unique)]
        if self._redis_usable():
            try:
                return self._acquire_redis(ordered)
            except (RedisError, OSError):
                self._rest_redis()
        try:
            return self._acquire_database(ordered)
        except SQLAlchemyError:
            return _NO_STORE_SECONDS

    def block(self, api_key: str, seconds: float) -> None:
        """Let nothing under this key pass for that long, whatever its buckets say."""
        key = _block_key(api_key)
        if self._redis_usable():
            try:
                self._set_block(key, seconds)
            except (RedisError, OSError):
                self._rest_redis()
        # The database hears of it in any case: Redis may be gone when it matters.
        try:
            with transaction(self._sessions) as session:
                until = _database_now(session) + int(seconds * 1_000_000)
                row = insert(RateBucket).values(key=key, tat_us=until)
                session.execute(
                    row.on_conflict_do_update(
                        index_elements=[RateBucket.key], set_={"tat_us": row.excluded.tat_us}
                    )
                )
        except SQLAlchemyError:
            return

    def close(self) -> None:
        """Close the connections to Redis; a later call opens new ones."""
        if self._redis is not None:
            self._redis.close()

    def _set_block(self, key: str, seconds: float) -> None:
        if self._redis is not None:
            self._redis.set(key, "1", px=max(1, int(seconds * 1000)))

    def _redis_usable(self) -> bool:
        return self._redis is not None and time.monotonic() >= self._rest_until

    def _rest_redis(self) -> None:
        with self._lock:
            self._rest_until = time.monotonic() + _REDIS_REST_SECONDS

    def _acquire_redis(self, limits: Sequence[Limit]) -> float:
        blocks = sorted({_block_key(limit.key) for limit in limits})
        numbers: list[int] = [len(limits)]
        for limit in limits:
            numbers += [limit.interval_us, limit.tolerance_us]
        answer = self._script(keys=[limit.bucket for limit in limits] + blocks, args=numbers)
        return int(answer) / 1_000_000

    def _acquire_database(self, limits: Sequence[Limit]) -> float:
        blocks = {_block_key(limit.key) for limit in limits}
        keys = [limit.bucket for limit in limits]
        with transaction(self._sessions) as session:
            # Losing the last moments of these counts in a crash is better than a sync per call.
            session.execute(text("SET LOCAL synchronous_commit = off"))
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            session.execute(
                insert(RateBucket)
                .values([{"key": key, "tat_us": 0} for key in keys])
                .on_conflict_do_nothing()
            )
            locked = session.execute(
                select(RateBucket.key, RateBucket.tat_us)
                .where(RateBucket.key.in_(keys))
                .order_by(RateBucket.key)
                .with_for_update()
            )
            tats = {row.key: row.tat_us for row in locked}
            blocked = session.scalars(select(RateBucket.tat_us).where(RateBucket.key.in_(blocks)))
            until = max(blocked, default=0)
            now = _database_now(session)
            wait, fresh = until - now, []
            for limit in limits:
                tat = max(tats[limit.bucket], now)
                wait = max(wait, tat - limit.tolerance_us - now)
                fresh.append({"key": limit.bucket, "tat_us": tat + limit.interval_us})
            if wait > 0:
                return wait / 1_000_000
            row = insert(RateBucket).values(fresh)
            session.execute(
                row.on_conflict_do_update(
                    index_elements=[RateBucket.key], set_={"tat_us": row.excluded.tat_us}
                )
            )
        return 0.0


def _impatient(redis: Redis) -> Redis:
    """The same server without patience: by itself the client tries a dead one for 5 seconds."""
    pool = redis.connection_pool
    given = pool.connection_kwargs
    kept = {name: given[name] for name in _CONNECTION_SETTINGS if name in given}
    if "path" not in kept:
        kept["socket_connect_timeout"] = _REDIS_PATIENCE_SECONDS
    return Redis(
        connection_pool=ConnectionPool(
            connection_class=pool.connection_class,
            socket_timeout=_REDIS_PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),
            **kept,
        )
    )


def _block_key(api_key: str) -> str:
    return f"block:{api_key}"


def _database_now(session: Session) -> int:
    # The database's clock, because processes on several machines share these rows.
    moment = session.scalar(select(func.extract("epoch", func.clock_timestamp())))
    return int(moment * 1_000_000) if moment is not None else 0
