"""What the triggers of rewards, carts, visits, leads and the calendar find, and when no more."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import text

from bot.errors import UserError
from sop import triggers, why
from sop.lead_signals import BEHAVIORS
from tests.sop import facts
from tests.sop.plans import TODAY, days_ago, night, publish, spec, step, tasks

NEXT_WEEK = TODAY + timedelta(days=7)


def found(session, trigger, first=TODAY, last=TODAY):
    rows = session.execute(triggers.of(trigger).due(first, last, trigger)).all()
    return [(row.contact_id, row.anchored_on, row.fact) for row in rows]


def days(session, trigger, first, last):
    return triggers.of(trigger).days(session, first, last, trigger)


def test_a_wedding_day_comes_every_year_and_asked_years_only_count_the_known(session, make):
    known, unknown = make.contact(make.guide()), make.contact(make.guide())
    make.member(known, wedding_year=2016, wedding_month=11, wedding_day=21)
    make.member(unknown, wedding_month=11, wedding_day=21)
    plain = {"kind": "wedding_anniversary"}
    fact = "11月21日 结婚纪念日"
    assert sorted(found(session, plain)) == sorted(
        [(known.id, TODAY, fact), (unknown.id, TODAY, fact)]
    )
    assert found(session, {**plain, "years": [10]}) == [(known.id, TODAY, fact)]
    assert found(session, {**plain, "years": [1, 9]}) == []


def test_the_wedding_itself_is_no_anniversary_and_29_february_is_kept_on_the_28th(session, make):
    contact = make.contact(make.guide())
    make.member(contact, wedding_year=2028, wedding_month=2, wedding_day=29)
    window = date(2028, 2, 1), date(2029, 3, 31)
    rows = found(session, {"kind": "wedding_anniversary"}, *window)
    assert [on for _, on, _ in rows] == [date(2029, 2, 28)]


def test_the_day_of_joining_comes_back_in_later_years(session, make):
    contact = make.contact(make.guide())
    make.member(contact, registered_on=date(2024, 11, 21))
    plain = {"kind": "member_anniversary"}
    assert found(session, plain) == [(contact.id, TODAY, "2024年11月21日 入会")]
    assert found(session, {**plain, "years": [2]}) != []
    assert found(session, {**plain, "years": [1]}) == []


def test_asked_years_of_a_purchase_leave_out_the_others(session, make):
    contact = make.contact(make.guide())
    make.purchase(contact, on=date(2025, 11, 21))
    plain = {"kind": "purchase_anniversary"}
    assert found(session, {**plain, "years": [1, 3]}) != []
    assert found(session, {**plain, "years": [2]}) == []


def test_a_full_cart_counts_until_it_is_bought_or_emptied(session, make):
    contact = make.contact(make.guide())
    kept = facts.cart(session, contact, TODAY)
    plain = {"kind": "cart_open"}
    assert found(session, plain) == [(contact.id, TODAY, "11月21日 加购了星光对戒")]
    assert found(session, {**plain, "category": "对戒", "min_fen": 500_000}) != []
    assert found(session, {**plain, "category": "项链"}) == []
    assert found(session, {**plain, "min_fen": 500_001}) == []
    bought = make.purchase(contact, on=TODAY)
    assert found(session, plain) == []
    bought.refunded_fen = bought.amount_fen
    session.flush()
    assert found(session, plain) != []
    kept.state = "removed"
    session.flush()
    assert found(session, plain) == []


def test_a_coupon_is_found_by_its_last_day_until_it_is_used(session, make):
    contact = make.contact(make.guide())
    given = facts.coupon(
        session,
        contact,
        issued_on=TODAY,
        issued_at=facts.moment(TODAY),
        expires_on=NEXT_WEEK,
    )
    ends, came = {"kind": "coupon_expiring"}, {"kind": "coupon_received"}
    window = (TODAY, NEXT_WEEK)
    assert found(session, ends, *window) == [(contact.id, NEXT_WEEK, "生日礼券 ¥200 11月28日 到期")]
    assert found(session, came) == [(contact.id, TODAY, "11月21日 收到 生日礼券 ¥200")]
    assert found(session, {**ends, "template": "别的券"}, *window) == []
    given.state = "redeemed"
    session.flush()
    assert found(session, ends, *window) == []
    assert found(session, came) == []


def test_points_of_a_day_count_together(session, make):
    contact = make.contact(make.guide())
    for delta in (300, 900):
        facts.points(session, contact, TODAY, delta, expires_on=NEXT_WEEK)
    facts.points(session, contact, TODAY, 50, expires_on=NEXT_WEEK, remaining=0)
    ends, came = {"kind": "points_expiring"}, {"kind": "points_received"}
    assert found(session, ends, TODAY, NEXT_WEEK) == [
        (contact.id, NEXT_WEEK, "1200 积分 11月28日 到期")
    ]
    assert found(session, {**ends, "min_points": 1201}, TODAY, NEXT_WEEK) == []
    assert found(session, came) == [(contact.id, TODAY, "11月21日 到账 1250 积分")]
    assert found(session, {**came, "min_points": 1251}) == []


def test_idle_counts_from_the_last_purchase(session, make):
    contact = make.contact(make.guide())
    make.score(contact, last_purchased_on=days_ago(90))
    assert found(session, {"kind": "idle", "days": 90}) == [
        (contact.id, TODAY, "8月23日 之后 90 天没有再买")
    ]
    assert found(session, {"kind": "idle", "days": 89}) == []


def test_a_risk_is_found_by_its_first_day_and_by_its_reason(session, make):
    contact = make.contact(make.guide())
    make.score(contact, at_risk_since=TODAY, risk="gap")
    fact = "11月21日 起有流失风险：很久没有再买"
    assert found(session, {"kind": "at_risk"}) == [(contact.id, TODAY, fact)]
    assert found(session, {"kind": "at_risk", "reason": "spend"}) == []


def test_who_deleted_her_last_guide_is_lost_and_who_has_another_is_not(session, make):
    gone, kept = make.contact(), make.contact(make.guide())
    left = {"state": "ended", "ended_on": TODAY, "ended_at": facts.moment(TODAY)}
    for contact in (gone, kept):
        make.follow(make.guide(), contact, followed_on=days_ago(9), ended_by="customer", **left)
    gone.guide_id = None
    removed = make.contact()
    make.follow(make.guide(), removed, followed_on=days_ago(9), ended_by="guide", **left)
    removed.guide_id = None
    session.flush()
    assert found(session, {"kind": "lost"}) == [(gone.id, TODAY, "11月21日 删除了导购好友")]


def test_a_visit_is_found_by_store_and_kind(session, make):
    contact, store = make.contact(make.guide()), make.store(code="S1")
    facts.visit(session, contact, TODAY, store_id=store.id, kind="活动")
    plain = {"kind": "visited"}
    assert found(session, plain) == [(contact.id, TODAY, "11月21日 到访（活动）")]
    assert found(session, {**plain, "store": "S1", "visit_kind": "活动"}) != []
    assert found(session, {**plain, "visit_kind": "到店"}) == []
    make.store(code="S2")
    assert found(session, {**plain, "store": "S2"}) == []


def test_a_lead_is_found_while_it_lives(session, make):
    contact = make.contact(make.guide())
    raised = facts.lead(session, contact, TODAY)
    assert found(session, {"kind": "lead_raised"}) == [(contact.id, TODAY, "11月21日 有新线索")]
    assert found(session, {"kind": "lead_raised", "hot": True}) == []
    raised.state = "won"
    session.flush()
    assert found(session, {"kind": "lead_raised"}) == []


def test_an_appointment_is_found_while_it_is_booked(session, make):
    contact = make.contact(make.guide())
    booked = facts.appointment(session, contact, NEXT_WEEK)
    window = (TODAY, NEXT_WEEK)
    assert found(session, {"kind": "appointment"}, *window) == [
        (contact.id, NEXT_WEEK, "11月28日 15:00 预约到店")
    ]
    booked.state = "cancelled"
    session.flush()
    assert found(session, {"kind": "appointment"}, *window) == []


def test_every_has_its_own_days_and_the_31st_is_the_last_day_of_a_month(session, make):
    contact = make.contact(make.guide())
    make.contact()
    weekly = {"kind": "every", "each": "week", "weekday": 3}
    window = date(2027, 1, 30), date(2027, 3, 1)
    wednesdays = [date(2027, 2, day) for day in (3, 10, 17, 24)]
    assert days(session, weekly, *window) == wednesdays
    assert [on for _, on, _ in found(session, weekly, *window)] == wednesdays
    assert {who for who, _, _ in found(session, weekly, *window)} == {contact.id}
    monthly = {"kind": "every", "each": "month", "month_day": 31}
    assert days(session, monthly, *window) == [date(2027, 1, 31), date(2027, 2, 28)]
    daily = {"kind": "every", "each": "day", "from": "2027-02-27", "until": "2027-02-28"}
    assert days(session, daily, *window) == [date(2027, 2, 27), date(2027, 2, 28)]


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ({"kind": "every"}, "要填周期"),
        ({"kind": "every", "each": "year"}, "要是其中之一"),
        ({"kind": "every", "each": "week"}, "要填星期几"),
        ({"kind": "every", "each": "week", "weekday": 8}, "1 到 7"),
        ({"kind": "every", "each": "day", "month_day": 3}, "不用填几号"),
        ({"kind": "every", "each": "day", "from": "2027-02-02", "until": "2027-02-01"}, "不能晚于"),
        ({"kind": "idle"}, "要填多少天没有再买"),
        ({"kind": "idle", "days": 0}, "1 到 3650"),
        ({"kind": "wedding_anniversary", "years": [0]}, "1 到 60"),
        ({"kind": "wedding_anniversary", "years": []}, "[1, 3]"),
        ({"kind": "at_risk", "reason": "bored"}, "要是其中之一"),
        ({"kind": "lead_raised", "hot": 1}, "true 或 false"),
        ({"kind": "lead_raised", "behavior": "asked"}, "要是其中之一：viewed（看了素材）"),
        ({"kind": "visited", "store": "S9"}, "没有「S9」这个门店"),
        ({"kind": "coupon_expiring", "template": "券" * 101}, "最多 100 个字"),
    ],
)
def test_a_wrong_input_is_refused_with_one_sentence(trigger, words):
    with pytest.raises(UserError) as error:
        triggers.check(trigger, {"store": {"S1"}})
    assert words in error.value.message_zh


def test_the_behavior_of_a_lead_is_said_in_words_and_not_by_its_key():
    kept = triggers.check({"kind": "lead_raised", "behavior": "asked_custom"}, {})
    assert triggers.of(kept).sentence(kept) == "出现线索（问到定制）"
    [behavior] = [one for one in triggers.of(kept).fields if one.key == "behavior"]
    assert behavior.options.keys() == BEHAVIORS.keys()


def test_every_trigger_says_how_often_a_customer_meets_it():
    assert all(entry.once_per for entry in triggers.TRIGGERS.values())
    calendar = {key for key, entry in triggers.TRIGGERS.items() if entry.is_calendar}
    assert calendar == {"festival", "date", "every"}


INDEXED = {
    "idle": ({"days": 90}, "contact_score"),
    "at_risk": ({}, "contact_score"),
    "cart_open": ({}, "cart"),
    "coupon_expiring": ({}, "coupon"),
    "coupon_received": ({}, "coupon"),
    "points_expiring": ({}, "points_change"),
    "points_received": ({}, "points_change"),
    "wedding_anniversary": ({}, "member"),
    "member_anniversary": ({}, "member"),
    "lost": ({}, "follow_relation"),
    "visited": ({}, "visit"),
    "lead_raised": ({}, "lead"),
    "appointment": ({}, "appointment"),
}


def test_every_window_of_facts_is_read_by_an_index(session):
    session.execute(text("SET LOCAL enable_seqscan = off"))
    session.execute(text("SET LOCAL enable_bitmapscan = off"))
    for kind, (given, table) in INDEXED.items():
        trigger = {"kind": kind, **given}
        query = triggers.of(trigger).due(days_ago(3), TODAY, trigger)
        compiled = query.compile(session.connection(), compile_kwargs={"literal_binds": True})
        rows = session.execute(text("EXPLAIN " + str(compiled).replace(":", "\\:")))
        plan = "\n".join(row[0] for row in rows)
        assert f"Seq Scan on {table}" not in plan, kind
        assert "Index" in plan, kind


def test_the_day_of_a_rhythm_is_told_as_a_day(session, make):
    contact = make.contact(make.guide())
    publish(session, spec("每周", {"kind": "every", "each": "week", "weekday": 6}, step("问候")))
    night(session)
    (task,) = tasks(session, "open")
    assert task.contact_id == contact.id
    assert why.line(task.why, TODAY) == "11月21日，就在今天 · 每周 v1"
