"""The shape of the console: every route guarded, every write with its token, viewers only look."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from bot.db import Base
from handlers import console
from handlers.console import guard
from sop import appointments, versions
from sop.models import Lead
from tests.factories import NOON, TODAY
from tests.sop.plans import spec

#: Addresses that need an id, and what it is in these tests.
IDS = {
    "sop_id": 1,
    "version_id": 1,
    "contact_id": 1,
    "lead_id": 1,
    "appointment_id": 1,
    "step_id": 1,
    "posting_id": 1,
    "day": str(TODAY),
    "filename": "ground.css",
}


@pytest.fixture
def routes(app, session, make):
    """(rule, path, method) of every route, with one SOP, one contact, one lead, one appointment."""
    guide = make.guide()
    contact = make.contact(guide)
    appointments.by_hand(session, contact.id, guide.id, None, datetime.now(UTC))
    session.add(Lead(contact_id=contact.id, state="open", raised_at=NOON, raised_on=TODAY))
    versions.save_draft(session, "新客", spec("新客", {"kind": "followed"}), None)
    session.commit()
    found = []
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("console."):
            continue
        given = {name: IDS[name] for name in rule.arguments}
        path = app.url_map.bind("localhost").build(rule.endpoint, given)
        found += [(rule, path, method) for method in rule.methods - {"HEAD", "OPTIONS"}]
    assert len(found) > 20
    return found


def test_nothing_but_the_sign_in_answers_a_stranger(stranger, routes):
    for rule, path, method in routes:
        if rule.endpoint in guard.OPEN:
            continue
        answer = stranger.client.open(path, method=method)
        assert answer.status_code in (302, 401), rule
        assert answer.status_code == 401 or "/console/sign-in" in answer.location, rule


def test_the_open_list_and_the_viewer_list_name_real_routes(app):
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert endpoints >= guard.OPEN
    assert endpoints >= guard.VIEWER_MAY


def test_every_write_without_its_token_is_403(app, editor, routes):
    posts = [(rule, path) for rule, path, method in routes if method == "POST"]
    assert len(posts) >= 10
    for rule, path in posts:
        for form in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "错"}):
            assert editor.client.post(path, data=form).status_code == 403, rule


def test_a_viewer_changes_nothing(viewer, routes):
    for rule, path, method in routes:
        if method != "POST" or rule.endpoint in guard.VIEWER_MAY | guard.OPEN:
            continue
        assert viewer.send(path, {}).status_code == 403, rule
    assert viewer.get("/console/sops/new").status_code == 403
    assert viewer.get("/console/sops/1/edit").status_code == 403


def test_a_viewer_sees_no_button_that_would_refuse_her(viewer, routes):
    assert "新建" not in viewer.page("/console/sops/")
    page = viewer.page("/console/sops/1")
    assert "编辑" not in page
    assert "暂停" not in page
    assert "</button></form>" not in viewer.page("/console/leads/")
    assert "</button></form>" not in viewer.page("/console/appointments/")
    assert "登记退订" not in viewer.page("/console/contacts/1")


def test_every_answer_carries_the_headers(editor, stranger, routes):
    for desk in (editor, stranger):
        for rule, path, method in routes:
            if method != "GET" or rule.endpoint == "console.static":
                continue
            headers = desk.get(path).headers
            policy = headers["Content-Security-Policy"]
            assert "unsafe" not in policy, rule
            assert "frame-ancestors 'none'" in policy
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "same-origin"


def test_the_nonce_is_another_one_each_time(editor):
    policies = {editor.get("/console/").headers["Content-Security-Policy"] for _ in range(3)}
    assert len(policies) == 3


def test_reading_changes_nothing_but_the_audit_log(editor, routes, engine):
    def rows():
        found = {}
        with engine.connect() as connection:
            for name in {table.name for table in Base.metadata.sorted_tables} - OWN:
                digest = text(f"SELECT md5(string_agg(t::text, '')) FROM \"{name}\" t")
                found[name] = connection.execute(digest).scalar()
        return found

    # What a walk through the pages itself leaves behind: its audit line, its way to the QR code.
    OWN = {"audit_entry", "sign_in_state", "web_session"}
    before = rows()
    for _ in range(2):
        for _, path, method in routes:
            if method == "GET":
                editor.get(path)
    assert rows() == before


def test_the_menu_shows_the_rooms_that_exist(editor):
    page = editor.page("/console/")
    for room in console.PAGES:
        assert f">{room.label}</a>" in page


def test_a_page_that_does_not_exist_says_so_in_the_consoles_dress(editor):
    answer = editor.get("/console/sops/99999")
    assert answer.status_code == 404
    assert "没有找到" in answer.text
    assert "<nav" in answer.text


def test_static_files_are_kept_by_browsers_only_under_their_own_mark(stranger):
    assert "immutable" in stranger.get("/console/static/ground.css?v=abc").headers["Cache-Control"]
    assert stranger.get("/console/static/ground.css").headers["Cache-Control"] == "no-cache"
    assert stranger.get("/console/static/../guard.py").status_code == 404
