"""What each trigger finds, and what it must not find."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from bot.crm.models import FestivalDay
from bot.crm.yearly import earlier_years, kept_between
from bot.errors import UserError
from sop import triggers
from tests.sop.plans import TODAY, days_ago


def found(session, trigger, first=TODAY, last=TODAY):
    entry = triggers.of(trigger)
    rows = session.execute(entry.due(first, last, trigger)).all()
    return [(row.contact_id, row.anchored_on, row.fact) for row in rows]


def test_a_purchase_counts_by_category_and_by_what_was_really_paid(session, make):
    contact = make.contact(make.guide())
    make.purchase(contact, on=TODAY, category="对戒", amount_fen=500_000, refunded_fen=100_000)
    fact = "11月21日 买过对戒"
    assert found(session, {"kind": "purchased"}) == [(contact.id, TODAY, fact)]
    assert found(session, {"kind": "purchased", "category": "对戒"}) == [(contact.id, TODAY, fact)]
    assert found(session, {"kind": "purchased", "category": "项链"}) == []
    assert found(session, {"kind": "purchased", "min_fen": 400_000})
    assert not found(session, {"kind": "purchased", "min_fen": 400_001})


def test_a_purchase_given_back_whole_triggers_nothing(session, make):
    contact = make.contact(make.guide())
    make.purchase(contact, on=TODAY, amount_fen=500_000, refunded_fen=500_000)
    year_ago = TODAY.replace(year=2025)
    make.purchase(contact, on=year_ago, amount_fen=500_000, refunded_fen=500_000)
    assert found(session, {"kind": "purchased"}) == []
    assert found(session, {"kind": "purchase_anniversary"}) == []


def test_a_purchase_anniversary_comes_every_later_year(session, make):
    contact = make.contact(make.guide())
    make.purchase(contact, on=TODAY.replace(year=2023))
    fact = "2023年11月21日 买过对戒"
    assert found(session, {"kind": "purchase_anniversary"}) == [(contact.id, TODAY, fact)]
    assert found(session, {"kind": "purchase_anniversary"}, *[TODAY + timedelta(days=1)] * 2) == []


def test_a_birthday_on_29_february_is_kept_on_the_28th_in_other_years(session, make):
    contact = make.contact(make.guide())
    make.member(contact, birth_month=2, birth_day=29)
    days = date(2027, 2, 25), date(2027, 3, 3)
    assert [on for _, on, _ in found(session, {"kind": "birthday"}, *days)] == [date(2027, 2, 28)]
    leap = date(2028, 2, 25), date(2028, 3, 3)
    assert [on for _, on, _ in found(session, {"kind": "birthday"}, *leap)] == [date(2028, 2, 29)]


def test_a_purchase_on_29_february_has_its_anniversary_on_the_28th(session, make):
    contact = make.contact(make.guide())
    make.purchase(contact, on=date(2024, 2, 29))
    days = date(2026, 2, 25), date(2026, 3, 3)
    rows = found(session, {"kind": "purchase_anniversary"}, *days)
    assert [on for _, on, _ in rows] == [date(2026, 2, 28)]


def test_a_lunar_birthday_is_kept_by_the_lunar_calendar(session, make):
    contact = make.contact(make.guide())
    make.member(contact, birth_month=8, birth_day=15, birthday_is_lunar=True)
    rows = found(session, {"kind": "birthday"}, date(2026, 9, 1), date(2026, 10, 10))
    assert [on for _, on, _ in rows] == [date(2026, 9, 25)]


def test_every_yearly_date_is_kept_exactly_once_a_year():
    for year in (2024, 2025, 2026, 2027):
        kept = kept_between(date(year, 1, 1), date(year, 12, 31))
        solar = [(k.month, k.day) for k in kept if not k.is_lunar]
        assert len(solar) == len(set(solar)) == 366
        # Twelve lunar months of thirty days, counted from one new year to the next.
    first, last = date(2025, 1, 29), date(2026, 2, 16)  # a year with a leap sixth month
    lunar = [(k.month, k.day) for k in kept_between(first, last) if k.is_lunar]
    assert sorted(lunar) == [(m, d) for m in range(1, 13) for d in range(1, 31)]


def test_earlier_years_pair_every_day_with_the_same_day_before():
    pairs = earlier_years(date(2027, 2, 27), date(2027, 3, 1))
    assert (date(2027, 2, 28), date(2024, 2, 29)) in pairs
    assert (date(2027, 3, 1), date(2026, 3, 1)) in pairs
    assert all(source < kept for kept, source in pairs)


def test_a_stage_is_found_while_it_lasts(session, make):
    contact = make.contact(make.guide())
    make.score(contact, stage="dormant", stage_since_on=TODAY)
    trigger = {"kind": "stage_entered", "stage": "dormant"}
    assert found(session, trigger) == [(contact.id, TODAY, "11月21日 进入沉睡阶段")]
    make.score(contact, stage="active")
    assert found(session, trigger) == []


def test_a_tag_is_found_while_it_is_on(session, make):
    contact, tag = make.contact(make.guide()), make.tag("价值/高净值")
    given = make.assignment(contact, tag, on=TODAY)
    trigger = {"kind": "tag_added", "tag": "价值/高净值"}
    assert found(session, trigger) == [(contact.id, TODAY, "11月21日 打上标签「价值/高净值」")]
    given.is_on = False
    session.flush()
    assert found(session, trigger) == []


def test_a_festival_and_a_date_are_for_everyone_somebody_follows(session, make):
    followed, _ = make.contact(make.guide()), make.contact()
    session.add(FestivalDay(name="七夕", held_on=date(2027, 8, 8)))
    session.flush()
    days = date(2027, 8, 1), date(2027, 8, 10)
    rows = found(session, {"kind": "festival", "name": "七夕"}, *days)
    assert rows == [(followed.id, date(2027, 8, 8), "七夕 8月8日")]
    fixed = {"kind": "date", "on": TODAY.isoformat()}
    assert found(session, fixed) == [(followed.id, TODAY, "11月21日")]


def test_a_handed_over_customer_is_no_new_friend(session, make):
    contact = make.contact()
    make.follow(make.guide(), contact, followed_on=TODAY, add_way=202)
    assert found(session, {"kind": "followed"}, days_ago(3), TODAY) == []


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (None, "请选择触发条件"),
        ({"kind": "folowed"}, "是不是「followed」"),
        ({"kind": "followed", "stage": "new"}, "没有「stage」这一项"),
        ({"kind": "stage_entered"}, "要填阶段"),
        ({"kind": "stage_entered", "stage": "dorment"}, "是不是「dormant」"),
        ({"kind": "tag_added", "tag": "价值/没有"}, "没有「价值/没有」这个标签"),
        ({"kind": "festival", "name": "春分"}, "没有「春分」这个节日"),
        ({"kind": "date", "on": "11月11日"}, "2026-11-11"),
        ({"kind": "purchased", "min_fen": -1}, "正整数"),
        ({"kind": "purchased", "min_fen": True}, "正整数"),
        ({"kind": "purchased", "category": ["对戒"]}, "要是文字"),
    ],
)
def test_a_wrong_trigger_is_refused_with_one_sentence(trigger, words):
    known = {"tag": {"价值/高净值"}, "festival": {"春节"}, "category": ()}
    with pytest.raises(UserError) as error:
        triggers.check(trigger, known)
    assert words in error.value.message_zh


def test_every_trigger_can_be_read_aloud():
    inputs = {"stage": "new", "tag": "a/b", "name": "春节", "on": "2026-11-11"}
    inputs |= {"days": 90, "each": "day"}
    for key, entry in triggers.TRIGGERS.items():
        filled = {field.key: inputs[field.key] for field in entry.fields if field.is_required}
        assert entry.key == key
        assert entry.sentence({"kind": key, **filled})
        assert bool(entry.noun({"kind": key, **filled})) == entry.is_fixed


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ({"kind": "purchased"}, "消费"),
        ({"kind": "purchased", "category": "对戒", "store": "S1"}, "在门店 S1 购买对戒"),
        ({"kind": "purchased", "min_fen": 500_000}, "消费，实付不少于 ¥5,000"),
        ({"kind": "purchase_anniversary"}, "购买满周年"),
        (
            {"kind": "purchase_anniversary", "category": "对戒", "years": [1, 3]},
            "购买对戒满周年（第 1、3 年）",
        ),
        ({"kind": "member_anniversary", "years": [1]}, "客户入会满周年（第 1 年）"),
        ({"kind": "festival", "name": "520"}, "5月20日（520）当天"),
        ({"kind": "festival", "name": "1111"}, "11月11日（1111）当天"),
        ({"kind": "festival", "name": "七夕"}, "七夕当天"),
        ({"kind": "date", "on": "2026-11-11"}, "2026年11月11日当天"),
        ({"kind": "cart_open"}, "加购后还没有买"),
        (
            {"kind": "cart_open", "category": "对戒", "min_fen": 500_000},
            "加购对戒后还没有买，购物车不少于 ¥5,000",
        ),
        ({"kind": "points_expiring", "min_points": 500}, "客户有不少于 500 分的积分到期"),
        ({"kind": "points_received"}, "客户有积分到账"),
        ({"kind": "coupon_expiring", "template": "生日礼券"}, "客户有优惠券「生日礼券」到期"),
        ({"kind": "visited"}, "客户到店"),
        ({"kind": "visited", "store": "S1", "visit_kind": "活动"}, "客户到访门店 S1（活动）"),
        ({"kind": "appointment"}, "客户预约到店当天"),
        (
            {"kind": "every", "each": "week", "weekday": 3, "from": "2026-11-01"},
            "每周三，2026年11月1日起",
        ),
    ],
)
def test_a_trigger_reads_as_people_say_it(trigger, said):
    assert triggers.of(trigger).sentence(trigger) == said
