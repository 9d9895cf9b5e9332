"""Every address is guarded, looking changes nothing, and what people wrote stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from markupsafe import escape
from sqlalchemy import text
from sqlalchemy.orm import Session

from content_library.models import TalkingPoint, TalkingPointVariant
from handlers.h5 import guard
from tests.factories import Make
from tests.handlers.h5.plan import care_plan, state_of, with_tasks

Enter = Callable[[Any], FlaskClient]

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "{{7*7}}{% raw %}",
    "</title><b>x</b>",
    "javascript:alert(1)//",
)


class Seen(HTMLParser):
    """Which elements and attributes a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts |= {tag} | {f"{tag} {name}" for name, _ in attrs}


def parts(html: str) -> set[str]:
    seen = Seen()
    seen.feed(html)
    return seen.parts


def rules(app: Flask) -> list[Any]:
    return [rule for rule in app.url_map.iter_rules() if str(rule.endpoint).startswith("h5.")]


def test_every_address_but_the_sign_in_is_closed_to_strangers(app: Flask) -> None:
    client = app.test_client()
    closed = [rule for rule in rules(app) if rule.endpoint not in guard.OPEN]
    assert len(closed) >= 12
    for rule in closed:
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            answer = client.open(path, method=method)
            expected = 302 if method == "GET" else 401
            assert answer.status_code == expected, rule
            if method == "GET":
                assert answer.location.startswith("/h5/login?next="), rule


def test_the_open_addresses_exist(app: Flask) -> None:
    assert {rule.endpoint for rule in rules(app)} >= guard.OPEN


def test_a_post_without_the_form_token_changes_nothing(
    app: Flask, enter: Enter, make: Make, session: Session
) -> None:
    guide = make.guide()
    care_plan(session, make)
    [task] = with_tasks(session, make, guide, 1)
    client = enter(guide)
    for token in ("", "0" * 64, "中文"):
        client.environ_base.pop("HTTP_X_CSRF_TOKEN", None)
        for rule in rules(app):
            if "POST" in rule.methods:
                path = re.sub(r"<[^>]+>", str(task.id), rule.rule)
                answer = client.post(path, data={"csrf": token, "reason": "x", "day": "2026-12-01"})
                assert answer.status_code == 403, rule
    after = state_of(session, task)
    assert (after.state, after.opened_at, after.shown_at) == ("open", None, None)


def test_looking_at_every_page_twice_changes_no_row(
    enter: Enter, make: Make, session: Session
) -> None:
    guide = make.guide()
    care_plan(session, make)
    [task] = with_tasks(session, make, guide, 1)
    client = enter(guide)
    pages = pages_of(task)

    def rows() -> list[Any]:
        session.rollback()
        tables = ("task", "contact", "timeline_entry", "touch_ledger", "web_session", "audit_entry")
        return [
            session.execute(text(f"SELECT t.*, t.xmin::text FROM {one} AS t ORDER BY 1")).all()
            for one in tables
        ]

    before = rows()
    for page in pages * 2:
        assert client.get(page).status_code == 200, page
    assert rows() == before


def pages_of(task: Any) -> list[str]:
    return [
        "/h5/today",
        "/h5/today?day=2026-11-20",
        "/h5/contacts",
        "/h5/contacts?q=客",
        f"/h5/contact/{task.contact_id}",
        "/h5/words",
        "/h5/words?q=关怀",
        f"/h5/words?contact={task.contact_id}",
        f"/h5/tasks/{task.id}/skip",
        f"/h5/tasks/{task.id}/move",
    ]


def test_what_people_wrote_is_shown_and_never_becomes_markup(
    enter: Enter, make: Make, session: Session
) -> None:
    pages: dict[str, list[str]] = {}
    for name in ("plain", *PAYLOADS):
        guide = make.guide(make.store(name=f"{name}店"), name=name)
        if not pages:
            care_plan(session, make)
        [task] = with_tasks(session, make, guide, 1, name=name)
        relation = session.execute(
            text("UPDATE follow_relation SET remark = :n WHERE guide_id = :g RETURNING contact_id"),
            {"n": name, "g": guide.id},
        ).scalar_one()
        contact = task.contact_id
        assert relation == contact
        member = make.member(session.get_one(type(make.contact()), contact), level=name)
        member.points = 10
        session.execute(
            text("UPDATE timeline_entry SET text = :n WHERE contact_id = :c"),
            {"n": name, "c": contact},
        )
        session.execute(text("UPDATE purchase_line SET name = :n"), {"n": name})
        point = session.query(TalkingPoint).one()
        point.scene = name
        session.query(TalkingPointVariant).filter_by(position=0).one().text = name
        session.execute(text("UPDATE sop_step SET title = :n"), {"n": name})
        session.execute(text("UPDATE task SET words = :n WHERE id = :t"), {"n": name, "t": task.id})
        session.commit()
        client = enter(guide)
        pages[name] = [client.get(page).text for page in pages_of(task)]
    for payload in PAYLOADS:
        for plain, hostile in zip(pages["plain"], pages[payload], strict=True):
            assert parts(hostile) <= parts(plain), payload
        shown = [page for page in pages[payload] if str(escape(payload)) in page]
        assert len(shown) >= 5, payload


def test_every_answer_carries_a_policy_with_a_fresh_nonce(
    enter: Enter, make: Make, session: Session
) -> None:
    guide = make.guide()
    session.commit()
    client = enter(guide)
    nonces = set()
    for path in ("/h5/today", "/h5/contacts", "/h5/words", "/h5/contact/999", "/h5/today"):
        answer = client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        nonce = re.search(r"'nonce-([^']+)'", policy)
        assert nonce is not None
        assert f'nonce="{nonce[1]}"' in answer.text
        assert "unsafe" not in policy
        assert "style=" not in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        nonces.add(nonce[1])
    assert len(nonces) == 5
