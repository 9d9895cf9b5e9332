"""A guide sees her own customers, a manager the store's, and nobody anyone else's."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from bot.crm import mobiles, timeline
from handlers.h5 import book
from tests.factories import NOON, TODAY, Make
from tests.fixtures_db import counting
from tests.handlers.h5.plan import care_plan, with_tasks

Enter = Callable[[Any], FlaskClient]
PART = {"HX-Request": "true"}


@pytest.fixture
def town(make: Make, session: Session) -> dict[str, Any]:
    """Two stores; in the first a manager and two guides, each with one customer."""
    store = make.store(name="南京路店")
    people: dict[str, Any] = {
        "manager": make.guide(store, is_manager=True, name="店长"),
        "mine": make.guide(store, name="张三"),
        "colleague": make.guide(store, name="李四"),
        "foreign": make.guide(name="外人"),
    }
    for who in ("mine", "colleague", "foreign"):
        people[f"{who}_contact"] = make.contact(people[who], name=f"CANARY-{who}")
    session.commit()
    return people


def seen(client: FlaskClient, contact: Any, name: str) -> set[str]:
    """By which ways this customer can be reached."""
    ways = {
        "list": name in client.get("/h5/contacts").text,
        "search": name in client.get("/h5/contacts?q=CANARY").text.replace("CANARY」", ""),
        "paging": name in client.get("/h5/contacts?after=2030-01-01T00:00:00%2B00:00~9").text,
        "page": client.get(f"/h5/contact/{contact.id}").status_code == 200,
        "words": client.get(f"/h5/words?contact={contact.id}").status_code == 200,
    }
    return {way for way, is_open in ways.items() if is_open}


def test_scope_holds_whatever_the_way(enter: Enter, town: dict[str, Any]) -> None:
    everything = {"list", "search", "paging", "page", "words"}
    expected = {
        "mine": {"mine"},
        "colleague": {"colleague"},
        "foreign": {"foreign"},
        "manager": {"mine", "colleague"},
    }
    for viewer, visible in expected.items():
        client = enter(town[viewer])
        for owner in ("mine", "colleague", "foreign"):
            found = seen(client, town[f"{owner}_contact"], f"CANARY-{owner}")
            assert found == (everything if owner in visible else set()), (viewer, owner)


def test_a_foreign_or_impossible_id_is_a_friendly_not_found(
    enter: Enter, town: dict[str, Any]
) -> None:
    client = enter(town["mine"])
    for number in (town["foreign_contact"].id, 999_999, 2**63 - 1, 2**63, 0):
        answer = client.get(f"/h5/contact/{number}")
        assert answer.status_code == 404
        assert "没有找到" in answer.text
    for number in (0, -1, 2**63, 10**30):
        assert client.get(f"/h5/words?contact={number}").status_code == 404


def test_who_has_left_is_gone_from_list_and_page(
    enter: Enter, town: dict[str, Any], session: Session, make: Make
) -> None:
    contact = make.contact()
    make.follow(town["mine"], contact, state="ended", ended_at=NOON, ended_on=TODAY)
    merged = make.contact(town["mine"], merged_into_id=town["mine_contact"].id)
    session.commit()
    client = enter(town["mine"])
    for gone in (contact, merged):
        assert client.get(f"/h5/contact/{gone.id}").status_code == 404
        assert f"/h5/contact/{gone.id}" not in client.get("/h5/contacts").text


def test_the_page_says_what_a_guide_should_know(
    enter: Enter, make: Make, session: Session, town: dict[str, Any], settings: Any
) -> None:
    contact, guide = town["mine_contact"], town["mine"]
    sealed = mobiles.seal_mobile("13800001234", settings.secret_key)
    make.member(
        contact,
        member_no="M20260001",
        level="金卡",
        points=12_345,
        mobile_sealed=sealed,
        birth_month=8,
        birth_day=15,
        birthday_is_lunar=True,
    )
    make.score(
        contact, purchase_count=2, total_spend_fen=2_080_050, stage="loyal", last_purchased_on=TODAY
    )
    make.purchase(contact, on=TODAY, amount_fen=1_280_000, name="星芒对戒")
    make.purchase(contact, on=TODAY - timedelta(days=400), refunded_fen=1_000_000, name="退掉的")
    make.assignment(contact, make.tag("价值/高净值"))
    timeline.record(session, contact.id, "wrote", "问了积分", NOON - timedelta(minutes=12))
    session.commit()
    page = enter(guide).get(f"/h5/contact/{contact.id}").text
    for words in (
        "金卡", "12,345", "¥20,800.50", "忠诚", "高净值", "¥12,800", "星芒对戒", "已全部退款",
        "138****1234", "****0001", "农历八月十五", "12 分钟前", "问了积分", "2025年10月17日",
    ):  # fmt: skip
        assert words in page, words
    assert "13800001234" not in page
    assert "M20260001" not in page


def test_a_mobile_sealed_with_another_key_costs_the_line_and_not_the_page(
    enter: Enter, make: Make, session: Session, town: dict[str, Any]
) -> None:
    sealed = mobiles.seal_mobile("13800001234", "another key")
    make.member(town["mine_contact"], mobile_sealed=sealed)
    session.commit()
    page = enter(town["mine"]).get(f"/h5/contact/{town['mine_contact'].id}")
    assert page.status_code == 200
    assert "手机" not in page.text


def test_a_manager_reads_the_tasks_of_her_guides_and_cannot_end_them(
    enter: Enter, make: Make, session: Session, town: dict[str, Any]
) -> None:
    care_plan(session, make)
    [task] = with_tasks(session, make, town["mine"], 1)
    own = enter(town["mine"]).get(f"/h5/contact/{task.contact_id}").text
    assert f"/h5/tasks/{task.id}/done" in own
    managed = enter(town["manager"]).get(f"/h5/contact/{task.contact_id}").text
    assert "三日关怀" in managed
    assert f"/h5/tasks/{task.id}/done" not in managed


def test_paging_shows_everybody_once_the_newest_first(
    enter: Enter, make: Make, session: Session
) -> None:
    store = make.store()
    manager, other = make.guide(store, is_manager=True), make.guide(store)
    for number in range(book.PAGE * 2 + 5):
        # Many begin at the same moment; some follow two guides of the store.
        contact = make.contact(other, followed_on=TODAY - timedelta(days=number // 10))
        if number % 4 == 0:
            make.follow(manager, contact, followed_on=TODAY - timedelta(days=number // 7))
    session.commit()
    for viewer, count in ((other, book.PAGE * 2 + 5), (manager, book.PAGE * 2 + 5)):
        client, path, found = enter(viewer), "/h5/contacts", []
        while path:
            html = client.get(path, headers=PART).text
            found += re.findall(r'href="/h5/contact/(\d+)"', html)
            more = re.search(r'hx-get="(/h5/contacts\?after=[^"]+)"', html)
            path = more[1].replace("&amp;", "&") if more else ""
        assert len(found) == len(set(found)) == count


def test_a_broken_place_in_the_list_is_its_beginning(enter: Enter, town: dict[str, Any]) -> None:
    client = enter(town["mine"])
    for after in ("x", "2026-01-01~1", "~", "2026-01-01T00:00:00+00:00~-1", f"9~{2**63}"):
        page = client.get("/h5/contacts", query_string={"after": after})
        assert "CANARY-mine" in page.text, after


def test_search_takes_signs_as_signs(enter: Enter, town: dict[str, Any]) -> None:
    client = enter(town["mine"])
    for wanted in ("%", "_", "\\", "'; DROP TABLE contact; --", "\0", "x" * 500):
        page = client.get("/h5/contacts", query_string={"q": wanted})
        assert page.status_code == 200
        if wanted.strip("\0"):
            assert "CANARY-mine" not in page.text


def test_the_statements_of_the_pages_do_not_grow(
    enter: Enter, make: Make, session: Session, bot: Any
) -> None:
    guide = make.guide()
    first = make.contact(guide)
    session.commit()
    client = enter(guide)
    counts = []
    for _ in range(2):
        with counting(bot.engine) as seen:
            for path in ("/h5/contacts", "/h5/contacts?q=客户", f"/h5/contact/{first.id}"):
                client.get(path)
        counts.append(seen.count)
        for _ in range(12):
            make.contact(guide)
            make.purchase(first)
            timeline.record(session, first.id, "wrote", "你好", NOON)
        session.commit()
    assert counts[0] == counts[1] <= 22
