"""The callback door answers 200 only for what is kept, and keeps it whatever is broken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text
from sqlalchemy.engine import Engine
from werkzeug.test import create_environ, run_wsgi_app

from bot import receiving
from bot.bot import Bot
from bot.db import create_database_engine
from bot.inbox import Inbox, Quarantine
from bot.wecom import callback
from bot.wecom.callback import CallbackKeys, Sealed
from handlers.callback import bp
from tests import letters
from tests.fixtures_db import counting
from tests.installation import until

STRANGE_KEYS = CallbackKeys(letters.KEYS.token, "Z" * 42 + "A", letters.KEYS.receive_id)


def app_of(bot: Bot) -> Flask:
    app = Flask("door")
    app.extensions["bot"] = bot
    app.register_blueprint(bp)
    return app


@pytest.fixture
def app(bot: Bot) -> Iterator[Flask]:
    app = app_of(bot)
    yield app
    if "receiver" in app.extensions:
        app.extensions["receiver"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def post(client: FlaskClient, sealed: Sealed) -> int:
    answer = client.post("/wecom/callback", query_string=sealed.query, data=sealed.body)
    assert answer.status_code != 200 or answer.data == b""
    return answer.status_code


def rows(bot: Bot, table: type = Inbox) -> int:
    with bot.sessions() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def away(bot: Bot) -> Bot:
    """The same bot, whose PostgreSQL does not answer."""
    nowhere = create_database_engine("postgresql://nobody@127.0.0.1:1/nothing")
    return replace(bot, engine=nowhere)


def drain(bot: Bot) -> int:
    return receiving.drain(receiving.spool_of(bot), receiving.keys_of(bot), bot.engine, bot.bells)


def test_the_address_check_is_answered_with_the_bare_echo(client):
    query = callback.seal_echo(letters.KEYS, "1234567890", timestamp=1, nonce="n")

    answer = client.get("/wecom/callback", query_string=query)

    assert (answer.status_code, answer.data) == (200, b"1234567890")
    assert client.get("/wecom/callback", query_string={**query, "nonce": "m"}).status_code == 403


def test_a_message_is_kept_before_it_is_answered_and_once_however_often_it_comes(client, bot):
    for _ in range(3):
        assert post(client, letters.sealed(letters.removed())) == 200

    with bot.sessions() as session:
        assert session.scalars(select(Inbox.seen_count)).all() == [3]


def test_a_wrong_signature_is_403_and_leaves_nothing(client, bot):
    sealed = letters.sealed(letters.removed())

    assert post(client, Sealed({**sealed.query, "msg_signature": "0" * 40}, sealed.body)) == 403
    assert rows(bot) == rows(bot, Quarantine) == 0


@pytest.mark.parametrize("body", [b"", b"hello", b"<xml></xml>", b"<xml><Encrypt>", b"\xff\xfe"])
def test_a_body_that_is_no_envelope_is_400(client, bot, body):
    assert post(client, Sealed(letters.sealed(b"<xml/>").query, body)) == 400
    assert rows(bot) == 0


def test_a_body_over_64_kib_is_413_before_anything_looks_at_it(client):
    assert post(client, Sealed({}, b"x" * (callback.BODY_LIMIT + 1))) == 413
    assert post(client, Sealed({}, b"x" * callback.BODY_LIMIT)) == 400


class Endless:
    """A body that never ends and comes in small pieces."""

    read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "read without a bound"
        self.read_bytes += min(size, 5000)
        return b"x" * min(size, 5000)


def test_a_body_that_hides_its_length_is_read_no_further_than_the_limit(app):
    environ = create_environ("/wecom/callback", method="POST")
    endless = Endless()
    environ |= {"wsgi.input": endless, "wsgi.input_terminated": True}
    environ.pop("CONTENT_LENGTH", None)

    _, status, _ = run_wsgi_app(app, environ)

    assert status.startswith("413")
    assert endless.read_bytes <= callback.BODY_LIMIT + 5000


def test_what_is_rightly_signed_but_unreadable_is_quarantined_and_answered_200(client, bot):
    assert post(client, letters.sealed(letters.removed(), STRANGE_KEYS)) == 200
    assert post(client, letters.sealed(b"this is no xml")) == 200

    assert (rows(bot), rows(bot, Quarantine)) == (0, 2)


def test_the_quarantine_comes_out_when_the_key_is_set_right(client, bot):
    post(client, letters.sealed(letters.removed("wm7"), STRANGE_KEYS))
    post(client, letters.sealed(b"this is no xml"))

    assert receiving.replay(bot.sessions, STRANGE_KEYS) == 1
    assert (rows(bot), rows(bot, Quarantine)) == (1, 1)


def test_a_message_alone_costs_one_statement(client, engine: Engine):
    post(client, letters.sealed(letters.removed("wm0")))
    with counting(engine) as seen:
        post(client, letters.sealed(letters.removed("wm1")))

    assert seen.count == 1


def test_requests_that_come_together_share_statements_and_each_learns_its_own_fate(
    app, bot, engine: Engine
):
    post(app.test_client(), letters.sealed(letters.removed("wm0")))
    # While another transaction holds the table, requests gather behind the first write.
    with ThreadPoolExecutor(40) as pool, counting(engine) as seen:
        with engine.begin() as blocker:
            blocker.execute(text("LOCK TABLE inbox IN SHARE MODE"))
            sealed = [letters.sealed(letters.removed(f"wm{n % 30}")) for n in range(40)]
            answers = [pool.submit(post, app.test_client(), one) for one in sealed]
            time.sleep(0.5)
        assert [answer.result() for answer in answers] == [200] * 40

    inserts = [statement for statement in seen.texts if "INSERT INTO inbox" in statement]
    assert len(inserts) <= 4
    with bot.sessions() as session:
        assert session.scalar(select(func.sum(Inbox.seen_count))) == 41
    assert rows(bot) == 30


def test_without_postgresql_the_message_goes_to_disk_and_later_into_the_inbox(bot):
    client = app_of(away(bot)).test_client()
    sealed = letters.sealed(letters.removed())
    assert post(client, sealed) == 200
    assert post(client, letters.sealed(letters.removed("wm2"))) == 200

    assert drain(bot) == 2
    assert (rows(bot), receiving.spool_of(bot).size()) == (2, 0)


def test_what_comes_after_the_receiver_was_closed_is_kept_on_disk(app, client, bot):
    assert post(client, letters.sealed(letters.removed("wm1"))) == 200
    before = _writers()
    app.extensions["receiver"].close()

    assert len(_writers()) == len(before) - 1
    assert post(client, letters.sealed(letters.removed("wm2"))) == 200
    assert rows(bot) == 1
    until(lambda: rows(bot) == 2)


def _writers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "inbox-writer"]


def test_a_message_in_the_spool_and_in_the_inbox_is_one_message(bot, client):
    sealed = letters.sealed(letters.removed())
    post(app_of(away(bot)).test_client(), sealed)
    post(client, sealed)
    drain(bot)

    assert rows(bot) == 1


def test_a_postgresql_that_hangs_is_not_waited_for_longer_than_two_seconds(bot, engine: Engine):
    client = app_of(bot).test_client()
    with engine.begin() as blocker:
        blocker.execute(text("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"))
        begun = time.monotonic()
        assert post(client, letters.sealed(letters.removed("wm1"))) == 200
        assert time.monotonic() - begun < 3
        begun = time.monotonic()
        assert post(client, letters.sealed(letters.removed("wm2"))) == 200
        assert time.monotonic() - begun < 0.5, "the second must not wait for what hangs"

    until(lambda: rows(bot) == 2)


def test_the_web_process_empties_its_own_spool_when_postgresql_is_back(bot, engine: Engine):
    client = app_of(bot).test_client()
    post(client, letters.sealed(letters.removed("wm0")))
    with engine.begin() as blocker:
        blocker.execute(text("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE"))
        post(client, letters.sealed(letters.removed("wm1")))

    until(lambda: receiving.spool_of(bot).size() == 0 and rows(bot) == 2)


def test_a_connection_that_was_cut_is_replaced_without_the_sender_noticing(client, bot, engine):
    post(client, letters.sealed(letters.removed("wm1")))
    with engine.begin() as killer:
        killer.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    post(client, letters.sealed(letters.removed("wm2")))

    assert rows(bot) == 2
    assert receiving.spool_of(bot).size() == 0


def test_without_postgresql_and_without_disk_the_sender_is_told_to_come_again(bot, tmp_path):
    (tmp_path / "spool").write_text("a file where the folder should be")

    assert post(app_of(away(bot)).test_client(), letters.sealed(letters.removed())) == 503


def test_many_threads_over_a_failing_database_lose_nothing(bot):
    app = app_of(away(bot))
    sealed = [letters.sealed(letters.removed(f"wm{n}")) for n in range(40)]
    stop = threading.Event()

    def drain_all_the_time() -> None:
        while not stop.wait(0.01):
            drain(bot)

    drainer = threading.Thread(target=drain_all_the_time)
    drainer.start()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: post(app.test_client(), one), sealed))
    stop.set()
    drainer.join()
    drain(bot)

    assert answers == [200] * 40
    assert rows(bot) == 40
