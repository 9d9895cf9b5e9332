"""Tokens are fetched rarely, shared, encrypted, and survive what is away."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from bot import errors
from bot.clock import Clock
from bot.db import create_database_engine, create_sessions, transaction
from bot.wecom.tokens import Token, TokenName, TokenStore, WeComToken

NAME = TokenName("ww01", "7")


class Fetcher:
    """Stands where gettoken stands: counts, and answers or fails as told."""

    def __init__(self, life: int = 7200) -> None:
        self.count = 0
        self.life = life
        self.failure: errors.WeComError | None = None
        self.pause = 0.0

    def __call__(self) -> tuple[str, int]:
        self.count += 1
        time.sleep(self.pause)
        if self.failure is not None:
            raise self.failure
        return f"CANARY-{self.count}", self.life


def move_back(sessions, **by: float) -> None:
    """Let the stored token be older."""
    delta = timedelta(**by)
    with transaction(sessions) as session:
        session.execute(
            update(WeComToken).values(
                expires_at=WeComToken.expires_at - delta,
                renew_at=WeComToken.renew_at - delta,
                fetches_paid_at=WeComToken.fetches_paid_at - delta,
            )
        )


def test_a_token_is_fetched_once_for_all_stores(sessions):
    fetch = Fetcher()
    first = TokenStore(sessions, "key").get(NAME, fetch)
    assert TokenStore(sessions, "key").get(NAME, fetch) == first == Token("CANARY-1", 1)
    assert fetch.count == 1


def test_apps_and_kinds_of_one_corp_are_kept_apart(sessions):
    fetch, store = Fetcher(), TokenStore(sessions, "key")
    names = [NAME, TokenName("ww01", "8"), TokenName("ww01", "7", "jsapi_ticket")]
    assert len({store.get(name, fetch).value for name in names}) == 3
    assert len({store.get(name, fetch).value for name in names}) == 3
    assert fetch.count == 3


def test_the_database_does_not_hold_the_token_in_clear(sessions):
    TokenStore(sessions, "key").get(NAME, Fetcher())
    with sessions() as session:
        row = session.scalars(select(WeComToken)).one()
    assert b"CANARY" not in row.ciphertext


def test_another_secret_key_fetches_anew_instead_of_failing(sessions):
    fetch = Fetcher()
    TokenStore(sessions, "old").get(NAME, fetch)
    token = TokenStore(sessions, "new").get(NAME, fetch)
    assert token == Token("CANARY-2", 2)


def test_a_token_is_renewed_when_four_fifths_of_its_life_are_over(sessions):
    fetch = Fetcher()
    TokenStore(sessions, "key").get(NAME, fetch)
    move_back(sessions, seconds=5700)
    assert TokenStore(sessions, "key").get(NAME, fetch).version == 1
    move_back(sessions, seconds=100)
    assert TokenStore(sessions, "key").get(NAME, fetch).version == 2


@pytest.mark.parametrize(
    "failure",
    [
        errors.WeComUnavailable("gettoken", None, "timeout"),
        errors.RateLimited("gettoken", 45009, "", retry_after=60),
    ],
)
def test_an_early_renewal_that_fails_leaves_the_old_token_in_use(sessions, failure):
    fetch = Fetcher()
    TokenStore(sessions, "key").get(NAME, fetch)
    move_back(sessions, seconds=6000)
    fetch.failure = failure
    assert TokenStore(sessions, "key").get(NAME, fetch).version == 1
    move_back(sessions, seconds=1300)
    store = TokenStore(sessions, "key")
    with pytest.raises(type(failure)):
        store.get(NAME, fetch)


def test_after_45009_no_token_is_asked_for_until_the_block_ends(sessions):
    fetch, store = Fetcher(), TokenStore(sessions, "key")
    fetch.failure = errors.RateLimited("gettoken", 45009, "", retry_after=60)
    for _ in range(10):
        with pytest.raises(errors.RateLimited):
            store.get(NAME, fetch)
    assert fetch.count == 1
    move_back(sessions, seconds=61)
    fetch.failure = None
    assert store.get(NAME, fetch).version == 1


def test_a_sandbox_that_lets_weeks_pass_gets_a_token_each_time(sessions, tmp_path):
    clock = Clock(tmp_path / "clock")
    fetch, store = Fetcher(), TokenStore(sessions, "key", clock)
    for week in range(1, 12):
        token = store.get(NAME, fetch, refused=week - 1)
        assert token.version == week
        clock.advance(timedelta(days=7))


def test_failing_fetches_are_rare_and_keep_their_reason(sessions):
    fetch, store = Fetcher(), TokenStore(sessions, "key")
    fetch.failure = errors.NotConfigured("gettoken", 40001, "")
    began = time.monotonic()
    for _ in range(30):
        with pytest.raises(errors.NotConfigured):
            store.get(NAME, fetch)
    # One more is allowed for every three seconds that went by meanwhile on a slow machine.
    assert 5 <= fetch.count <= 5 + (time.monotonic() - began) // 3
    fetch.failure = None
    move_back(sessions, seconds=3)
    assert store.get(NAME, fetch).value == f"CANARY-{fetch.count}"
    assert fetch.count > 5


def test_a_refused_token_that_somebody_already_replaced_is_not_fetched_again(sessions):
    fetch = Fetcher()
    ours, theirs = TokenStore(sessions, "key"), TokenStore(sessions, "key")
    old = ours.get(NAME, fetch)
    theirs.get(NAME, fetch)
    new = theirs.get(NAME, fetch, refused=old.version)
    assert ours.get(NAME, fetch, refused=old.version) == new
    assert fetch.count == 2


def test_two_refreshers_never_go_back_a_version(sessions):
    fetch = Fetcher()
    fetch.pause = 0.02
    stores = [TokenStore(sessions, "key") for _ in range(8)]
    old = stores[0].get(NAME, fetch)
    start = threading.Barrier(8)

    def renew(store: TokenStore) -> Token:
        start.wait(10)
        return store.get(NAME, fetch, refused=old.version)

    with ThreadPoolExecutor(8) as pool:
        renewed = set(pool.map(renew, stores))
    assert renewed == {Token("CANARY-2", 2)}


def test_a_remembered_token_outlives_a_database_that_is_away(sessions, database_url):
    engine = create_database_engine(database_url)
    store, fetch = TokenStore(create_sessions(engine), "key"), Fetcher()
    token = store.get(NAME, fetch)
    away = create_sessions(create_database_engine("postgresql://nobody@127.0.0.1:1/none"))
    store._sessions = away
    assert store.get(NAME, fetch) == token
    other = TokenStore(away, "key")
    with pytest.raises(errors.WeComUnavailable) as caught:
        other.get(NAME, fetch)
    assert caught.value.__context__ is None
    engine.dispose()


def test_a_token_does_not_print_itself():
    assert "CANARY" not in repr(Token("CANARY", 1))
    assert "CANARY" not in str(Token("CANARY", 1))


def test_the_life_that_wecom_promises_is_what_is_stored(sessions):
    TokenStore(sessions, "key").get(NAME, Fetcher(life=1000))
    with sessions() as session:
        left = session.scalar(
            select(func.extract("epoch", WeComToken.expires_at - func.clock_timestamp()))
        )
    assert 990 < left <= 1000
