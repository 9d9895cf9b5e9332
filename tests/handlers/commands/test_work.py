"""explain, tasks and preview as a person reads them."""

from __future__ import annotations

import json
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.clock import Clock, business_day
from bot.crm.models import Guide
from handlers.commands import wording
from sop import versions
from sop.explain import Absence, Explanation, TaskExplained
from sop.models import TaskState
from tests.factories import Make
from tests.handlers.brand_pack.parts import publishes, sops
from tests.handlers.commands.conftest import Run

DAY = date(2026, 11, 21)
CALLS = "{day: 0, kind: call, title: 电话}"


def test_every_state_of_a_task_has_a_word(session: Session) -> None:
    assert set(wording.STATES) == set(TaskState)
    for state in TaskState:
        task = TaskExplained(1, "新客", "问候", state, None, DAY, 1, "刚加好友", None, None, [], [])
        text = "\n".join(wording.explanation(Explanation(1, "", None, DAY, [task], [])))
        assert f"（{wording.STATES[state]}）" in text
        assert state.value not in text


def test_a_reason_that_many_sops_share_is_said_once(session: Session) -> None:
    nobody = "没有导购跟进这位客户"
    absences = [
        Absence("新客", 1, [nobody]),
        Absence("生日", 2, ["SOP「生日」已暂停", nobody]),
        Absence("沉睡", 1, [nobody]),
    ]
    lines = wording.explanation(Explanation(1, " ", None, DAY, [], absences))
    assert lines[0].startswith("（没有名字）")
    assert lines[-2:] == [
        "○ 新客 v1、沉睡 v1：没有导购跟进这位客户",
        "○ 生日 v2：SOP「生日」已暂停；没有导购跟进这位客户",
    ]
    [*_, only] = wording.explanation(Explanation(1, "", None, DAY, [], absences[:1]))
    assert only == "○ 新客 v1：没有导购跟进这位客户"


def test_a_day_from_night_to_tasks_is_told_in_chinese(daogou: Run, session: Session) -> None:
    now = Clock().now()
    day = business_day(now)
    publishes(session, sops(CALLS), now=now)
    make = Make(session)
    guide = make.guide(userid="liuyang")
    contact = make.contact(guide, followed_on=day, name="", external_userid="wm-x")
    session.commit()
    night = daogou("nightly", "--day", str(day))
    assert (night.status, night.out) == (0, f"{day} 新增任务 1 项。\n")
    tasks = daogou("tasks", "--guide", "LiuYang")
    assert "1. 客户 · 电话（待办）" in tasks.out
    explained = daogou("explain", str(contact.id), "--day", str(day))
    assert explained.out.startswith("（没有名字）  ")
    assert "● 新客 · 电话（待办）" in explained.out
    [view] = json.loads(daogou("tasks", "--guide", "liuyang", "--json").out)
    assert view["state"] == "open"
    daogou("tasks", "--guide", "nobody").refused("没有这位导购")
    daogou("explain", "nobody").refused("没有找到客户")


def test_the_days_of_a_preview_are_one_to_ninety(daogou: Run, session: Session) -> None:
    publishes(session, sops(CALLS))
    session.commit()
    for days in ("0", "91", "-1"):
        daogou("preview", "新客", "--days", days).refused("1 到 90 之间")
    shown = daogou("preview", "新客", "--days", "1", "--day", "2026-11-21")
    assert shown.status == 0
    assert shown.out.startswith("SOP「新客」未来 1 天")
    daogou("preview", "没有的").refused("没有叫「没有的」的 SOP")


def test_a_preview_tells_kinds_waiting_and_what_changes(daogou: Run, session: Session) -> None:
    day, make = date(2026, 11, 21), Make(session)
    publishes(session, sops(CALLS) + "settings: {tasks_per_guide: 1}\n")
    guide = session.scalars(select(Guide)).one()
    for name in ("甲", "乙"):
        make.contact(guide, name=name, followed_on=day)
    changed = {"day": 0, "kind": "invite", "title": "邀约"}
    plan = {"name": "新客", "trigger": {"kind": "followed"}, "steps": [changed]}
    versions.save_draft(session, "新客", plan, "总部")
    session.commit()
    given = ("preview", "新客", "--days", "1", "--day", day.isoformat())
    said = daogou(*given).out
    assert "    邀约 1\n    排队：导购已排满 1\n" in said
    assert "新增 1 项，不再 1 项，不变 0 项\n" in said
    assert "    新增 2026-11-21 甲 · 邀约\n    不再 2026-11-21 甲 · 电话\n" in said
    told = json.loads(daogou(*given, "--json").out)
    assert (told["days"][0]["by_kind"], told["days"][0]["waiting_by"]) == (
        {"invite": 1},
        {"guide_cap": 1},
    )
    [sample] = told["change"]["added_samples"]
    assert (sample["contact_name"], sample["title"]) == ("甲", "邀约")
