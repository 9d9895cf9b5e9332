"""Mass messages, group messages and moments, from the plan to what customers see."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from bot.errors import WeComUnavailable
from bot.outbox import Outbox
from bot.sandbox import actors, knobs, mass_actors
from handlers import posting_results, timetable
from sop import mass_reminders
from sop.models import MassSend, Posting, PostingGuide, Task, Touch
from sop.send_board import SendKey
from tests.bot.sandbox.conftest import PNG
from tests.scenarios.packs import SMALL, pack, sop, step
from tests.world import TODAY, World

D = timedelta(days=1)
ADD = "externalcontact/add_msg_template"
POINTS = [
    *SMALL["talking_points"],
    {"name": "上新", "scene": "群发", "variants": ["{客户称呼}，{导购名}这里上新了。"]},
    {"name": "日更", "scene": "朋友圈", "variants": ["{品牌名}今日上新。"]},
]


def _mass(**more: Any) -> dict[str, Any]:
    return step(1, "上新群发", kind="mass_message", talking_point="上新", at="10:00", **more)


def _load(world: World, *sops: dict[str, Any], **more: Any) -> None:
    world.load(pack(sops=list(sops), talking_points=POINTS, **more))


def _friends(world: World, *names: str) -> list[Any]:
    found = [world.person(name) for name in names]
    for one in found:
        one.adds()
    return found


def _at_ten(world: World) -> None:
    world.night(TODAY + D)
    world.sleep_until(TODAY + D, 10, 1)
    world.tick()
    world.pass_time(seconds=5)


def _ask(world: World) -> int:
    world.settle()
    job = f"posting_results_{11}"
    return timetable.run_now(world.bot, job, world.today())


def _states(world: World) -> list[str]:
    return world.scalars(select(Task.state).order_by(Task.id))


def test_a_mass_message_is_asked_for_once_and_sent_when_the_guide_confirms(world: World) -> None:
    _load(world, sop("上新", "followed", _mass()))
    people = [world.customer, *_friends(world, "李雷", "王梅")]
    world.customer.adds()
    world.night(TODAY + D)
    assert world.tasks(day=TODAY + D) == []
    assert world.effects("mass_created") == []
    world.sleep_until(TODAY + D, 10, 1)
    world.tick()
    world.tick()
    [asked] = world.effects("mass_created")
    assert asked.payload["receivers"] == {"wangfang": 3}
    assert asked.payload["text"] == "您好，王芳这里上新了。"
    assert world.effects("mass_delivered") == []
    world.pass_time(seconds=5)
    assert _ask(world) == 0
    assert _states(world) == ["open"] * 3
    mass_actors.confirm_mass(world.town, "wangfang")
    assert _ask(world) == 3
    assert _ask(world) == 0
    assert _states(world) == ["done"] * 3
    delivered = {one.external_userid for one in world.effects("mass_delivered")}
    assert delivered == {one.id for one in people}
    assert [one.touched_on for one in world.scalars(select(Touch))] == [TODAY + D] * 3
    assert {one.channel for one in world.scalars(select(Touch))} == {"mass_message"}


def test_who_has_not_confirmed_is_reminded_by_wecom_and_too_often_is_no_dead_letter(
    world: World,
) -> None:
    _load(world, sop("上新", "followed", _mass()))
    _friends(world, "李雷")
    _at_ten(world)
    for _ in range(4):
        with world.bot.sessions() as session, session.begin():
            # As if each press came a night later: WeCom counts for itself.
            session.execute(update(MassSend).values(reminded_at=None))
            send = session.scalars(select(MassSend)).one()
            key = SendKey(send.step_id, send.planned_on)
            assert mass_reminders.remind(session, key, None, world.bot.clock.now()) == 1
        world.settle()
        world.pass_time(seconds=5)
    ended = world.rows(select(Outbox.state).where(Outbox.kind == "mass_reminder"))
    assert [state for (state,) in ended] == ["done", "done", "done", "cancelled"]


def test_who_has_had_enough_this_month_is_skipped_and_free_again(world: World) -> None:
    _load(world, sop("上新", "followed", _mass()))
    left, _ = _friends(world, "李雷", "王梅")
    _at_ten(world)
    actors.customer_deletes_guide(world.town, left.id, "wangfang")
    knobs.turn(world.town, mass_per_month=0)
    mass_actors.confirm_mass(world.town, "wangfang")
    _ask(world)
    rows = world.rows(select(Task.state, Task.state_reason))
    assert ("skipped", "客户本月收到的群发已达上限，没有送达") in rows
    assert {state for state, _ in rows} == {"skipped", "withdrawn"}
    assert world.effects("mass_delivered") == []
    assert world.scalars(select(Touch)) == []


@pytest.mark.parametrize("fault", ["hang_after", "truncate_after"])
def test_an_answer_that_was_lost_does_not_ask_the_guide_twice(world: World, fault: str) -> None:
    _load(world, sop("上新", "followed", _mass()))
    _friends(world, "李雷")
    knobs.add_fault(world.town, ADD, fault, 8.0)
    _at_ten(world)
    for _ in range(5):
        world.pass_time(seconds=90)
    assert len(world.effects("mass_created")) == 1
    [send] = world.scalars(select(MassSend))
    assert (send.state, bool(send.msgid)) == ("created", True)
    mass_actors.confirm_mass(world.town, "wangfang")
    assert _ask(world) == 1


def test_a_call_that_never_arrived_is_made_later(world: World) -> None:
    _load(world, sop("上新", "followed", _mass()))
    _friends(world, "李雷")
    knobs.add_fault(world.town, ADD, "status", 502)
    _at_ten(world)
    for _ in range(3):
        world.pass_time(seconds=90)
    assert len(world.effects("mass_created")) == 1


def test_a_message_wecom_does_not_know_is_noted_and_the_others_go_on(world: World) -> None:
    _load(world, sop("上新", "followed", _mass()))
    _friends(world, "李雷")
    world.person("王梅").adds("liuyang")
    _at_ten(world)
    for userid in ("wangfang", "liuyang"):
        mass_actors.confirm_mass(world.town, userid)
    asking = "externalcontact/get_groupmsg_task"
    knobs.add_fault(world.town, asking, "errcode", 41063)
    knobs.add_fault(world.town, asking, "errcode", 41047)
    assert _ask(world) == 0
    errors = [one for one in world.scalars(select(MassSend.error)) if one]
    assert len(errors) == 1
    assert _ask(world) == 2
    assert world.scalars(select(MassSend.error)) == [None, None]


def test_one_message_that_wecom_always_breaks_on_does_not_hide_the_others(world: World) -> None:
    _load(world, sop("上新", "followed", _mass()))
    _friends(world, "李雷")
    world.person("王梅").adds("liuyang")
    _at_ten(world)
    for userid in ("wangfang", "liuyang"):
        mass_actors.confirm_mass(world.town, userid)
    # The first one asked for breaks; in the next run it is the other one's turn to be first.
    knobs.add_fault(world.town, "externalcontact/get_groupmsg_task", "status", 500)
    with pytest.raises(WeComUnavailable):
        _ask(world)
    assert sorted(_states(world)) == ["done", "open"]
    assert None not in world.scalars(select(MassSend.checked_at))
    assert _ask(world) == 1


def test_an_answer_that_was_lost_is_found_although_the_words_were_clipped(world: World) -> None:
    long = [{"name": "上新", "scene": "群发", "variants": ["新品到店。" * 300]}]
    packed = pack(sops=[sop("上新", "followed", _mass())], talking_points=[*POINTS[:-2], *long])
    world.load(packed)
    _friends(world, "李雷")
    knobs.add_fault(world.town, ADD, "hang_after", 8.0)
    _at_ten(world)
    for _ in range(5):
        world.pass_time(seconds=90)
    assert len(world.effects("mass_created")) == 1
    [send] = world.scalars(select(MassSend))
    assert (send.state, bool(send.msgid)) == ("created", True)


def test_while_wecom_is_away_nothing_is_taken_for_a_result(world: World) -> None:
    _load(world, sop("上新", "followed", _mass()))
    _friends(world, "李雷")
    _at_ten(world)
    mass_actors.confirm_mass(world.town, "wangfang")
    knobs.add_fault(world.town, "externalcontact/get_groupmsg_send_result", "status", 502)
    with pytest.raises(WeComUnavailable):
        _ask(world)
    assert _states(world) == ["open"]
    assert _ask(world) == 1


def test_what_the_guide_never_confirms_is_cancelled_and_expires(world: World) -> None:
    _load(world, sop("上新", "followed", _mass()), settings={"catch_up_days": 1})
    _friends(world, "李雷")
    _at_ten(world)
    world.night(TODAY + 2 * D)
    assert _states(world) == ["open"]
    world.night(TODAY + 3 * D)
    assert _states(world) == ["expired"]
    assert len(world.effects("mass_cancelled")) == 1
    assert world.scalars(select(Touch)) == []


def test_a_day_on_which_nothing_could_leave_is_made_up_for(world: World) -> None:
    _load(world, sop("上新", "followed", _mass()))
    _friends(world, "李雷")
    world.night(TODAY + D)
    world.night(TODAY + 2 * D)
    world.sleep_until(TODAY + 2 * D, 10, 1)
    world.tick()
    assert len(world.effects("mass_created")) == 1
    assert [one.planned_on for one in world.scalars(select(Task))] == [TODAY + 2 * D]


def test_the_digest_tells_of_what_has_to_be_confirmed(world: World) -> None:
    _load(world, sop("上新", "followed", _mass()), sop("问候", "followed", step(1, "次日问候")))
    _friends(world, "李雷", "王梅")
    world.night(TODAY + D)
    world.morning(TODAY + D)
    [card] = world.guide.cards()
    assert card["main_title"]["title"] == "今日 2 项"
    assert "群发 1 条待确认（2 位客户）" in str(card)
    assert "\n群发 1 条待确认（2 位客户）" in world.guide.writes("今日")
    assert "没有安排" in world.colleague("liuyang").writes("今日")


def _every_day(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return sop("日更", {"kind": "every", "each": "day"}, *steps, **more)


def test_a_moment_is_made_for_all_guides_and_known_when_they_publish(world: World) -> None:
    moment = step(0, "日更", kind="moment", talking_point="日更", at="10:00", if_missed="drop")
    _load(world, _every_day(moment))
    _at_ten(world)
    [made] = world.effects("moment_created")
    assert made.payload["text"] == "星河珠宝今日上新。"
    assert sorted(made.payload["members"]) == ["liuyang", "wangfang", "zhaomin"]
    world.tick()
    assert len(world.effects("moment_created")) == 1
    mass_actors.publish_moment(world.town, "wangfang")
    assert _ask(world) == 1
    assert _ask(world) == 0
    states = world.scalars(select(PostingGuide.state).order_by(PostingGuide.guide_id))
    assert sorted(states) == ["asked", "asked", "published"]
    assert world.scalars(select(Task)) == []
    world.night(TODAY + 2 * D)
    world.sleep_until(TODAY + 2 * D, 10, 1)
    world.tick()
    assert len(world.effects("moment_created")) == 2


def test_a_moment_shows_its_pictures_and_waits_for_a_wecom_that_is_away(world: World) -> None:
    moment = step(
        0, "日更", kind="moment", talking_point="日更", at="10:00", if_missed="drop",
        materials=["七夕图"],
    )  # fmt: skip
    picture = {"name": "七夕图", "kind": "image", "content": base64.b64encode(PNG).decode()}
    _load(world, _every_day(moment), materials=[*SMALL["materials"], picture])
    knobs.add_fault(world.town, "media/upload_attachment", "status", 502)
    _at_ten(world)
    assert world.effects("moment_created") == []
    world.tick()
    world.settle()
    [made] = world.effects("moment_created")
    assert len(made.payload["members"]) == 3
    mass_actors.publish_moment(world.town, "wangfang")
    [published] = world.effects("moment_published")
    assert [one["msgtype"] for one in published.payload["attachments"]] == ["image"]
    assert world.scalars(select(Posting.error)) == [None]


def test_a_moment_whose_answer_was_lost_is_not_made_twice(world: World) -> None:
    moment = step(0, "日更", kind="moment", talking_point="日更", at="10:00", if_missed="drop")
    _load(world, _every_day(moment))
    knobs.add_fault(world.town, "externalcontact/add_moment_task", "truncate_after")
    _at_ten(world)
    for _ in range(3):
        world.pass_time(minutes=6)
    assert len(world.effects("moment_created")) == 1
    [posting] = world.scalars(select(Posting))
    assert posting.moment_id is not None


def test_a_group_message_goes_to_each_guide_with_her_name(world: World) -> None:
    group = step(0, "周群", kind="group_message", at="10:00", if_missed="drop")
    _load(world, _every_day(group))
    _at_ten(world)
    made = {one.who: one.payload["text"] for one in world.effects("group_message_created")}
    assert "我是王芳" in made["wangfang"]
    assert "我是刘洋" in made["liuyang"]
    assert set(made) == {"wangfang", "liuyang", "zhaomin"}
    mass_actors.confirm_mass(world.town, "liuyang")
    assert _ask(world) == 1
    assert [one.who for one in world.effects("group_message_delivered")] == ["liuyang"]


def test_nothing_of_all_this_is_left_behind_in_the_outbox(world: World) -> None:
    _load(world, sop("上新", "followed", _mass()))
    _friends(world, "李雷")
    _at_ten(world)
    mass_actors.confirm_mass(world.town, "wangfang")
    _ask(world)
    found = world.scalars(select(Outbox.state).where(Outbox.kind == "mass_message"))
    assert found == ["done"]


def test_a_moment_nobody_asked_about_for_a_day_is_found_by_its_words(world: World) -> None:
    moment = step(0, "日更", kind="moment", talking_point="日更", at="10:00", if_missed="drop")
    _load(world, _every_day(moment))
    _at_ten(world)
    mass_actors.publish_moment(world.town, "wangfang")
    world.pass_time(hours=25)
    assert posting_results.poll(world.bot, world.today()) == 1
    [one] = world.rows(select(Posting.state, Posting.moment_id).where(Posting.due_on == TODAY + D))
    assert one[0] == "created"
    assert one[1] is not None
