"""What customers do raises leads; each fact counts once, and a lead ends once."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from bot.clock import at
from bot.crm import brand, opt_outs
from bot.crm.models import (
    Brand,
    Cart,
    MaterialView,
    SourceEvent,
    TimelineEntry,
    Visit,
)
from bot.errors import UserError
from bot.outbox import Outbox
from bot.settings import Settings
from sop import digests, lead_signals, lead_views, leads
from sop.models import Lead, LeadSignal, LeadState
from tests.fixtures_db import counting
from tests.sop.plans import TODAY, days_ago, night, publish, spec

NOW = at(TODAY, 15)
_numbers = iter(range(1, 10_000))


def event(session, contact):
    row = SourceEvent(
        source="mall",
        event_id=f"e{next(_numbers)}",
        kind="view",
        occurred_at=NOW,
        contact_id=contact.id,
        body={},
    )
    session.add(row)
    session.flush()
    return row.id


def views(session, contact, *, material="求婚钻戒手册", seconds=30, on=TODAY):
    row = MaterialView(
        source_event_id=event(session, contact),
        contact_id=contact.id,
        material=material,
        seconds=seconds,
        viewed_at=at(on, 11),
        viewed_on=on,
    )
    session.add(row)
    session.flush()
    return row


def fills_cart(session, contact, *, on=TODAY, item="星芒对戒", fen=1_280_000):
    row = Cart(
        source="mall",
        cart_id=f"cart{next(_numbers)}",
        contact_id=contact.id,
        state="added",
        opened_at=at(on, 10),
        opened_on=on,
        changed_at=at(on, 10),
        event_id=f"c{next(_numbers)}",
        lines=[],
        amount_fen=fen,
        categories=["对戒"],
        first_item=item,
    )
    session.add(row)
    session.flush()
    return row


def visits(session, contact, store, *, on=TODAY, kind="到店", is_told=True):
    row = Visit(
        source_event_id=event(session, contact) if is_told else None,
        contact_id=contact.id,
        store_id=store.id,
        store_code=store.code,
        kind=kind,
        visited_at=at(on, 14),
        visited_on=on,
    )
    session.add(row)
    session.flush()
    return row


def raised(session, *, day=TODAY, now=NOW, contacts=None):
    ids = None if contacts is None else [one.id for one in contacts]
    count = leads.raise_due(session, day, now, ids)
    session.commit()
    return count


def live(session):
    return list(
        session.scalars(select(Lead).order_by(Lead.id).execution_options(populate_existing=True))
    )


def story(session, contact):
    query = select(TimelineEntry.text).where(
        TimelineEntry.contact_id == contact.id, TimelineEntry.kind == "lead"
    )
    return list(session.scalars(query.order_by(TimelineEntry.id)))


def test_each_behavior_is_one_signal_of_one_lead(session, make):
    guide = make.guide()
    contact = make.contact(guide)
    store = make.store(name="南京路店")
    views(session, contact)
    fills_cart(session, contact)
    visits(session, contact, store)

    assert raised(session) == 3
    assert raised(session) == 0

    [lead] = live(session)
    assert (lead.state, lead.score, lead.is_hot) == ("assigned", 65, True)
    assert (lead.guide_id, lead.assigned_by) == (guide.id, "relation")
    told = session.scalars(select(LeadSignal.text).order_by(LeadSignal.score)).all()
    assert told == ["看了「求婚钻戒手册」", "南京路店 到店", "加购了 星芒对戒（¥12,800）"]
    assert story(session, contact) == ["成为线索：加购了 星芒对戒（¥12,800）"]


def test_a_short_look_and_an_old_fact_raise_nothing(session, make):
    contact = make.contact(make.guide())
    views(session, contact, seconds=9)
    views(session, contact, seconds=None)
    fills_cart(session, contact, on=days_ago(4))

    assert raised(session) == 0
    assert live(session) == []


def test_who_bought_afterwards_is_no_lead(session, make):
    contact = make.contact(make.guide())
    fills_cart(session, contact, on=days_ago(1))
    make.purchase(contact, on=TODAY)

    assert raised(session) == 0


@pytest.mark.parametrize(("gap", "count"), [(179, 0), (180, 1)])
def test_coming_back_after_long_is_a_signal(session, make, gap, count):
    contact = make.contact(make.guide())
    make.purchase(contact, on=TODAY - timedelta(days=gap))
    make.purchase(contact, on=TODAY)

    assert raised(session) == count
    if count:
        assert live(session)[0].score == 20
        assert session.scalars(select(LeadSignal.text)).one() == "时隔 180 天再次消费"


def test_asking_for_a_custom_piece_is_hot_at_once(session, make):
    contact = make.contact(make.guide())
    first = leads.raise_intent(session, contact.id, "定制", "可以订做吗", NOW, dedupe_key="kf:1")
    again = leads.raise_intent(session, contact.id, "定制", "可以订做吗", NOW, dedupe_key="kf:1")
    session.commit()

    assert again is None
    [lead] = live(session)
    assert (lead.id, lead.is_hot, lead.score, lead.state) == (first, True, 60, "assigned")
    assert story(session, contact) == ["成为线索：问到定制：「可以订做吗」"]


@pytest.mark.parametrize(
    ("given", "score", "is_hot"), [({}, 40, False), ({"intended": 80}, 80, True)]
)
def test_the_brand_says_what_a_strong_wish_counts(session, make, given, score, is_hot):
    session.get_one(Brand, 1).settings = {"leads": {"scores": given}}
    contact = make.contact(make.guide())
    leads.raise_strong(session, contact.id, NOW, dedupe_key="visit:1")
    session.commit()
    [lead] = live(session)
    assert (lead.score, lead.is_hot) == (score, is_hot)


def test_every_behavior_has_a_score_that_the_brand_may_set():
    usual = brand.LeadSettings().scores
    assert usual == {key: one.score for key, one in lead_signals.BEHAVIORS.items()}


def test_an_intention_that_is_not_in_the_table_is_refused(session, make):
    contact = make.contact(make.guide())
    with pytest.raises(UserError, match="定制、结婚选款"):
        leads.raise_intent(session, contact.id, "买菜", "x", NOW, dedupe_key="kf:1")


def test_words_tell_the_intention(make):
    intents = brand.BrandSettings().leads.intents
    assert leads.intent_of("想看看婚戒", intents) == "结婚选款"
    assert leads.intent_of("能不能设计一款", intents) == "定制"
    assert leads.intent_of("几点关门", intents) is None


def test_a_purchase_wins_the_lead_and_tells_the_money(session, make):
    contact = make.contact(make.guide())
    fills_cart(session, contact)
    raised(session, now=at(TODAY, 12))
    make.purchase(contact, on=TODAY, amount_fen=1_280_050)

    # 14:00 in Shanghai, after the lead was raised.
    raised(session, now=NOW)

    [lead] = live(session)
    assert (lead.state, lead.outcome) == ("won", "成交 ¥12,800.50")
    assert lead.ended_at == NOW
    assert story(session, contact)[-1] == "线索成交 ¥12,800.50"


def test_a_new_signal_after_the_end_raises_a_new_lead(session, make):
    contact = make.contact(make.guide())
    fills_cart(session, contact)
    raised(session)
    leads.lose(session, live(session)[0].id, "在别处买了", NOW)
    assert raised(session) == 0
    views(session, contact)
    assert raised(session) == 1
    assert [one.state for one in live(session)] == ["lost", "assigned"]


def test_a_lead_nobody_moves_expires(session, make):
    contact = make.contact(make.guide())
    fills_cart(session, contact)
    raised(session)
    later = TODAY + timedelta(days=15)

    raised(session, day=later, now=at(later, 3))

    [lead] = live(session)
    assert (lead.state, lead.outcome) == ("expired", "一直没有跟进")


def test_touching_and_losing_are_said_once_and_by_the_owner(session, make):
    guide, other = make.guide(), make.guide()
    contact = make.contact(guide)
    fills_cart(session, contact)
    raised(session)
    lead_id = live(session)[0].id

    with pytest.raises(UserError, match="没有找到"):
        leads.touch(session, lead_id, NOW, guide_id=other.id)
    first = leads.touch(session, lead_id, NOW, guide_id=guide.id)
    assert leads.touch(session, lead_id, NOW + timedelta(hours=1), guide_id=guide.id) == first
    assert first.state == LeadState.TOUCHED
    with pytest.raises(UserError, match="原因"):
        leads.lose(session, lead_id, "  ", NOW, guide_id=guide.id)
    ended = leads.lose(session, lead_id, "预算不够", NOW, guide_id=guide.id)
    assert (ended.state, ended.outcome) == (LeadState.LOST, "预算不够")
    with pytest.raises(UserError, match="已经结束"):
        leads.touch(session, lead_id, NOW, guide_id=guide.id)
    assert story(session, contact)[1:] == ["线索已联系", "线索结束：预算不够"]


@pytest.mark.parametrize("is_limited", [False, True])
def test_a_merged_customer_takes_the_lead_along_and_keeps_one(session, make, is_limited):
    guide = make.guide()
    kept, gone = make.contact(guide), make.contact(guide)
    for contact in (kept, gone):
        fills_cart(session, contact)
    raised(session)
    gone.merged_into_id = kept.id
    session.flush()

    raised(session, contacts=[kept, gone] if is_limited else None)

    assert [(one.contact_id, one.state, one.outcome) for one in live(session)] == [
        (kept.id, "assigned", None),
        (kept.id, "lost", "客户资料合并"),
    ]


def test_the_list_of_a_guide_and_the_page_say_the_same(session, make):
    guide = make.guide()
    contact = make.contact(guide, name="王女士")
    fills_cart(session, contact)
    views(session, contact)
    raised(session)

    [one] = lead_views.of_guide(session, guide.id)
    assert one.name == "王女士"
    assert one.signals == "看了「求婚钻戒手册」；加购了 星芒对戒（¥12,800）"
    assert lead_views.page(session, states=[LeadState.ASSIGNED]) == [one]
    assert lead_views.page(session, states=[LeadState.WON]) == []
    assert lead_views.waiting(session, [guide.id, 0]) == {guide.id: "1 条待联系"}
    leads.touch(session, one.id, NOW)
    assert lead_views.waiting(session, [guide.id]) == {}


@pytest.mark.parametrize("is_limited", [False, True])
def test_the_number_of_statements_does_not_grow_with_customers(session, make, engine, is_limited):
    def counted(people):
        contacts = [make.contact(guide) for _ in range(people)]
        for contact in contacts:
            fills_cart(session, contact)
        session.commit()
        with counting(engine) as seen:
            raised(session, contacts=contacts if is_limited else None)
        return seen.count

    guide = make.guide()
    few = counted(2)
    assert counted(40) == few


def test_what_people_write_is_never_part_of_the_statement(session, make):
    contact = make.contact(make.guide(), name="'; DROP TABLE lead; --")
    views(session, contact, material="100% {only} :day %s \\ '")
    assert raised(session) == 1
    assert session.scalar(text("SELECT text FROM lead_signal")) == (
        "看了「100% {only} :day %s \\ '」"
    )


def test_the_morning_card_says_how_many_leads_wait(session, make, tmp_path):
    guide = make.guide()
    for intent in ("定制", None):
        contact = make.contact(guide, followed_on=TODAY)
        fills_cart(session, contact)
        if intent:
            leads.raise_intent(session, contact.id, intent, "想订做", NOW, dedupe_key="kf:1")
    raised(session)
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)

    settings = Settings.from_env({"VAR_DIR": str(tmp_path), "PUBLIC_BASE_URL": "https://d.example"})
    assert digests.prepare(session, TODAY, at(TODAY, 2, 10), settings) == 1

    [body] = session.scalars(select(Outbox.body)).all()
    rows = json.loads(body)["template_card"]["horizontal_content_list"]
    assert (rows[-1]["keyname"], rows[-1]["value"]) == ("线索", "2 条待联系，1 条意向强")


def test_a_lead_ends_when_she_refuses_to_be_spoken_to(session, make):
    guide = make.guide()
    contact, asker = make.contact(guide), make.contact(guide)
    for one in (contact, asker):
        fills_cart(session, one)
    leads.raise_intent(session, asker.id, "定制", "想订做", NOW, dedupe_key="kf:1")
    raised(session)
    for one in (contact, asker):
        opt_outs.refuse(session, one.id, "all", source="event", at=NOW)
    raised(session)
    found = {one.contact_id: (one.state, one.outcome) for one in live(session)}
    assert found == {contact.id: ("lost", "客户不想被联系"), asker.id: ("assigned", None)}


def test_the_number_of_a_lead_stays_when_another_one_ends(session, make):
    guide = make.guide()
    people = [make.contact(guide) for _ in range(3)]
    for contact in people:
        fills_cart(session, contact)
    raised(session)
    before = {one.id: one.number for one in lead_views.of_guide(session, guide.id)}
    leads.lose(session, min(before), "在别处买了", NOW)
    after = {one.id: one.number for one in lead_views.of_guide(session, guide.id)}
    assert len(set(before.values())) == 3
    assert after == {key: before[key] for key in after}
    assert len(after) == 2
