"""Refusals: the newest word holds whatever the order, and every way of saying it is told."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from sqlalchemy import literal, select
from sqlalchemy.orm import Session

from bot.crm import opt_outs
from bot.crm.models import AuditEntry, ChangedContact, OptOut, OptOutChannel, TimelineEntry
from bot.crm.opt_outs import Saying
from tests.factories import NOON, Make
from tests.fixtures_db import counting


@pytest.fixture
def make(session: Session) -> Make:
    return Make(session)


def channels(session: Session, contact_id: int) -> list[str]:
    return [one.channel for one in opt_outs.of(session, contact_id)]


def refused(session: Session, contact_id: int, kind: str) -> bool:
    clause = opt_outs.refused_clause(contact_id, literal(kind))
    return bool(session.scalar(select(clause)))


def test_a_refusal_is_kept_told_and_planned_anew(session, make):
    contact = make.contact()
    assert opt_outs.refuse(
        session, contact.id, OptOutChannel.SMS, source="sms_reply", at=NOON, words="TD"
    )
    assert not opt_outs.refuse(
        session, contact.id, OptOutChannel.SMS, source="sms_reply", at=NOON, words="TD"
    )
    [row] = opt_outs.of(session, contact.id)
    assert (row.channel, row.source, row.words) == ("sms", "sms_reply", "TD")
    assert session.scalars(select(TimelineEntry.text)).all() == ["客户退订了短信（回复短信）"]
    assert session.get(ChangedContact, contact.id) is not None
    assert session.scalars(select(AuditEntry)).all() == []


def test_what_is_written_by_hand_stands_in_the_audit_log(session, make):
    contact = make.contact()
    opt_outs.refuse_messages(session, contact.id, source="console", at=NOON, actor="operator:admin")
    [entry] = session.scalars(select(AuditEntry)).all()
    assert (entry.actor, entry.action, entry.object) == (
        "operator:admin",
        "opt_out",
        f"contact:{contact.id}",
    )
    assert channels(session, contact.id) == ["mass_message", "sms", "template_message"]


def test_an_older_word_that_comes_later_changes_nothing(session, make):
    contact = make.contact()
    later = NOON + timedelta(hours=1)
    opt_outs.allow(session, contact.id, OptOutChannel.SMS, source="event", at=later)
    assert not opt_outs.refuse(session, contact.id, OptOutChannel.SMS, source="kf", at=NOON)
    assert channels(session, contact.id) == []


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_words_arrive_cannot_matter(session, make, seed):
    dice = random.Random(seed)
    people = [make.contact().id for _ in range(2)]
    sayings = [
        Saying(
            contact_id=dice.choice(people),
            channel=dice.choice(list(OptOutChannel)),
            is_out=dice.random() < 0.5,
            source=dice.choice(["event", "guide"]),
            said_at=NOON + timedelta(minutes=dice.randrange(4)),
            event_key=f"e{number}",
        )
        for number in range(20)
    ]
    found = []
    for _ in range(4):
        savepoint = session.begin_nested()
        dice.shuffle(sayings)
        while_left = list(sayings) + dice.sample(sayings, 5)
        while while_left:
            size = dice.randint(1, 6)
            opt_outs.hear(session, while_left[:size])
            while_left = while_left[size:]
        rows = session.execute(
            select(OptOut.contact_id, OptOut.channel, OptOut.is_out, OptOut.event_key).order_by(
                OptOut.contact_id, OptOut.channel
            )
        ).all()
        found.append([tuple(row) for row in rows])
        savepoint.rollback()
    assert found[0]
    assert all(one == found[0] for one in found)


def test_which_kinds_of_steps_a_refusal_covers(session, make):
    kinds = ["chat", "call", "invite", "mass_message", "sms", "template_message"]
    covered = {
        "sms": ["sms"],
        "template_message": ["template_message"],
        "mass_message": ["mass_message"],
        "chat": ["chat", "call", "invite"],
        "all": kinds,
    }
    for channel, wanted in covered.items():
        contact = make.contact()
        opt_outs.refuse(session, contact.id, channel, source="guide", at=NOON)
        assert [kind for kind in kinds if refused(session, contact.id, kind)] == wanted


def test_allowing_everything_takes_back_every_refusal(session, make):
    contact = make.contact()
    for channel in ("all", "sms", "chat"):
        opt_outs.refuse(session, contact.id, channel, source="guide", at=NOON)
    later = NOON + timedelta(days=1)
    assert opt_outs.allow(session, contact.id, "all", source="console", at=later)
    assert channels(session, contact.id) == []
    told = select(TimelineEntry.text).where(TimelineEntry.text.contains("恢复"))
    assert session.scalars(told).all() == ["客户恢复了全部联系（总部登记）"]
    opt_outs.refuse(session, contact.id, "mass_message", source="kf", at=NOON)
    assert channels(session, contact.id) == []


def test_the_word_of_a_merged_contact_is_that_of_the_person(session, make):
    kept, gone = make.contact(), make.contact()
    gone.merged_into_id = kept.id
    session.flush()
    opt_outs.refuse(session, gone.id, "sms", source="event", at=NOON)
    assert channels(session, kept.id) == ["sms"]
    assert channels(session, gone.id) == []


def test_the_statements_do_not_grow_with_the_sayings(session, make, engine):
    people = [make.contact().id for _ in range(60)]
    session.commit()
    counts = []
    for many in (people[:2], people[2:]):
        with counting(engine) as seen:
            opt_outs.hear(
                session,
                [
                    Saying(
                        contact_id=contact_id,
                        channel="sms",
                        is_out=True,
                        source="event",
                        said_at=NOON,
                        event_key="e",
                    )
                    for contact_id in many
                ],
            )
        counts.append(seen.count)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("words", ["TD", "td", "ＴＤ", " 退订。", "T", "n", "Ｎ"])
def test_short_answers_to_an_sms_that_refuse(words):
    assert opt_outs.is_stop_reply(words)


@pytest.mark.parametrize("words", ["TDS", "好的", "", "谢谢，收到", "不退订"])
def test_other_answers_do_not(words):
    assert not opt_outs.is_stop_reply(words)


def test_what_a_customer_writes_who_wants_no_more_messages():
    for words in ("退订", "请退订短信", "TD", "别再发了", "不要再发广告", "不想收到这些"):
        assert opt_outs.asks_to_stop(words)
    for words in ("N", "你好", "怎么退货", "T", "订一枚戒指"):
        assert not opt_outs.asks_to_stop(words)


@pytest.mark.parametrize("is_guide_first", [False, True])
def test_what_a_guide_reports_never_covers_the_refusal_of_the_customer(
    session, make, is_guide_first
):
    contact = make.contact()
    later = NOON + timedelta(hours=1)
    said = [("sms_reply", NOON, "TD"), ("guide", later, None)]
    for source, moment, words in reversed(said) if is_guide_first else said:
        opt_outs.refuse(session, contact.id, "sms", source=source, at=moment, words=words)
    [row] = opt_outs.of(session, contact.id)
    assert (row.source, row.words, row.said_at) == ("sms_reply", "TD", later)
    # What was said in between does not undo the newer word, whenever it arrives.
    opt_outs.allow(session, contact.id, "sms", source="event", at=NOON + timedelta(minutes=1))
    assert channels(session, contact.id) == ["sms"]


@pytest.mark.parametrize(
    "words",
    [
        "请问怎么退订金",
        "我要退订单",
        "退订的戒指什么时候到账",
        "退订了的订金呢",
        "不想收到有划痕的",
        "别再发错货了",
        "我不退订",
        "怎么取消退订",
    ],
)
def test_words_about_money_and_goods_are_no_refusal(words):
    assert not opt_outs.asks_to_stop(words)


@pytest.mark.parametrize(
    "words",
    [
        "我要退订",
        "退订吧",
        "不想再收到你们天天发的广告",
        "不想收到短信",
        "不想收到了",
        "不要发消息",
    ],
)
def test_words_about_messages_are_a_refusal(words):
    assert opt_outs.asks_to_stop(words)
