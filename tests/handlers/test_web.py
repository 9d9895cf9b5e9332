"""Health, readiness and metrics: what a proxy, a monitor and a stranger are told."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text

from bot.db import create_database_engine
from bot.embedded import schema_version
from handlers import web


@pytest.fixture
def client(bot):
    app = Flask("test")
    web.prepare(app, bot)
    return app.test_client()


def test_a_migrated_database_is_ready(client):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.get_json()["wrong"]) == (200, [])


def test_an_old_structure_is_not_ready(client, engine):
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.get_json()["wrong"]) == (503, ["migrations"])


def test_a_newer_structure_is_served_until_the_program_is_renewed(client, engine):
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'of tomorrow'"))
    assert client.get("/readyz").status_code == 200


def test_a_database_that_was_never_migrated_is_not_ready(client, engine):
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    assert client.get("/readyz").get_json()["wrong"] == ["database"]


def test_the_scripts_are_read_as_alembic_reads_them(tmp_path):
    for number, (own, before) in enumerate(
        [
            ('revision: str = "a1"', "down_revision = None"),
            ("revision = 'b2'", 'down_revision: str | None = "a1"'),
            ("revision = 'c3'", 'down_revision = "a1"'),
            ("revision = 'd4'", 'down_revision = (\n    "b2",\n    "c3",\n)'),
        ]
    ):
        (tmp_path / f"{number}.py").write_text(f"{own}\n{before}\nbranch_labels = None\n")
    found = schema_version.scripts(tmp_path)
    assert found == schema_version.Scripts(frozenset({"a1", "b2", "c3", "d4"}), frozenset({"d4"}))
    assert schema_version.fit(frozenset({"d4"}), found) is schema_version.Fit.CURRENT
    assert schema_version.fit(frozenset({"b2"}), found) is schema_version.Fit.OLD
    assert schema_version.fit(frozenset({"e5"}), found) is schema_version.Fit.NEWER


def test_the_database_the_tests_migrated_fits(database_url):
    engine = create_database_engine(database_url)
    with engine.connect() as connection:
        found = frozenset(connection.scalars(text(schema_version.QUERY)))
    engine.dispose()
    assert schema_version.fit(found) is schema_version.Fit.CURRENT


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Forwarded-For": "127.0.0.1, ::1"}, {"X-Real-Ip": "127.0.0.1"}],
)
def test_this_machine_reads_the_metrics(client, headers):
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    assert b"# HELP" in answer.data


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-For", "203.0.113.9")],
        [("X-Forwarded-For", "127.0.0.1, 203.0.113.9")],
        [("X-Forwarded-For", "203.0.113.9, 127.0.0.1")],
        [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", "203.0.113.9")],
        [("X-Forwarded-For", "")],
        [("X-Forwarded-For", "localhost")],
        [("X-Real-Ip", "203.0.113.9")],
        [("Forwarded", "for=127.0.0.1")],
        [("Authorization", "Bearer "), ("X-Forwarded-For", "203.0.113.9")],
        [("Authorization", "Bearer \u00e9"), ("X-Forwarded-For", "203.0.113.9")],
    ],
)
def test_a_made_up_header_does_not_make_a_stranger_local(client, headers):
    assert client.get("/metrics", headers=headers).status_code == 404


def test_another_machine_reads_nothing(client):
    elsewhere = {"REMOTE_ADDR": "10.0.0.7"}
    for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}):
        answer = client.get("/metrics", headers=headers, environ_overrides=elsewhere)
        assert answer.status_code == 404


def test_the_token_opens_the_metrics_from_anywhere(client, bot):
    token = web.metrics_token(bot.settings.secret_key)
    assert bot.settings.secret_key not in token
    assert token != web.metrics_token(bot.settings.secret_key + "x")
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "203.0.113.9"}
    assert client.get("/metrics", headers=headers).status_code == 200
    headers["Authorization"] = f"Bearer {token[:-1]}"
    assert client.get("/metrics", headers=headers).status_code == 404
