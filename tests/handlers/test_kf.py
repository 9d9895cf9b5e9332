"""A customer writes to 微信客服: a keyword answers, or a person does; each message once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import select, update

from bot.crm.models import Guide, KfAccount, KfMessage, TimelineEntry
from bot.errors import WeComUnavailable
from bot.outbox import Outbox
from bot.sandbox import kf_actors, knobs
from content_library.models import KeywordReply
from handlers.events.kf import kf_arrived
from tests.factories import Make
from tests.talk import CUSTOMER, GUIDE, KFID, Talk, rows, talk

__all__ = ["talk"]


def _reply(talk: Talk, name: str, reply: str, **more: Any) -> None:
    with talk.sessions() as session, session.begin():
        given = {"name": name, "match": [name], "how": "contains", "reply": reply} | more
        session.add(KeywordReply(**given))


def _customer(talk: Talk, *, is_followed: bool = True, **member: Any) -> int:
    with talk.sessions() as session, session.begin():
        make = Make(session)
        contact = make.contact(None, external_userid=CUSTOMER, name="韩梅", gender=2)
        if is_followed:
            make.follow(session.get_one(Guide, talk.guide_id), contact)
        if member:
            make.member(contact, **member)
        return contact.id


def _state(talk: Talk) -> tuple[int, str | None]:
    now = talk.bot.gateway.kf_state(KFID, CUSTOMER)
    return now.state, now.servicer_userid


def _outcomes(talk: Talk) -> list[str | None]:
    query = select(KfMessage.outcome).order_by(KfMessage.sent_at, KfMessage.id)
    return rows(talk.sessions, query)


def _sends(talk: Talk) -> int:
    return sum(1 for _, errcode in talk.town.calls("kf/send_msg") if errcode == 0)


def test_a_keyword_is_answered_with_the_customers_own_facts(talk: Talk) -> None:
    _customer(talk, points=1280)
    _reply(talk, "积分", "您当前积分 {积分余额}")

    kf_arrived(talk.bot, talk.writes("我的积分"))
    talk.settle()

    [effect] = talk.effects("kf_message")
    assert "您当前积分 1,280" in str(effect.payload)
    assert _outcomes(talk) == ["replied:积分"]
    assert _state(talk)[0] in (0, 1)
    told = rows(talk.sessions, select(TimelineEntry.text).order_by(TimelineEntry.id))
    assert told == ["在客服里说：我的积分", "客服自动回复了「积分」"]


def test_without_the_fact_asked_for_a_person_answers(talk: Talk) -> None:
    _customer(talk)
    _reply(talk, "积分", "您当前积分 {积分余额}")

    kf_arrived(talk.bot, talk.writes("积分"))
    talk.settle()

    [effect] = talk.effects("kf_message")
    assert "若干" not in str(effect.payload)
    assert "请同事" in str(effect.payload)
    assert _state(talk) == (3, GUIDE)


def test_no_match_hands_over_to_the_customers_own_guide(talk: Talk) -> None:
    _customer(talk)

    kf_arrived(talk.bot, talk.writes("你们店有几层楼"))
    talk.settle()

    assert _state(talk) == (3, GUIDE)
    assert _outcomes(talk) == ["handed_over:no_match"]


def test_a_stranger_goes_into_the_queue(talk: Talk) -> None:
    kf_arrived(talk.bot, talk.writes("你们店有几层楼"))
    talk.settle()

    assert _state(talk)[0] == 2


def test_a_guide_who_is_no_servicer_sends_the_customer_into_the_queue(talk: Talk) -> None:
    _customer(talk)
    with talk.town.write() as db:
        db.execute("DELETE FROM kf_servicer")

    kf_arrived(talk.bot, talk.writes("你们店有几层楼"))
    talk.settle()

    assert _state(talk)[0] == 2


def test_a_reply_that_hands_over_is_said_first(talk: Talk) -> None:
    _customer(talk)
    _reply(talk, "预约", "好的，马上请同事帮您约。", hand_over=True)

    kf_arrived(talk.bot, talk.writes("我想预约"))
    talk.settle()

    calls = [api for api, errcode in talk.town.calls() if errcode == 0 and api.startswith("kf/")]
    assert calls[-2:] == ["kf/send_msg", "kf/service_state/trans"]
    assert _state(talk) == (3, GUIDE)


def test_while_a_person_talks_the_bot_keeps_quiet(talk: Talk) -> None:
    _customer(talk, points=1)
    _reply(talk, "积分", "{积分余额}")
    kf_arrived(talk.bot, talk.writes("找人"))
    talk.settle()

    kf_arrived(talk.bot, talk.writes("积分"))
    talk.settle()

    assert _sends(talk) == 1
    assert _outcomes(talk)[-1] == "ignored:person"


def test_two_words_in_a_row_hand_over_once(talk: Talk) -> None:
    _customer(talk)
    talk.writes("在吗")

    kf_arrived(talk.bot, talk.writes("有人吗"))
    talk.settle()

    assert _sends(talk) == 1
    assert [api for api, _ in talk.town.calls("kf/service_state/trans")] == [
        "kf/service_state/trans"
    ]


def test_an_event_that_comes_three_times_is_answered_once(talk: Talk) -> None:
    _customer(talk, points=1)
    _reply(talk, "积分", "{积分余额}")
    event = talk.writes("积分")

    for _ in range(3):
        kf_arrived(talk.bot, event)
        talk.settle()

    assert _sends(talk) == 1


def test_events_at_the_same_time_are_answered_once(talk: Talk) -> None:
    _customer(talk, points=1)
    _reply(talk, "积分", "{积分余额}")
    event = talk.writes("积分")
    talk.writes("积分呢")
    talk.bot.gateway.token()

    workers = [threading.Thread(target=kf_arrived, args=(talk.bot, event)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    talk.settle()

    assert _sends(talk) == 2
    assert _outcomes(talk) == ["replied:积分", "replied:积分"]


def test_all_pages_are_read_even_past_empty_ones(talk: Talk) -> None:
    _reply(talk, "积分", "好的")
    knobs.turn(talk.town, kf_page_size=2, kf_empty_pages=2)
    for number in range(4):
        talk.writes(f"积分 {number}")

    kf_arrived(talk.bot, talk.writes("积分 4"))

    assert len(_outcomes(talk)) == 5
    assert None not in _outcomes(talk)


def test_the_cursor_goes_on_where_it_stood(talk: Talk) -> None:
    _reply(talk, "积分", "好的")
    kf_arrived(talk.bot, talk.writes("积分"))
    [first] = rows(talk.sessions, select(KfAccount.cursor))

    kf_arrived(talk.bot, talk.writes("积分"))

    [second] = rows(talk.sessions, select(KfAccount.cursor))
    assert first
    assert second != first
    assert len(_outcomes(talk)) == 2


def test_a_message_kept_before_a_crash_is_answered_by_the_next_try(talk: Talk) -> None:
    _reply(talk, "积分", "好的")
    event = talk.writes("积分")
    knobs.add_fault(talk.town, "kf/service_state/get", "errcode", -1, times=None)
    with pytest.raises(ExceptionGroup) as caught:
        kf_arrived(talk.bot, event)
    assert caught.group_contains(WeComUnavailable)
    assert _outcomes(talk) == [None]

    knobs.clear_faults(talk.town)
    kf_arrived(talk.bot, event)
    talk.settle()

    assert _sends(talk) == 1


def test_a_dead_token_reads_without_one(talk: Talk) -> None:
    _reply(talk, "积分", "好的")
    talk.writes("积分")

    kf_arrived(talk.bot, talk.arrived(token="long-dead"))

    assert _outcomes(talk) == ["replied:积分"]


def test_yesterdays_message_is_only_kept(talk: Talk) -> None:
    _reply(talk, "积分", "好的")
    event = talk.writes("积分")
    talk.pass_time(hours=25)

    kf_arrived(talk.bot, event)
    talk.settle()

    assert _outcomes(talk) == ["ignored:old"]
    assert _sends(talk) == 0


def test_who_enters_is_welcomed_with_the_keywords_to_touch(talk: Talk) -> None:
    _customer(talk)
    _reply(talk, "积分", "好的")
    assert kf_actors.enter(talk.town, CUSTOMER, KFID)

    kf_arrived(talk.bot, talk.arrived())
    talk.settle()

    [effect] = talk.effects("kf_message")
    assert "韩梅您好，这里是星河珠宝" in str(effect.payload)
    assert "积分" in str(effect.payload)
    assert _outcomes(talk) == ["welcomed"]


def test_hqs_own_welcome_goes_before_the_built_in_one(talk: Talk) -> None:
    _reply(talk, "客服欢迎语", "欢迎光临{品牌名}", match=["从不匹配的词"], how="exact")
    kf_actors.enter(talk.town, CUSTOMER, KFID)

    kf_arrived(talk.bot, talk.arrived())
    talk.settle()

    assert "欢迎光临星河珠宝" in str(talk.effects("kf_message")[0].payload)


def test_a_welcome_code_that_died_waiting_is_not_used(talk: Talk) -> None:
    kf_actors.enter(talk.town, CUSTOMER, KFID)
    talk.pass_time(seconds=30)

    kf_arrived(talk.bot, talk.arrived())
    talk.settle()

    assert _outcomes(talk) == ["ignored:code_expired"]
    assert talk.town.calls("kf/send_msg_on_event") == []


def test_a_refused_reply_keeps_its_reason(talk: Talk) -> None:
    _reply(talk, "积分", "好的")
    knobs.add_fault(talk.town, "kf/send_msg", "errcode", 95001, times=None)

    kf_arrived(talk.bot, talk.writes("积分"))
    talk.settle()

    [outcome] = _outcomes(talk)
    assert outcome is not None
    assert outcome.startswith("failed:")


def test_a_repeated_reply_carries_the_same_msgid(talk: Talk) -> None:
    _reply(talk, "积分", "好的")
    kf_arrived(talk.bot, talk.writes("积分"))
    talk.settle()
    with talk.sessions() as session, session.begin():
        session.execute(update(Outbox).values(state="due", result=None, attempts=0))

    talk.settle()

    assert _sends(talk) == 1


def test_markup_and_sql_from_a_customer_are_letters(talk: Talk) -> None:
    contact_id = _customer(talk)

    kf_arrived(talk.bot, talk.writes("'; DROP TABLE contact; -- <b>{导购名}</b>"))
    talk.settle()

    [line] = rows(
        talk.sessions,
        select(TimelineEntry.text).where(
            TimelineEntry.contact_id == contact_id, TimelineEntry.kind == "wrote"
        ),
    )
    assert line == "在客服里说：'; DROP TABLE contact; -- <b>{导购名}</b>"
