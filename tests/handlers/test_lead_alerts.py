"""Who hears of a lead, and when: the guide, then the manager, and nobody twice."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest
from sqlalchemy import select, update

from bot.clock import at, business_day
from bot.crm.models import (
    ContactActivity,
    Guide,
    KfMessage,
    Operator,
    OptOut,
    Store,
)
from bot.db import transaction
from bot.outbox import Outbox
from handlers import lead_alerts
from handlers.events.kf import kf_arrived
from sop import lead_assignment, lead_views, leads
from sop.models import Lead, LeadSignal
from tests.factories import Make
from tests.talk import CUSTOMER, GUIDE, KFID, Talk, rows, talk

__all__ = ["talk"]


@pytest.fixture
def noon(talk: Talk) -> datetime:
    """Twelve o'clock of the next day, in a store that is open from ten to ten."""
    day = business_day(talk.clock.now()) + timedelta(days=1)
    with transaction(talk.sessions) as session:
        session.execute(update(Store).values(opens_at=time(10), closes_at=time(22)))
    talk.clock.advance(at(day, 12) - talk.clock.now())
    return at(day, 12)


def _contact(talk: Talk, name: str = "王女士", *, is_friend: bool = True) -> int:
    with transaction(talk.sessions) as session:
        make = Make(session)
        contact = make.contact(None, name=name)
        if is_friend:
            make.follow(session.get_one(Guide, talk.guide_id), contact)
        return contact.id


def _asks(talk: Talk, contact_id: int, now: datetime, words: str = "可以定制吗") -> int | None:
    with transaction(talk.sessions) as session:
        key = f"test:{contact_id}:{now.timestamp()}"
        return leads.raise_intent(session, contact_id, "定制", words, now, dedupe_key=key)


def _tell(talk: Talk, now: datetime) -> list[tuple[str, str]]:
    """What is said to whom by this look."""
    with transaction(talk.sessions) as session:
        lead_alerts.tell_due(session, talk.bot.settings, now)
    before = len(talk.effects("app_message"))
    talk.settle()
    found = talk.effects("app_message")[before:]
    return [(str(one.who), str(one.payload["content"]["content"])) for one in found]


def _cold(talk: Talk, contact_id: int, now: datetime) -> None:
    with transaction(talk.sessions) as session:
        row = Lead(
            contact_id=contact_id,
            guide_id=talk.guide_id,
            store_id=talk.store_id,
            state="assigned",
            assigned_by="relation",
            assigned_at=now,
            raised_at=now,
            raised_on=business_day(now),
        )
        session.add(row)


def test_a_hot_lead_is_told_at_once_and_once(talk: Talk, noon: datetime) -> None:
    _asks(talk, _contact(talk), noon)

    [(who, said)] = _tell(talk, noon)

    assert who == GUIDE
    with transaction(talk.sessions) as session:
        [number] = [one.number for one in lead_views.of_guide(session, talk.guide_id)]
    assert said.split("\n") == [
        "有客户意向强，请尽快联系：",
        f"{number}. 王女士：问到定制：「可以定制吗」",
        f"联系后写「线索 {number} 已联系」。",
    ]
    assert _tell(talk, noon + timedelta(minutes=1)) == []


def test_leads_that_are_not_hot_are_told_together_by_the_hour(talk: Talk, noon: datetime) -> None:
    _cold(talk, _contact(talk), noon + timedelta(minutes=5))
    _cold(talk, _contact(talk, "李先生"), noon + timedelta(minutes=50))
    assert _tell(talk, noon + timedelta(minutes=59)) == []
    [(who, said)] = _tell(talk, noon + timedelta(minutes=60))
    assert who == GUIDE
    assert said.startswith("2 条新线索等您联系：\n")
    assert said.index("王女士") < said.index("李先生")


def test_a_lead_that_a_person_gave_her_is_told_at_once_and_once_to_the_new_guide(
    talk: Talk, noon: datetime
) -> None:
    with transaction(talk.sessions) as session:
        taker = Make(session).guide(userid="liuyang", name="刘洋").id
    _cold(talk, _contact(talk), noon)
    [lead_id] = rows(talk.sessions, select(Lead.id))
    moment = noon + timedelta(hours=1)
    assert [who for who, _ in _tell(talk, moment)] == [GUIDE]
    for _ in range(2):
        with transaction(talk.sessions) as session:
            lead_assignment.give(session, lead_id, taker, moment)

    [(who, said)] = _tell(talk, moment)
    assert who == "liuyang"
    assert said.startswith("1 条新线索等您联系：\n")
    assert ". 王女士" in said
    assert _tell(talk, moment + timedelta(minutes=1)) == []


