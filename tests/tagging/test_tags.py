"""Tags and their way to WeCom: one call per live relation, and what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import outbox
from bot.errors import UserError
from bot.outbox import Outbox
from bot.wecom.details import CorpTag, CorpTagGroup
from tagging import adoption, corp_tags, tags
from tagging.models import Tag, TagAssignment, TagGroup, TagSource
from tests.factories import NOON, Make
from tests.fixtures_db import counting


class World:
    """One contact with two guides, and two tags of which WeCom knows the first."""

    def __init__(self, session: Session) -> None:
        self.session, self.make = session, Make(session)
        self.guides = [self.make.guide(), self.make.guide()]
        self.contact = self.make.contact(self.guides[0])
        self.second = self.make.follow(self.guides[1], self.contact)
        self.known = self.make.tag("渠道/收银台", wecom_id="et1")
        self.unknown = self.make.tag("价值/高净值")

    def assign(self, *given: Tag, source: TagSource = TagSource.GUIDE) -> int:
        ids = [tag.id for tag in given]
        return tags.assign(self.session, [self.contact.id], ids, source, NOON)

    def row(self, tag: Tag) -> TagAssignment | None:
        key = (self.contact.id, tag.id)
        return self.session.get(TagAssignment, key, populate_existing=True)

    def state(self, tag: Tag) -> tuple[bool, str] | None:
        row = self.row(tag)
        return None if row is None else (row.is_on, row.mark_state)

    def calls(self, kind: str = "mark_tag") -> list[outbox.Delivery]:
        """The calls wanted since the last look."""
        rows = self.session.scalars(
            select(Outbox).where(Outbox.kind == kind, Outbox.state == "due").order_by(Outbox.id)
        ).all()
        found = []
        for row in rows:
            row.state = "done"
            names = outbox.Delivery.__dataclass_fields__
            found.append(outbox.Delivery(**{name: getattr(row, name) for name in names}))
        self.session.flush()
        return found

    def finish(self, errcode: int | None = None) -> list[dict[str, Any]]:
        """End all wanted marks, badly with an errcode; returns their bodies."""
        calls = self.calls()
        for call in calls:
            if errcode is None:
                tags.marked(self.session, call)
            else:
                object.__setattr__(call, "last_errcode", errcode)
                object.__setattr__(call, "last_error", "标签在企业微信里已不存在")
                tags.mark_failed(self.session, call)
        return [json.loads(call.body) for call in calls]


@pytest.fixture
def world(session: Session) -> World:
    return World(session)


def test_a_tag_is_marked_once_for_every_guide_who_follows(world: World) -> None:
    assert world.assign(world.known) == 1
    assert tags.push_pending(world.session) == 1
    assert world.state(world.known) == (True, "queued")
    assert world.finish() == [
        {
            "userid": guide.userid,
            "external_userid": world.contact.external_userid,
            "add_tag": ["et1"],
        }
        for guide in world.guides
    ]
    assert world.state(world.known) == (True, "marked")
    assert tags.push_pending(world.session) == 0
    assert world.assign(world.known) == 0
    assert world.calls() == []


def test_adding_and_removing_for_one_relation_is_one_call_in_order(world: World) -> None:
    other = world.make.tag("渠道/小红书", wecom_id="et2")
    world.assign(world.known)
    tags.push_pending(world.session)
    world.finish()
    world.assign(other)
    tags.remove(world.session, [world.contact.id], [world.known.id])
    tags.push_pending(world.session)
    calls = world.calls()
    assert [call.order_key for call in calls] == [
        f"mark:{call.subject['relation_id']}" for call in calls
    ]
    assert {(tuple(body["add_tag"]), tuple(body["remove_tag"])) for body in _bodies(calls)} == {
        (("et2",), ("et1",))
    }
    assert world.state(world.known) == (False, "queued")
    for call in calls:
        tags.marked(world.session, call)
    assert world.row(world.known) is None
    assert world.state(other) == (True, "marked")


def _bodies(calls: list[outbox.Delivery]) -> list[dict[str, Any]]:
    return [json.loads(call.body) for call in calls]


def test_a_tag_that_changes_back_while_calls_are_out_ends_as_last_said(world: World) -> None:
    world.assign(world.known)
    tags.push_pending(world.session)
    first = world.calls()
    tags.remove(world.session, [world.contact.id], [world.known.id])
    for call in first:
        tags.marked(world.session, call)
    assert world.state(world.known) == (False, "pending")
    tags.push_pending(world.session)
    second = world.calls()
    world.assign(world.known)
    for call in second:
        tags.marked(world.session, call)
    assert world.state(world.known) == (True, "pending")
    tags.push_pending(world.session)
    assert [body["add_tag"] for body in world.finish()] == [["et1"], ["et1"]]
    assert world.state(world.known) == (True, "marked")


def test_a_removal_is_forgotten_only_when_every_guide_has_lost_the_tag(world: World) -> None:
    world.assign(world.known)
    tags.push_pending(world.session)
    world.finish()
    tags.remove(world.session, [world.contact.id], [world.known.id])
    tags.push_pending(world.session)
    first, second = world.calls()
    tags.marked(world.session, first)
    assert world.state(world.known) == (False, "queued")
    tags.marked(world.session, second)
    assert world.row(world.known) is None


def test_a_failed_mark_keeps_its_reason_and_a_retry_that_works_heals_it(world: World) -> None:
    world.assign(world.known)
    tags.push_pending(world.session)
    first, second = world.calls()
    object.__setattr__(first, "last_error", "标签在企业微信里已不存在")
    tags.mark_failed(world.session, first)
    tags.marked(world.session, second)
    row = world.row(world.known)
    assert row is not None
    assert (row.mark_state, row.mark_error) == ("failed", "标签在企业微信里已不存在")
    tags.marked(world.session, first)
    row = world.row(world.known)
    assert row is not None
    assert (row.mark_state, row.mark_error, row.open_marks) == ("marked", None, 0)


def test_a_relation_that_ended_meanwhile_is_no_failure(world: World) -> None:
    world.assign(world.known)
    tags.push_pending(world.session)
    world.finish(errcode=84061)
    assert world.state(world.known) == (True, "marked")


def test_a_tag_waits_until_wecom_knows_it(world: World) -> None:
    world.assign(world.unknown)
    assert tags.push_pending(world.session) == 1
    assert world.state(world.unknown) == (True, "waiting")
    assert tags.push_pending(world.session) == 0

    assert tags.push_new_tags(world.session) == 1
    assert tags.push_new_tags(world.session) == 0
    (call,) = world.calls("corp_tag_create")
    assert json.loads(call.body) == {"group_name": "价值", "tag": [{"name": "高净值"}]}
    answer = {"tag_group": {"group_id": "eg9", "tag": [{"id": "et9", "name": "高净值"}]}}
    object.__setattr__(call, "result", answer)
    tags.tag_created(world.session, call)
    tags.tag_created(world.session, call)

    tags.push_pending(world.session)
    assert [body["add_tag"] for body in world.finish()] == [["et9"], ["et9"]]
    group = world.session.scalars(select(TagGroup).where(TagGroup.name == "价值")).one()
    assert group.wecom_id == "eg9"


def test_half_friends_and_the_unfollowed_wait_and_are_marked_once_a_guide_is_there(
    world: World,
) -> None:
    half = world.make.contact()
    relation = world.make.follow(world.guides[0], half, state="half")
    till = world.make.contact(external_userid=None)
    ids = [half.id, till.id]
    tags.assign(world.session, ids, [world.known.id], TagSource.CHANNEL, NOON)
    tags.push_pending(world.session)
    assert world.calls() == []
    relation.state = "active"
    world.session.flush()
    assert tags.repeat_marks(world.session, [half.id]) == 1
    tags.push_pending(world.session)
    assert len(world.finish()) == 1
    # Nobody follows the person from the till: taking the tag off needs nobody's leave.
    tags.remove(world.session, [till.id], [world.known.id])
    tags.push_pending(world.session)
    assert (
        world.session.get(TagAssignment, (till.id, world.known.id), populate_existing=True) is None
    )


def test_a_contact_who_gains_a_guide_gets_her_tags_marked_there_too(world: World) -> None:
    world.assign(world.known)
    tags.push_pending(world.session)
    world.finish()
    third = world.make.guide()
    world.make.follow(third, world.contact)
    tags.repeat_marks(world.session, [world.contact.id])
    tags.push_pending(world.session)
    assert third.userid in [body["userid"] for body in world.finish()]


def test_assigning_passes_over_unknown_ids_merged_contacts_and_deleted_tags(world: World) -> None:
    merged = world.make.contact(merged_into_id=world.contact.id)
    dead = world.make.tag("渠道/旧", is_active=False)
    given = tags.assign(
        world.session,
        [world.contact.id, merged.id, 10**9],
        [world.known.id, dead.id, 10**9],
        "import",
        NOON,
    )
    assert given == 1
    assert tags.assign(world.session, [], [world.known.id], "import", NOON) == 0
    assert tags.remove(world.session, [merged.id], [world.known.id]) == 0


def test_ensuring_a_tag_twice_gives_the_same_one_and_revives_a_deleted_one(world: World) -> None:
    first = tags.ensure(world.session, "价值", "新贵")
    assert tags.ensure(world.session, " 价值 ", "新贵") == first
    world.session.get_one(Tag, first).is_active = False
    world.session.flush()
    assert tags.ensure(world.session, "价值", "新贵") == first
    assert world.session.get_one(Tag, first, populate_existing=True).is_active
    for group, name in (("", "x"), ("价值", " "), ("价值", "长" * 31), ("a/b", "x")):
        with pytest.raises(UserError):
            tags.ensure(world.session, group, name)


def test_what_a_guide_changes_in_wecom_becomes_ours(world: World) -> None:
    session = world.session
    mine = world.make.tag("渠道/小红书", wecom_id="et2")
    world.assign(world.known)
    tags.push_pending(session)
    world.finish()
    relation = world.second.id
    read_at = adoption.database_now(session)

    assert adoption.adopt(session, {relation: ["et2", "personal"]}, NOON, read_at=read_at) == 2
    assert world.state(world.known) == (False, "pending")
    row = world.row(mine)
    assert row is not None
    # The other guide does not have it yet.
    assert (row.is_on, row.source, row.mark_state) == (True, "wecom", "pending")
    tags.push_pending(session)
    world.finish()
    assert world.row(world.known) is None
    read_at = adoption.database_now(session)
    assert adoption.adopt(session, {relation: ["et2"]}, NOON, read_at=read_at) == 0


def test_a_reading_older_than_our_mark_takes_nothing_away(world: World) -> None:
    world.assign(world.known)
    read_at = adoption.database_now(world.session)
    assert adoption.adopt(world.session, {world.second.id: []}, NOON, read_at=read_at) == 0
    tags.push_pending(world.session)
    world.finish()
    assert adoption.adopt(world.session, {world.second.id: []}, NOON, read_at=read_at) == 0
    assert adoption.adopt(world.session, {world.second.id: []}, NOON) == 0
    assert world.state(world.known) == (True, "marked")


def test_a_guide_who_has_just_come_has_not_removed_the_tags_she_never_had(world: World) -> None:
    world.assign(world.known)
    tags.push_pending(world.session)
    world.finish()
    late = world.make.follow(world.make.guide(), world.contact)
    read_at = adoption.database_now(world.session)
    assert adoption.adopt(world.session, {late.id: []}, NOON, read_at=read_at) == 0
    tags.repeat_marks(world.session, [world.contact.id])
    tags.push_pending(world.session)
    world.finish()
    read_at = adoption.database_now(world.session)
    assert adoption.adopt(world.session, {late.id: []}, NOON, read_at=read_at) == 1
    assert world.state(world.known) == (False, "pending")


def test_drift_is_healed_in_both_directions(world: World) -> None:
    session = world.session
    theirs = world.make.tag("渠道/小红书", wecom_id="et2")
    world.assign(world.known)
    tags.push_pending(session)
    world.finish(errcode=40068)
    assert world.state(world.known) == (True, "failed")
    assert adoption.repair(session, {world.second.id: ["et2"]}, NOON) == 2
    assert world.state(theirs) == (True, "pending")
    tags.push_pending(session)
    world.finish()
    healthy = {world.second.id: ["et1", "et2"]}
    assert adoption.repair(session, healthy, NOON) == 0


def test_wecoms_list_is_followed_by_id_then_by_name(world: World) -> None:
    session = world.session
    gone = world.make.tag("渠道/旧街", wecom_id="et7")
    world.make.assignment(world.contact, gone)
    world.assign(world.unknown)
    tags.push_pending(session)
    groups = [
        CorpTagGroup("eg1", "渠道", 1, (CorpTag("et1", "收银台二号", 1),)),
        CorpTagGroup("eg2", "价值", 2, (CorpTag("et5", "高净值", 1), CorpTag("et6", "新", 0))),
    ]
    assert tags.adopt_corp_tags(session, groups) > 0
    rows = {one.wecom_id: one.name for one in session.scalars(select(Tag)) if one.is_active}
    assert rows == {"et1": "收银台二号", "et5": "高净值", "et6": "新"}
    assert world.row(gone) is None
    assert world.state(world.unknown) == (True, "pending")
    assert tags.adopt_corp_tags(session, groups) == 0

    # Made again in WeCom under the same name: the same tag of ours lives again.
    again = [*groups, CorpTagGroup("eg3", "渠道", 0, (CorpTag("et8", "旧街", 0),))]
    tags.adopt_corp_tags(session, again)
    assert session.get_one(Tag, gone.id, populate_existing=True).wecom_id == "et8"


def test_pushing_takes_as_many_statements_for_a_thousand_contacts_as_for_ten(
    engine, world: World
) -> None:
    counts = []
    for number in (10, 1000):
        ids = [world.make.contact(world.guides[0]).id for _ in range(number)]
        with counting(engine) as seen:
            assert tags.assign(world.session, ids, [world.known.id], "channel", NOON) == number
            assert tags.push_pending(world.session) == number
        counts.append(seen.count)
    assert counts[0] == counts[1]
    assert corp_tags.KIND == "corp_tag_create"
