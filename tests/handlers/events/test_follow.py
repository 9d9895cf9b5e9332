"""A customer comes and goes: book, tags, alerts; each once, whatever is repeated."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select, text

from bot.crm.models import ChannelCode, Contact, FollowRelation, Guide
from bot.outbox import Outbox
from bot.sandbox import actors
from bot.wecom.events import (
    ContactEdited,
    ContactHalfAdded,
    ContactRemoved,
    GuideRemoved,
    GuideSubscribed,
    GuideUnsubscribed,
)
from handlers import contact_ways
from handlers.events import follow, roster_refresh, staff
from tagging.models import ChannelTag, TagAssignment
from tests.factories import TODAY, Make
from tests.talk import CORP, CUSTOMER, GUIDE, Talk, rows, talk

__all__ = ["talk"]

ON_ADD = (
    follow.start_follow,
    follow.tag_by_channel,
    follow.enroll,
    follow.alert_new_friend,
)
ON_END = (follow.end_follow, follow.alert_lost)


def _run(talk: Talk, functions, event) -> None:
    for function in functions:
        function(talk.bot, event)


def _code(talk: Talk) -> None:
    with talk.sessions() as session, session.begin():
        make = Make(session)
        code = make.channel_code(session.get(Guide, talk.guide_id), state="cashier", name="收银台")
        session.add(ChannelTag(channel_code_id=code.id, tag_id=make.tag("渠道/收银台").id))


def _added(talk: Talk, **given):
    return replace(talk.added(None), state="cashier", **given)


def _deleted(talk: Talk, **given) -> GuideRemoved:
    values = {"created_at": talk.now(), "to_user": CORP, "userid": GUIDE}
    return GuideRemoved(**(values | {"external_userid": CUSTOMER} | given))


def _alerts(talk: Talk) -> list[str]:
    kept = rows(
        talk.sessions, select(Outbox.body).where(Outbox.kind == "alert").order_by(Outbox.id)
    )
    return [body.decode() for body in kept]


def _relation(talk: Talk) -> FollowRelation:
    [row] = rows(talk.sessions, select(FollowRelation))
    return row


def test_an_add_tags_the_customer_and_tells_the_guide_with_the_facts_once(talk: Talk) -> None:
    _code(talk)
    talk.befriend()
    with talk.sessions() as session, session.begin():
        make = Make(session)
        person = make.contact(external_userid=CUSTOMER, name="韩梅")
        make.member(person, level="金卡")
        make.purchase(person, on=TODAY - timedelta(days=40), amount_fen=1_280_000, name="星河对戒")
        make.purchase(person, on=TODAY - timedelta(days=90), amount_fen=100, refunded_fen=100)
    event = _added(talk)
    _run(talk, ON_ADD, event)
    _run(talk, ON_ADD, event)
    [alert] = _alerts(talk)
    for fact in ("韩梅", "收银台", "金卡", "星河对戒", "¥12,800（1 笔）"):
        assert fact in alert
    [assignment] = rows(talk.sessions, select(TagAssignment))
    assert assignment.source == "channel"
    talk.settle()
    assert len(talk.effects("app_message")) == 1


def test_a_new_name_is_read_before_the_guide_is_told(talk: Talk) -> None:
    talk.befriend()
    _run(talk, ON_ADD, _added(talk))
    assert _alerts(talk) == []
    assert roster_refresh.refresh_details(talk.bot) == 0  # the platform gets its two seconds
    talk.pass_time(seconds=3)
    assert roster_refresh.refresh_details(talk.bot) == 1
    [alert] = _alerts(talk)
    assert "韩梅" in alert
    [person] = rows(talk.sessions, select(Contact))
    assert (person.name, person.gender, person.refresh_after) == ("韩梅", 2, None)
    assert roster_refresh.refresh_details(talk.bot) == 0


def test_a_customer_half_added_is_told_of_with_her_name_once_the_guide_has_confirmed(
    talk: Talk,
) -> None:
    half = _added(talk)
    half = ContactHalfAdded(**{name: getattr(half, name) for name in half.__dataclass_fields__})
    _run(talk, ON_ADD, half)
    talk.pass_time(seconds=7)
    assert roster_refresh.refresh_details(talk.bot) == 1
    assert _alerts(talk) == [], "84061 so far: her name may come any second"
    talk.befriend()
    talk.pass_time(seconds=4)
    roster_refresh.refresh_details(talk.bot)
    [alert] = _alerts(talk)
    assert "韩梅" in alert


def test_a_customer_who_is_not_confirmed_soon_is_told_of_without_a_name(talk: Talk) -> None:
    half = _added(talk)
    half = ContactHalfAdded(**{name: getattr(half, name) for name in half.__dataclass_fields__})
    _run(talk, ON_ADD, half)
    talk.pass_time(seconds=20)
    roster_refresh.refresh_details(talk.bot)
    assert len(_alerts(talk)) == 1


def test_half_and_full_tell_the_guide_once(talk: Talk) -> None:
    half = _added(talk)
    half = ContactHalfAdded(**{name: getattr(half, name) for name in half.__dataclass_fields__})
    full = _added(talk, created_at=half.created_at + timedelta(seconds=30))
    for order in ((half, full), (full, half)):
        for event in order:
            _run(talk, ON_ADD, event)
    talk.befriend()
    talk.pass_time(seconds=40)
    roster_refresh.refresh_details(talk.bot)
    assert len(_alerts(talk)) == 1
    assert _relation(talk).relation_no == 1


def test_a_tag_taken_away_since_does_not_come_back_with_the_confirmation(talk: Talk) -> None:
    _code(talk)
    half = _added(talk)
    _run(talk, ON_ADD, half)
    with talk.sessions() as session, session.begin():
        session.execute(text("DELETE FROM tag_assignment"))
    _run(talk, ON_ADD, _added(talk, created_at=half.created_at + timedelta(days=2)))
    assert rows(talk.sessions, select(TagAssignment)) == []


def test_a_customer_who_deletes_the_guide_is_told_of_once(talk: Talk) -> None:
    _run(talk, ON_ADD, _added(talk))
    gone = _deleted(talk, created_at=talk.now() + timedelta(minutes=1))
    _run(talk, ON_END, gone)
    _run(talk, ON_END, gone)
    assert [("客户流失" in one) for one in _alerts(talk)] == [True]
    assert _relation(talk).ended_by == "customer"


def test_a_guide_who_deletes_a_customer_needs_no_alert(talk: Talk) -> None:
    _run(talk, ON_ADD, _added(talk))
    for source, by in ((None, "guide"), ("DELETE_BY_TRANSFER", "transfer")):
        event = ContactRemoved(
            created_at=talk.now() + timedelta(minutes=1),
            to_user=CORP,
            userid=GUIDE,
            external_userid=CUSTOMER,
            source=source,
        )
        _run(talk, ON_END, event)
        assert _relation(talk).ended_by in (by, "guide")
    assert _alerts(talk) == []


def test_an_end_that_comes_after_the_return_tells_of_the_return(talk: Talk) -> None:
    first = _added(talk, created_at=talk.now() - timedelta(minutes=10))
    with talk.sessions() as session, session.begin():
        Make(session).contact(external_userid=CUSTOMER, name="韩梅")
    _run(talk, ON_ADD, first)
    _run(talk, ON_ADD, _added(talk))
    assert len(_alerts(talk)) == 1
    _run(talk, ON_END, _deleted(talk, created_at=talk.now() - timedelta(minutes=5)))
    assert len(_alerts(talk)) == 2
    assert "又添加" in _alerts(talk)[1]
    assert _relation(talk).relation_no == 2


def test_an_edit_is_read_again_later_and_a_deleted_customer_is_found_out(talk: Talk) -> None:
    talk.befriend()
    _run(talk, ON_ADD, _added(talk))
    actors.guide_deletes_customer(talk.town, GUIDE, CUSTOMER)
    edit = ContactEdited(
        created_at=talk.now(), to_user=CORP, userid=GUIDE, external_userid=CUSTOMER
    )
    roster_refresh.ask_again(talk.bot, edit)
    talk.pass_time(seconds=5)
    assert roster_refresh.refresh_details(talk.bot) == 1
    assert (_relation(talk).state, _relation(talk).ended_by) == ("ended", "guide")


def test_details_in_hand_are_not_taken_twice(talk: Talk) -> None:
    _run(talk, ON_ADD, _added(talk))
    talk.pass_time(seconds=3)
    assert len(roster_refresh.claim(talk.bot, 10)) == 1
    assert list(roster_refresh.claim(talk.bot, 10)) == []
    talk.pass_time(seconds=61)
    assert len(roster_refresh.claim(talk.bot, 10)) == 1


def test_a_guide_who_leaves_hands_shared_customers_to_the_other(talk: Talk) -> None:
    _run(talk, ON_ADD, _added(talk))
    _run(talk, ON_ADD, _added(talk, userid="liuyang"))
    left = GuideUnsubscribed(created_at=talk.now(), to_user=CORP, userid=GUIDE)
    for _ in range(2):
        staff.guide_left(talk.bot, left)
    [person] = rows(talk.sessions, select(Contact))
    [other] = rows(talk.sessions, select(Guide.id).where(Guide.userid == "liuyang"))
    assert person.guide_id == other
    came = GuideSubscribed(created_at=talk.now(), to_user=CORP, userid=GUIDE.upper())
    staff.guide_came(talk.bot, came)
    [guide] = rows(talk.sessions, select(Guide).where(Guide.id == talk.guide_id))
    assert (guide.is_active, guide.name) == (True, "王芳")


def test_codes_go_out_once_and_again_only_when_they_differ(talk: Talk) -> None:
    _code(talk)

    def push() -> int:
        with talk.sessions() as session, session.begin():
            return contact_ways.push_changed(session)

    def code() -> ChannelCode:
        [row] = rows(talk.sessions, select(ChannelCode))
        return row

    assert [push(), push()] == [1, 0]
    talk.settle()
    assert code().config_id is not None
    assert code().qr_code_url
    assert code().pushed_hash == code().queued_hash
    assert push() == 0
    for name in ("收银台二", "收银台"):
        with talk.sessions() as session, session.begin():
            session.scalars(select(ChannelCode)).one().name = name
        assert [push(), push()] == [1, 0]
        talk.settle()
    assert talk.bot.gateway.contact_way(code().config_id).remark == "收银台"
    kinds = rows(talk.sessions, select(Outbox.kind).order_by(Outbox.id))
    assert kinds == ["contact_way_create", "contact_way_update", "contact_way_update"]

    [delivery] = rows(talk.sessions, select(Outbox).where(Outbox.kind == "contact_way_create"))
    found = contact_ways.reconcile_created(talk.bot, delivery)
    assert found is not None
    assert found["config_id"] == code().config_id

    with talk.sessions() as session, session.begin():
        session.get(Guide, talk.guide_id).is_active = False
    assert push() == 0
    assert "导购" in code().push_error


def test_two_customers_with_the_same_name_give_two_alerts_on_the_ledger(talk: Talk) -> None:
    """WeCom swallows the same words to the same guide; these came in the same second."""
    now = talk.now()
    for who in (CUSTOMER, "wmOther"):
        with talk.sessions() as session, session.begin():
            Make(session).contact(external_userid=who, name="新客户")
        _run(talk, ON_ADD, replace(_added(talk, created_at=now), external_userid=who))
    talk.settle()
    told = [one.payload["content"]["content"] for one in talk.effects("app_message")]
    assert len(told) == 2
    assert all("添加了您：新客户" in words for words in told)


def test_two_customers_with_the_same_name_who_leave_give_two_alerts(talk: Talk) -> None:
    gone = talk.now() + timedelta(minutes=1)
    for who in (CUSTOMER, "wmOther"):
        with talk.sessions() as session, session.begin():
            Make(session).contact(external_userid=who, name="新客户")
        _run(talk, (follow.start_follow,), replace(_added(talk), external_userid=who))
        _run(talk, ON_END, _deleted(talk, external_userid=who, created_at=gone))
    talk.settle()
    assert len(talk.effects("app_message")) == 2


def test_an_alert_that_is_sent_again_after_silence_is_the_same_message_for_wecom(
    talk: Talk,
) -> None:
    with talk.sessions() as session, session.begin():
        Make(session).contact(external_userid=CUSTOMER, name="新客户")
    _run(talk, ON_ADD, _added(talk))
    talk.settle()
    with talk.sessions() as session, session.begin():
        session.execute(
            text("UPDATE outbox SET state = 'due', result = NULL, ambiguous = true, done_at = NULL")
        )
    talk.settle()
    [row] = rows(talk.sessions, select(Outbox))
    assert (row.state, row.attempts, len(talk.effects("app_message"))) == ("done", 2, 1)