@pytest.mark.parametrize(("hour", "count"), [(7, 0), (8, 1), (21, 1), (22, 0)])
def test_in_the_quiet_hours_only_who_wants_a_person_is_told_of(
    talk: Talk, noon: datetime, hour: int, count: int
) -> None:
    day = business_day(noon) + timedelta(days=1)
    moment = at(day, hour, 30 if hour == 21 else 0)
    _asks(talk, _contact(talk), moment)
    _cold(talk, _contact(talk, "李先生"), moment - timedelta(hours=3))
    with transaction(talk.sessions) as session:
        session.execute(update(Lead).where(Lead.score == 0).values(is_hot=True))
    told = _tell(talk, moment)
    assert len(told) == count
    assert not any("李先生" in said for _, said in told)


def test_an_untouched_lead_reaches_the_manager_and_then_becomes_the_managers(
    talk: Talk, noon: datetime
) -> None:
    with transaction(talk.sessions) as session:
        boss = Make(session).guide(userid="liuyang", name="刘洋")
        boss.store_id, boss.is_manager = talk.store_id, True
    _asks(talk, _contact(talk), noon)
    _tell(talk, noon)

    [(who, said)] = _tell(talk, noon + timedelta(hours=4))
    assert (who, said) == (
        "liuyang",
        "1 条线索还没有人联系，请帮忙看一下：\n· 王女士（王芳）：问到定制：「可以定制吗」",
    )
    [(who, said)] = _tell(talk, noon + timedelta(hours=8))
    assert who == "liuyang"
    assert "已联系」" in said
    assert "还不是您的好友，请向总部要联系方式" in said


def test_a_lead_that_was_touched_reaches_nobody_else(talk: Talk, noon: datetime) -> None:
    lead_id = _asks(talk, _contact(talk), noon)
    _tell(talk, noon)
    with transaction(talk.sessions) as session:
        leads.touch(session, lead_id or 0, noon, guide_id=talk.guide_id)
    assert _tell(talk, noon + timedelta(hours=9)) == []


def test_without_a_manager_hq_hears_of_it(talk: Talk, noon: datetime) -> None:
    with transaction(talk.sessions) as session:
        session.add(Operator(username="hq", name="总部", userid="liuyang"))
    _asks(talk, _contact(talk), noon)
    _tell(talk, noon)
    assert [who for who, _ in _tell(talk, noon + timedelta(hours=4))] == ["liuyang"]


def test_a_customer_who_asks_for_a_custom_piece_gets_a_person_and_her_guide_hears_at_once(
    talk: Talk, noon: datetime
) -> None:
    talk.befriend()
    with transaction(talk.sessions) as session:
        make = Make(session)
        contact = make.contact(None, external_userid=CUSTOMER, name="韩梅")
        make.follow(session.get_one(Guide, talk.guide_id), contact)

    event = talk.writes("你们可以定制对戒吗")
    for _ in range(2):
        kf_arrived(talk.bot, event)
    talk.settle()

    [told] = talk.effects("app_message")
    assert "韩梅：问到定制：「你们可以定制对戒吗」" in told.payload["content"]["content"]
    assert talk.bot.gateway.kf_state(KFID, CUSTOMER).state == 3
    assert len(rows(talk.sessions, select(Lead))) == 1
    [activity] = rows(talk.sessions, select(ContactActivity))
    assert activity.replied_on is not None


def test_a_customer_who_wants_no_more_messages_is_heard_and_answered(talk: Talk) -> None:
    with transaction(talk.sessions) as session:
        make = Make(session)
        contact = make.contact(None, external_userid=CUSTOMER, name="韩梅")
        make.follow(session.get_one(Guide, talk.guide_id), contact)

    kf_arrived(talk.bot, talk.writes("结婚的消息别再发了"))
    talk.settle()

    channels = {one.channel for one in rows(talk.sessions, select(OptOut)) if one.is_out}
    assert channels == {"mass_message", "sms", "template_message"}
    [effect] = talk.effects("kf_message")
    assert "已为您停发" in str(effect.payload)
    assert rows(talk.sessions, select(KfMessage.outcome)) == ["replied:退订"]
    assert rows(talk.sessions, select(Lead)) == []
    assert rows(talk.sessions, select(Outbox).where(Outbox.kind == "alert")) == []


