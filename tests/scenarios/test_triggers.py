"""Every trigger puts the right customers into its plan, on the right day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.clock import at
from bot.crm.models import FestivalDay
from bot.sandbox import guide_actors
from sop.models import Enrollment, TaskState
from tagging.models import Tag
from tests.scenarios.packs import pack, sop, step
from tests.world import TODAY, World, local

D = timedelta(days=1)


def _friend(world: World, *sops: dict[str, Any], **settings: Any) -> None:
    world.load(pack(sops=list(sops), settings=settings))
    world.customer.adds()
    world.settle()


def test_a_new_friend_is_in_the_plan_within_the_moment(world: World) -> None:
    world.load(pack(sops=[sop("新客首月", "followed", step(0, "当天问候", at="+2h"), step(7))]))
    world.customer.scans("sh001-cashier")
    [task] = world.tasks()
    assert (task.contact_name, task.title, task.state) == ("韩梅", "当天问候", TaskState.OPEN)
    assert task.due_at is not None
    assert local(task.due_at)[:15] == "2030-03-05 12:0"
    assert task.words == "韩梅，我是王芳，有事找我。"
    assert "新客首月 v1" in task.why_line


def test_later_steps_come_on_their_days(world: World) -> None:
    _friend(world, sop("新客首月", "followed", step(1, "次日"), step(3, "三天")))
    seen = {}
    for number in range(1, 5):
        world.night(TODAY + number * D)
        seen[number] = world.titles()
    assert seen[1] == ["韩梅 · 次日"]
    assert "韩梅 · 三天" in seen[3]


def test_a_purchase_of_the_category_and_amount_enrolls(world: World) -> None:
    wanted = {"kind": "purchased", "category": "对戒", "min_fen": 1_000_000}
    _friend(world, sop("售后", wanted, step(0, "感谢")))
    world.customer.buys("项链", 2_000_000)
    world.customer.buys("对戒", 900_000)
    assert world.tasks() == []
    world.customer.buys("对戒", 1_000_000)
    assert world.titles() == ["韩梅 · 感谢"]


def test_two_orders_of_one_day_are_one_enrollment(world: World) -> None:
    _friend(world, sop("售后", "purchased", step(0, "感谢")))
    world.customer.buys("对戒")
    world.customer.buys("项链")
    assert world.titles() == ["韩梅 · 感谢"]
    assert len(world.scalars(select(Enrollment))) == 1


def test_a_birthday_is_foreseen(world: World) -> None:
    _friend(world, sop("生日", "birthday", step(-2, "生日祝福")))
    world.customer.joins(member_no="M1", birthday="1990-03-09")
    world.night(TODAY + D)
    assert world.tasks() == []
    world.night(TODAY + 2 * D)
    [task] = world.tasks()
    assert task.title == "生日祝福"
    assert "还有 2 天" in task.why_line


def test_a_purchase_anniversary_comes_every_year(world: World) -> None:
    _friend(world, sop("周年", "purchase_anniversary", step(0, "周年问候")))
    world.customer.buys(occurred_at=at(date(2028, 3, 6), 15))
    world.settle()
    world.night(TODAY + D)
    assert world.titles() == ["韩梅 · 周年问候"]


def test_falling_asleep_enrolls_once(world: World) -> None:
    lifecycle = {"active_days": 2, "dormant_days": 3, "churned_days": 30, "loyal_purchases": 3}
    asleep = {"kind": "stage_entered", "stage": "dormant"}
    _friend(world, sop("召回", asleep, step(0, "想念您")), lifecycle=lifecycle)
    world.customer.buys()
    world.settle()
    found = []
    for number in range(1, 8):
        world.night(TODAY + number * D)
        found += [number for one in world.tasks() if one.state == TaskState.OPEN]
    assert found
    assert len(world.scalars(select(Enrollment))) == 1


def test_a_tag_set_by_a_guide_enrolls(world: World) -> None:
    tagged = {"kind": "tag_added", "tag": "价值/高净值"}
    _friend(world, sop("高净值", tagged, step(0, "专属服务")))
    [wecom_id] = world.scalars(select(Tag.wecom_id).where(Tag.name == "高净值"))
    guide_actors.edit_tags(world.town, "wangfang", world.customer.id, add=[wecom_id])
    assert world.titles() == ["韩梅 · 专属服务"]


def test_a_festival_is_prepared(world: World) -> None:
    world.load(pack())
    [(name, day)] = world.rows(
        select(FestivalDay.name, FestivalDay.held_on)
        .where(FestivalDay.held_on > TODAY)
        .order_by(FestivalDay.held_on, FestivalDay.name)
        .limit(1)
    )
    _friend(world, sop("节日", {"kind": "festival", "name": name}, step(-1, "节前问候")))
    world.night(day - D)
    assert "韩梅 · 节前问候" in world.titles()


@pytest.mark.parametrize("days", [0, 2])
def test_a_date_is_a_date(world: World, days: int) -> None:
    day = TODAY + days * D
    _friend(world, sop("店庆", {"kind": "date", "on": day.isoformat()}, step(0, "店庆邀请")))
    if days:
        assert world.tasks() == []
        world.night(day)
    assert world.titles() == ["韩梅 · 店庆邀请"]


def test_an_audience_narrows_with_all_its_conditions(world: World) -> None:
    audience = {
        "all": [
            {"field": "has_tag", "op": "=", "value": "渠道/收银台"},
            {"field": "member_level", "op": "=", "value": "金卡"},
        ]
    }
    world.load(pack(sops=[sop(audience=audience)]))
    one, both = world.person("只扫码"), world.person("两样都有")
    both.joins(member_no="M2", level="金卡")
    for person in (one, both):
        person.scans("sh001-cashier")
    world.customer.adds()
    assert world.titles() == ["两样都有 · 问候"]


def test_an_audience_nobody_fits_reaches_nobody(world: World) -> None:
    nobody = {"field": "member_level", "op": "=", "value": "没有这个级别"}
    _friend(world, sop(audience=nobody))
    world.night(TODAY + D)
    assert world.scalars(select(Enrollment)) == []


def test_who_is_no_longer_fit_is_withdrawn_when_a_step_is_due(world: World) -> None:
    audience = {"field": "purchase_count", "op": "=", "value": 0}
    _friend(world, sop("未购", "followed", step(0, "欢迎"), step(2, "请来看看"), audience=audience))
    assert world.titles() == ["韩梅 · 欢迎"]
    world.customer.buys()
    world.night(TODAY + 2 * D)
    assert world.titles() == []
    [(state, reason)] = world.rows(select(Enrollment.state, Enrollment.ended_reason))
    assert state == "withdrawn"
    assert "不再符合" in reason


def test_who_left_gets_no_more_tasks(world: World) -> None:
    _friend(world, sop("新客", "followed", step(0, "问候"), step(1, "次日")))
    world.customer.deletes()
    assert world.titles() == []
    world.night(TODAY + D)
    assert world.titles() == []
