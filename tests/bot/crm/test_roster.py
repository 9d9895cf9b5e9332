"""Relations: whatever order the reports come in, the book ends the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import select, text

from bot.crm import contact_details, roster
from bot.crm.models import (
    ChannelCodeDay,
    Contact,
    ContactIdentity,
    FollowRelation,
    Guide,
    TimelineEntry,
)
from bot.crm.relation_story import Report
from bot.crm.roster import Said
from bot.wecom.details import ContactDetail, FollowDetail
from tests.factories import Make
from tests.fixtures_db import counting

START = datetime(2026, 11, 20, 15, 59, 30, tzinfo=UTC)  # half a minute before midnight in Shanghai
KEY = "a secret key of the tests"
RELATION_COLUMNS = (
    "state",
    "relation_no",
    "followed_at",
    "followed_on",
    "ended_at",
    "ended_on",
    "ended_by",
    "channel_code_id",
    "state_text",
    "changed_at",
    "history",
)


def seconds(n: int) -> datetime:
    return START + timedelta(seconds=n)


def add(session, n=0, *, half=False, state="cashier", userid="zhangsan", customer="wm1"):
    kind = Report.HALF if half else Report.FULL
    return roster.tell(session, [Said(userid, customer, kind, seconds(n), state)])[0]


def end(session, n, by="customer", *, userid="zhangsan", customer="wm1"):
    return roster.end_follow(session, userid=userid, external_userid=customer, by=by, at=seconds(n))


def relation(session) -> FollowRelation:
    session.expire_all()
    return session.scalars(select(FollowRelation)).one()


def contact(session, customer="wm1") -> Contact:
    session.expire_all()
    return session.scalars(select(Contact).where(Contact.external_userid == customer)).one()


def detail(customer="wm1", *follows: FollowDetail, **given) -> ContactDetail:
    values = {
        "external_userid": customer,
        "name": "王女士",
        "avatar": "https://example.com/a.png",
        "type": 1,
        "gender": 2,
        "unionid": None,
        "corp_name": "",
        "follows": tuple(follows),
    }
    return ContactDetail(**(values | given))


def follow(userid="zhangsan", n=0, **given) -> FollowDetail:
    values = {
        "userid": userid,
        "remark": "",
        "description": "",
        "created_at": seconds(n),
        "tags": (),
        "tag_ids": (),
        "remark_mobiles": (),
        "add_way": 1,
        "state": None,
        "oper_userid": None,
    }
    return FollowDetail(**(values | given))


def snapshot(session):
    session.expire_all()
    row = relation(session)
    person = contact(session)
    days = session.execute(
        select(ChannelCodeDay.day, ChannelCodeDay.added_count, ChannelCodeDay.lost_count)
        .where((ChannelCodeDay.added_count > 0) | (ChannelCodeDay.lost_count > 0))
        .order_by(ChannelCodeDay.day)
    ).all()
    story = session.execute(
        select(TimelineEntry.kind, TimelineEntry.occurred_at, TimelineEntry.text).order_by(
            TimelineEntry.occurred_at, TimelineEntry.kind
        )
    ).all()
    return {
        "relation": {name: getattr(row, name) for name in RELATION_COLUMNS},
        "primary": (person.guide_id, person.followed_on, person.channel_code_id),
        "days": [tuple(day) for day in days],
        "story": [tuple(line) for line in story],
    }


def test_every_order_of_five_reports_leaves_the_same_book(session):
    make = Make(session)
    make.channel_code(make.guide(userid="zhangsan"), state="cashier", name="收银台")
    session.commit()
    steps = (
        lambda: add(session, 0, half=True),
        lambda: add(session, 10),
        lambda: end(session, 60, "guide"),
        lambda: add(session, 90),
        lambda: end(session, 5, "customer"),
    )
    seen = []
    for order in permutations(range(len(steps))):
        for step in order:
            steps[step]()
        # A second delivery of each changes nothing.
        for step in reversed(order):
            steps[step]()
        seen.append(snapshot(session))
        session.rollback()
    assert all(one == seen[0] for one in seen)
    assert seen[0]["relation"]["state"] == "active"
    assert seen[0]["relation"]["relation_no"] == 3
    assert seen[0]["relation"]["followed_at"] == seconds(90)
    assert sum(added for _, added, _ in seen[0]["days"]) == 3
    assert sum(lost for _, _, lost in seen[0]["days"]) == 2
    assert [kind for kind, _, _ in seen[0]["story"]] == [
        "followed", "ended", "followed", "ended", "followed",
    ]  # fmt: skip


def test_half_then_full_is_one_relation(session):
    assert add(session, 0, half=True).is_new
    confirmed = add(session, 30)
    assert (confirmed.is_new, confirmed.relation_no) == (False, 1)
    assert (relation(session).state, relation(session).followed_at) == ("active", seconds(0))


def test_the_same_add_twice_is_one_add(session):
    first, second = add(session), add(session)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.relation_id == second.relation_id
    assert len(relation(session).history) == 1


@pytest.mark.parametrize("by", ["guide", "customer", "transfer"])
def test_who_ended_a_relation_is_kept(session, by):
    add(session)
    end(session, 60, by)
    assert (relation(session).state, relation(session).ended_by) == ("ended", by)
    assert contact(session).guide_id is None


def test_a_customer_who_comes_back_starts_relation_two(session):
    add(session)
    end(session, 60)
    back = add(session, 90)
    assert (back.is_new, back.relation_no) == (True, 2)
    assert relation(session).ended_at is None


def test_a_customer_without_a_known_code_still_counts(session):
    told = add(session, state="nobody-knows-this")
    assert told.channel_code_id is None
    assert relation(session).state_text == "nobody-knows-this"
    assert contact(session).guide_id == told.guide_id


def test_userids_differ_in_case_only_and_are_one_guide(session):
    Make(session).guide(userid="ZhangSan")
    add(session, userid="zhangsan")
    assert len(session.scalars(select(Guide)).all()) == 1


def test_a_second_guide_never_disturbs_the_first(session):
    first = add(session, 0)
    second = add(session, 60, userid="lisi")
    assert contact(session).guide_id == first.guide_id
    end(session, 90)
    assert contact(session).guide_id == second.guide_id
    add(session, 120)
    assert contact(session).guide_id == second.guide_id


def test_an_add_makes_the_contact_its_identity_and_asks_for_details(session):
    add(session, 0)
    who = session.scalars(select(ContactIdentity)).one()
    assert (who.kind, who.value, who.contact_id) == ("external_userid", "wm1", contact(session).id)
    assert contact(session).refresh_after == seconds(2)
    marked = session.scalars(text("SELECT contact_id FROM changed_contact")).all()
    assert marked == [contact(session).id]


def test_details_decide_what_one_second_left_open(session):
    add(session, 0)
    end(session, 0, "guide")
    assert relation(session).state == "active"
    assert contact(session).refresh_after == seconds(2)
    contact_details.nobody_follows(session, "wm1", seconds(5))
    assert (relation(session).state, relation(session).ended_by) == ("ended", "guide")
    assert contact(session).refresh_after is None


def test_details_fill_the_book_and_end_who_is_missing(session):
    add(session, 0)
    add(session, 1, userid="lisi")
    reading = detail("wm1", follow("zhangsan", 0, remark="王姐", add_way=3))
    contact_details.apply_detail(session, reading, seconds(30), secret_key=KEY)
    session.expire_all()
    person = contact(session)
    assert (person.name, person.gender, person.fetched_at) == ("王女士", 2, seconds(30))
    rows = {
        guide: (state, remark)
        for guide, state, remark in session.execute(
            select(Guide.userid, FollowRelation.state, FollowRelation.remark).join(
                Guide, Guide.id == FollowRelation.guide_id
            )
        )
    }
    assert rows == {"zhangsan": ("active", "王姐"), "lisi": ("ended", None)}


def test_a_guide_out_of_sight_for_a_while_loses_nobody(session):
    add(session, 0)
    contact_details.nobody_follows(session, "wm1", seconds(30))
    assert relation(session).state == "ended"
    contact_details.apply_detail(session, detail("wm1", follow(n=0)), seconds(60), secret_key=KEY)
    assert (relation(session).state, relation(session).relation_no) == ("active", 1)


def test_a_reading_does_not_revive_a_customer_who_deleted_the_guide(session):
    add(session, 0)
    end(session, 30, "customer")
    contact_details.apply_detail(session, detail("wm1", follow(n=0)), seconds(60), secret_key=KEY)
    assert relation(session).state == "ended"


def test_an_older_reading_never_overwrites_a_newer_one(session):
    add(session, 0)
    new = detail("wm1", follow(n=0), name="新名字")
    contact_details.apply_detail(session, new, seconds(60), secret_key=KEY)
    contact_details.apply_detail(session, detail("wm1", follow(n=0)), seconds(30), secret_key=KEY)
    assert contact(session).name == "新名字"


def test_a_reading_with_broken_text_is_kept(session):
    add(session, 0)
    reading = detail("wm1", follow(n=0, remark="a\x00b"), name="\ud83d" + "长" * 900)
    contact_details.apply_detail(session, reading, seconds(60), secret_key=KEY)
    assert contact(session).name.startswith("?长")
    assert relation(session).remark == "ab"


def test_a_thousand_reports_take_as_many_statements_as_ten(engine, session):
    def told(n: int) -> int:
        said = [Said(f"g{i % 7}", f"wm{n}-{i}", Report.FULL, seconds(i)) for i in range(n)]
        with counting(engine) as ran:
            roster.tell(session, said)
        return ran.count

    assert told(10) == told(1000)