def test_a_manager_is_not_told_in_the_quiet_hours_but_after_them(
    talk: Talk, noon: datetime
) -> None:
    with transaction(talk.sessions) as session:
        boss = Make(session).guide(userid="liuyang", name="刘洋")
        boss.store_id, boss.is_manager = talk.store_id, True
        # Nobody has this one, so the manager would hear of it an hour later.
        session.add(Operator(username="hq", name="总部", userid=GUIDE))
    stranger = _contact(talk, "李先生", is_friend=False)
    day = business_day(noon)
    asked = at(day, 17, 30)
    _asks(talk, _contact(talk), asked)
    _tell(talk, asked)
    with transaction(talk.sessions) as session:
        session.add(Lead(contact_id=stranger, state="open", raised_at=asked, raised_on=day))

    assert _tell(talk, at(day, 21, 45)) == []

    told = dict(_tell(talk, at(day + timedelta(days=1), 9, 1)))
    assert set(told) == {"liuyang", GUIDE}
    assert "王女士" in told["liuyang"]


def test_a_stranger_comes_with_a_way_to_reach_her(talk: Talk, noon: datetime) -> None:
    _asks(talk, _contact(talk, is_friend=False), noon)
    [(_, said)] = _tell(talk, noon)
    assert "还不是您的好友，请向店长或总部要联系方式" in said


def test_a_lead_she_was_told_of_is_told_again_when_the_customer_asks_for_a_person(
    talk: Talk, noon: datetime
) -> None:
    contact_id = _contact(talk)
    _cold(talk, contact_id, noon)
    assert len(_tell(talk, noon + timedelta(hours=1))) == 1

    later = noon + timedelta(hours=5)
    _asks(talk, contact_id, later)
    [(who, said)] = _tell(talk, later)

    assert who == GUIDE
    assert said.startswith("有客户意向强，请尽快联系：")
    # The same wish in other words a minute later is no news.
    _asks(talk, contact_id, later + timedelta(minutes=1), "定制要多久")
    assert _tell(talk, later + timedelta(minutes=2)) == []


def test_a_lead_she_had_been_in_touch_with_waits_again_when_the_customer_asks(
    talk: Talk, noon: datetime
) -> None:
    contact_id = _contact(talk)
    lead_id = _asks(talk, contact_id, noon) or 0
    _tell(talk, noon)
    with transaction(talk.sessions) as session:
        leads.touch(session, lead_id, noon, guide_id=talk.guide_id)

    later = noon + timedelta(hours=2)
    _asks(talk, contact_id, later, "定制的事想再问问")

    assert [who for who, _ in _tell(talk, later)] == [GUIDE]
    [lead] = rows(talk.sessions, select(Lead))
    assert (lead.state, lead.assigned_at) == ("assigned", later)


def test_a_lead_that_grows_hot_by_what_she_does_is_told_at_once(talk: Talk, noon: datetime) -> None:
    contact_id = _contact(talk)
    _cold(talk, contact_id, noon)
    assert len(_tell(talk, noon + timedelta(hours=1))) == 1
    with transaction(talk.sessions) as session:
        [lead_id] = session.scalars(select(Lead.id))
        seen = {"lead_id": lead_id, "behavior": "cart", "text": "加购了 对戒", "seen_at": noon}
        session.add_all(LeadSignal(**seen, score=30, dedupe_key=f"cart:{n}") for n in range(2))
        leads.raise_due(session, business_day(noon), noon + timedelta(hours=2))
    assert [who for who, _ in _tell(talk, noon + timedelta(hours=2))] == [GUIDE]
    assert _tell(talk, noon + timedelta(hours=3)) == []


def test_a_guide_is_not_alerted_of_what_she_wrote_herself(talk: Talk, noon: datetime) -> None:
    contact_id = _contact(talk)
    with transaction(talk.sessions) as session:
        leads.raise_intent(
            session,
            contact_id,
            "定制",
            "想定制",
            noon,
            dedupe_key="guide",
            heard_by=talk.guide_id,
        )
    assert _tell(talk, noon) == []


def test_a_managers_own_untouched_lead_is_hqs_to_hear_of(talk: Talk, noon: datetime) -> None:
    with transaction(talk.sessions) as session:
        session.get_one(Guide, talk.guide_id).is_manager = True
        session.add(Operator(username="hq", name="总部", userid="liuyang"))
    _asks(talk, _contact(talk), noon)
    _tell(talk, noon)
    assert [who for who, _ in _tell(talk, noon + timedelta(hours=4))] == ["liuyang"]
