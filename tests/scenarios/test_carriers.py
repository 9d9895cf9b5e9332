"""SMS and official account from the night to the telephone, and what the customer answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from bot.crm.models import OptOut
from bot.sandbox import knobs, official_account, sms
from sop.models import Task, Touch
from tests.scenarios.packs import pack, sop
from tests.world import TODAY, Customer, World, world

__all__ = ["world"]

BOTH = ["template_message", "sms"]


def _pack(first: Any = BOTH) -> str:
    templates = {"sms": "回访短信", "template_message": "回访消息"}
    short = {"day": 8, "kind": "sms", "title": "一周", "template": "回访短信"}
    return pack(
        sms_templates=[
            {
                "name": "回访短信",
                "signature": "星河珠宝",
                "code": "SMS_1",
                "text": "{客户称呼}您好，退订回TD",
                "params": {"name": "{客户称呼}"},
            }
        ],
        wechat_templates=[{"name": "回访消息", "code": "T1", "data": {"thing1": "{客户称呼}"}}],
        sops=[
            sop(
                "回访",
                "followed",
                {
                    "day": 1,
                    "kind": first,
                    "title": "次日",
                    "template": templates if first == BOTH else "回访短信",
                },
                short,
                {**short, "day": 15, "title": "两周"},
            )
        ],
    )


def _meimei(world: World) -> Customer:
    """A member who follows 王芳 since the first day."""
    meimei = world.person(
        "韩梅", external_userid="wmMeimei", gender=2, mobile="13800000002", member_no="M2"
    )
    meimei.joins()
    meimei.adds()
    world.settle()
    return meimei


def _states(world: World) -> list[tuple[str, str, str]]:
    rows = world.rows(select(Task.step_key, Task.kind, Task.state).order_by(Task.id))
    return [(str(key), str(kind), str(state)) for key, kind, state in rows]


def _ten(world: World, days: int) -> None:
    """Until ten o'clock of the day so many days after the first, its night included."""
    day = TODAY + timedelta(days=days)
    world.night(day)
    world.sleep_until(day, 10, 1)
    world.tick()


def test_a_message_goes_where_it_reaches_her_until_she_refuses(world: World) -> None:
    world.load(_pack())
    meimei = _meimei(world)
    _ten(world, 1)
    [message] = world.effects("template_sent", meimei.id)
    assert message.payload["data"] == {"thing1": "韩女士"}
    assert world.effects("sms_sent") == []
    assert world.titles() == []

    _ten(world, 8)
    [text] = world.effects("sms_sent", meimei.id)
    assert text.who == "138****0002"
    assert text.payload["params"] == {"name": "韩女士"}
    assert world.scalars(select(Task.outcome).where(Task.kind == "sms")) == ["短信已送达"]
    assert world.scalars(select(Touch.channel).order_by(Touch.id)) == ["template_message", "sms"]

    sms.reply(world.town, meimei.id, "TD")
    world.settle()
    assert world.rows(select(OptOut.channel, OptOut.source)) == [("sms", "sms_reply")]
    _ten(world, 15)
    assert len(world.effects("sms_sent")) == 1
    assert [state for _, _, state in _states(world)] == ["done", "done", "withdrawn"]


def test_who_does_not_follow_the_account_gets_it_by_sms_on_the_same_day(world: World) -> None:
    world.load(_pack())
    meimei = _meimei(world)
    official_account.unsubscribe(world.town, meimei.id)
    _ten(world, 1)
    world.tick()
    assert world.effects("template_sent") == []
    assert len(world.effects("sms_sent", meimei.id)) == 1
    assert world.rows(select(OptOut.channel, OptOut.source)) == []
    assert [(kind, state) for _, kind, state in _states(world)] == [("sms", "done")]
    assert world.scalars(select(Touch.channel)) == ["sms"]
    _ten(world, 8)
    assert len(world.effects("sms_sent", meimei.id)) == 2


def test_a_gateway_that_answers_nothing_is_asked_again_and_the_telephone_rings_once(
    world: World,
) -> None:
    world.load(_pack("sms"))
    meimei = _meimei(world)
    knobs.add_fault(world.town, "sms/messages", "truncate_after", times=2)
    _ten(world, 1)
    for _ in range(2):
        world.pass_time(minutes=10)
        world.settle()
    assert len(world.effects("sms_sent", meimei.id)) == 1
    assert [state for _, _, state in _states(world)] == ["done"]
    assert len(world.town.calls("sms/messages")) == 3


def test_who_deleted_her_guide_is_bidden_farewell_by_a_machine(world: World) -> None:
    farewell = {"day": 1, "kind": "sms", "title": "告别", "template": "告别短信"}
    template = {
        "name": "告别短信",
        "signature": "星河珠宝",
        "code": "SMS_9",
        "text": "{客户称呼}，{品牌名}感谢您，退订回TD",
    }
    world.load(pack(sms_templates=[template], sops=[sop("告别", "lost", farewell)]))
    meimei = _meimei(world)
    meimei.deletes()
    world.settle()
    assert meimei.row().guide_id is None
    _ten(world, 1)
    [text] = world.effects("sms_sent", meimei.id)
    assert text.payload["content"] == "【星河珠宝】韩女士，星河珠宝感谢您，退订回TD"
    _ten(world, 2)
    assert len(world.effects("sms_sent")) == 1


def test_every_way_of_refusing_meets_in_one_place(world: World) -> None:
    world.load(_pack())
    meimei = _meimei(world)
    messages = ["mass_message", "sms", "template_message"]

    meimei.writes_kf("退订，别再发了")
    refused = select(OptOut.channel).where(OptOut.is_out).order_by(OptOut.channel)
    assert world.scalars(refused) == messages
    assert len(meimei.reads_kf()) == 1

    event = {
        "id": "o1",
        "source": "mall",
        "type": "opt_out",
        "who": {"member_no": "M2"},
        "channel": "chat",
        "occurred_at": world.now().isoformat(),
    }
    assert world.post_events([event, event])[1]["accepted"] == 1
    assert world.scalars(refused) == ["chat", *messages]
    again = {**event, "id": "o2", "channel": "all", "is_out": False}
    world.pass_time(minutes=1)
    again["occurred_at"] = world.now().isoformat()
    world.post_events([again])
    assert world.scalars(refused) == []

    other = world.person("李雷", external_userid="wmLiLei")
    other.adds()
    assert "李雷" in world.guide.writes("退订 李雷")
    guide = select(OptOut.channel).where(OptOut.contact_id == other.row().id)
    assert sorted(world.scalars(guide)) == messages
