"""Editing and publishing touch exactly whom they should; other plans go on undisturbed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.errors import UserError
from handlers.brand_pack import PackError
from sop import versions
from sop.models import Enrollment, Reach, Sop, SopStep, SopVersion, VersionState
from sop.preview import preview
from tests.scenarios.packs import pack, sop, step
from tests.world import TODAY, World

D = timedelta(days=1)
PLAN = sop("新客首月", "followed", step(0, "欢迎"), step(2, "旧的第二天"))
EDITED = sop("新客首月", "followed", step(0, "欢迎"), step(2, "新的第二天"))


def _publish(world: World, spec: dict[str, Any], reach: Reach) -> versions.Impact:
    with world.session() as session, session.begin():
        draft = versions.save_draft(session, spec["name"], spec, "总部")
        foreseen = versions.impact(session, draft.sop_id, reach, world.now())
        done = versions.publish(session, draft.sop_id, reach, "总部", world.now())
    assert foreseen == done
    return done


def _enrollments(world: World) -> list[tuple[Any, ...]]:
    return world.rows(
        select(Enrollment.contact_id, Enrollment.state, SopVersion.number)
        .join(SopVersion, SopVersion.id == Enrollment.version_id)
        .order_by(Enrollment.contact_id)
    )


def _second_day(world: World) -> list[str]:
    """The tasks of the edited step; undone ones of the first stay on the list beside them."""
    return sorted(title for title in world.titles() if "第二天" in title)


def test_a_new_friend_ends_nobody_elses_plan(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    people = [world.person(f"客户{n}") for n in range(4)]
    for number, person in enumerate(people):
        person.adds()
        assert len(_enrollments(world)) == number + 1
    assert {row[1] for row in _enrollments(world)} == {"active"}
    world.night(TODAY + 2 * D)
    assert _second_day(world) == [f"客户{n} · 旧的第二天" for n in range(4)]


def test_an_edit_for_new_customers_leaves_the_others_their_version(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.settle()
    found = _publish(world, EDITED, Reach.NEW_ONLY)
    assert (found.migrated, found.stayed) == (0, 1)
    late = world.person("后来的")
    late.adds()
    world.night(TODAY + 2 * D)
    assert _second_day(world) == ["后来的 · 新的第二天", "韩梅 · 旧的第二天"]


def test_an_edit_for_everyone_reaches_everyone(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.settle()
    found = _publish(world, EDITED, Reach.EVERYONE)
    assert (found.migrated, found.stayed) == (1, 0)
    world.night(TODAY + 2 * D)
    assert _second_day(world) == ["韩梅 · 新的第二天"]


def test_publishing_wakes_no_event_of_the_past(world: World) -> None:
    world.load(pack())
    world.customer.adds()
    world.customer.buys()
    world.settle()
    world.pass_time(days=1)
    found = _publish(world, sop("售后", "purchased", step(0, "感谢")), Reach.NEW_ONLY)
    assert found.enrolled_now == 0
    world.night(TODAY + 2 * D)
    assert world.titles() == []


def test_a_published_version_never_changes(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    _publish(world, EDITED, Reach.NEW_ONLY)
    rows = world.rows(
        select(SopVersion.number, SopVersion.state, SopStep.title)
        .join(SopStep, SopStep.version_id == SopVersion.id)
        .where(SopStep.day == 2)
        .order_by(SopVersion.number)
    )
    assert rows == [
        (1, VersionState.RETIRED, "旧的第二天"),
        (2, VersionState.PUBLISHED, "新的第二天"),
    ]


def test_loading_an_unchanged_plan_publishes_no_version(world: World) -> None:
    assert world.load(pack(sops=[PLAN])).published == 1
    assert world.load(pack(sops=[PLAN])).published == 0
    assert len(world.scalars(select(SopVersion))) == 1


def test_a_step_already_done_is_not_done_again_after_an_edit(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.guide.writes("完成 1")
    _publish(world, EDITED, Reach.EVERYONE)
    world.night(TODAY + D)
    assert world.titles() == []


def test_pausing_holds_and_going_on_goes_on(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    [sop_id] = world.scalars(select(Sop.id))
    with world.session() as session, session.begin():
        versions.pause(session, sop_id, True)
    world.night(TODAY + 2 * D)
    assert world.titles() == []
    with world.session() as session, session.begin():
        versions.pause(session, sop_id, False)
    world.night(TODAY + 3 * D)
    assert "韩梅 · 旧的第二天" in world.titles()


@pytest.mark.parametrize(
    "audience",
    [
        {},
        {"all": []},
        {"any": []},
        {"not": {}},
        {"field": "has_tag", "op": "in", "value": []},
    ],
    ids=str,
)
def test_an_empty_condition_is_refused_and_never_means_everyone(
    world: World, audience: dict[str, Any]
) -> None:
    world.load(pack())
    with pytest.raises(PackError):
        world.load(pack(sops=[sop(audience=audience)]))
    world.customer.adds()
    assert world.titles() == []


def test_a_changed_trigger_cannot_carry_the_old_ones_along(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    changed = sop("新客首月", "purchased", step(0, "欢迎"))
    with pytest.raises(UserError, match="触发条件变了"):
        _publish(world, changed, Reach.EVERYONE)


def test_a_preview_writes_nothing_and_foretells_the_night(world: World) -> None:
    world.load(pack(sops=[PLAN]))
    world.customer.adds()
    world.guide.writes("完成 1")
    before = _enrollments(world), world.titles()
    with world.session() as session:
        found = preview(session, versions.newest(session, "新客首月"), TODAY + D, 3)
    assert [day.day for day in found.days] == [TODAY + n * D for n in (1, 2, 3)]
    assert (_enrollments(world), world.titles()) == before
    assert found.tasks == 1
