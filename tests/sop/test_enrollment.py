"""Who gets into an SOP and out of it again."""

from __future__ import annotations

from datetime import timedelta

from bot.clock import at
from sop import enrollment, planning, versions
from tests.fixtures_db import counting
from tests.sop.plans import (
    TODAY,
    days_ago,
    enrollments,
    night,
    publish,
    sop_id,
    spec,
    step,
    tasks,
)


def test_a_new_friend_is_enrolled_with_the_guide_she_added_and_the_fact(session, make):
    guide = make.guide()
    contact = make.contact(guide, followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    (found,) = enrollments(session)
    assert (found.contact_id, found.guide_id, found.anchored_on) == (contact.id, guide.id, TODAY)
    assert found.facts == {"trigger": "11月21日 加为好友"}


def test_a_new_friend_does_not_end_the_plans_of_others(session, make):
    guide = make.guide()
    first = make.contact(guide, followed_on=days_ago(1))
    publish(session, spec("新客", {"kind": "followed"}, step("问候"), step("回访", 7)))
    night(session, days_ago(1))
    second = make.contact(guide, followed_on=TODAY)
    session.commit()
    night(session, TODAY, [second])
    assert {e.contact_id for e in enrollments(session, "active")} == {first.id, second.id}
    assert {t.contact_id for t in tasks(session, "open", "deferred")} == {first.id, second.id}


def test_enrolling_twice_adds_nothing(session, make):
    make.contact(make.guide(), followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    assert enrollment.enroll_due(session, TODAY) == 1
    assert enrollment.enroll_due(session, TODAY) == 0


def test_a_missed_night_is_caught_up_and_an_older_one_is_not(session, make):
    guide = make.guide()
    caught = make.contact(guide, followed_on=days_ago(3))
    make.contact(guide, followed_on=days_ago(4))
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    assert [e.contact_id for e in enrollments(session)] == [caught.id]
    assert [t.contact_id for t in tasks(session, "open")] == [caught.id]


def test_publishing_does_not_wake_what_happened_before(session, make):
    guide = make.guide()
    make.contact(guide, followed_on=days_ago(1))
    today = make.contact(guide, followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}), on=TODAY)
    night(session, TODAY + timedelta(days=1))
    assert [e.contact_id for e in enrollments(session)] == [today.id]


def test_a_contact_nobody_follows_is_never_enrolled(session, make):
    lonely = make.contact()
    make.purchase(lonely)
    publish(session, spec("售后", {"kind": "purchased"}))
    night(session)
    assert enrollments(session) == []


def test_all_conditions_must_hold_and_one_that_matches_nobody_widens_nothing(session, make):
    guide = make.guide()
    both = make.contact(guide, followed_on=TODAY)
    make.score(both, purchase_count=2, total_spend_fen=6_000_000)
    one = make.contact(guide, followed_on=TODAY)
    make.score(one, purchase_count=2, total_spend_fen=0)
    audience = {
        "all": [
            {"field": "purchase_count", "op": ">=", "value": 2},
            {"field": "total_spend_fen", "op": ">=", "value": 5_000_000},
        ]
    }
    publish(session, spec("高值", {"kind": "followed"}, audience=audience))
    nobody = {"all": [{"field": "total_spend_fen", "op": ">=", "value": 99_000_000_000}]}
    publish(session, spec("无人", {"kind": "followed"}, audience=nobody))
    night(session)
    assert [e.contact_id for e in enrollments(session)] == [both.id]


def test_a_customer_who_left_is_withdrawn_with_her_tasks_and_claims(session, make):
    contact = make.contact(make.guide(), followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    contact.guide_id = None
    session.commit()
    night(session, TODAY, [contact])
    (ended,) = enrollments(session)
    assert (ended.state, ended.ended_reason) == ("withdrawn", "已经没有导购跟进这位客户")
    (task,) = tasks(session)
    assert (task.state, task.state_reason) == ("withdrawn", "已经没有导购跟进这位客户")
    assert not session.connection().exec_driver_sql("select * from touch_ledger").all()


def test_an_enrollment_is_completed_when_its_last_step_is_past(session, make):
    make.contact(make.guide(), followed_on=days_ago(20))
    publish(session, spec("新客", {"kind": "followed"}, step("问候"), step("回访", 7)))
    night(session, days_ago(20))
    enrollment.withdraw_ended(session, days_ago(10))
    assert enrollments(session, "active")
    for task in tasks(session, "open"):
        task.state = "done"
    session.flush()
    enrollment.withdraw_ended(session, days_ago(7))
    assert enrollments(session, "completed")


def test_a_retired_sop_withdraws_everyone_and_enrolls_nobody(session, make):
    guide = make.guide()
    make.contact(guide, followed_on=TODAY)
    publish(session, spec("新客", {"kind": "followed"}))
    night(session)
    ended = versions.retire(session, sop_id(session, "新客"), at(TODAY, 12))
    assert (ended.enrollments, ended.tasks) == (1, 1)
    make.contact(guide, followed_on=TODAY)
    session.commit()
    assert night(session).created == 0
    assert {e.ended_reason for e in enrollments(session)} == {"SOP 已停用"}


def test_enrolling_takes_as_many_statements_for_three_hundred_contacts_as_for_three(
    session, make, engine
):
    guide = make.guide()
    publish(session, spec("新客", {"kind": "followed"}))
    counts = []
    for many in (3, 300):
        for _ in range(many):
            make.contact(guide, followed_on=TODAY)
        session.commit()
        with counting(engine) as seen:
            assert enrollment.enroll_due(session, TODAY) == many
        session.commit()
        counts.append(seen.count)
    assert counts[0] == counts[1]


def test_an_event_takes_as_many_statements_however_many_sops_do_not_speak_of_it(
    session, make, engine
):
    guide = make.guide()
    publish(session, spec("新客", {"kind": "followed"}))
    counts = []
    for others in (0, 5):
        for number in range(others):
            kept = {"kind": "purchased", "min_fen": 100 + number}
            publish(session, spec(f"买过{number}", kept))
        contact = make.contact(guide, followed_on=TODAY)
        session.commit()
        with counting(engine) as seen:
            assert enrollment.enroll_due(session, TODAY, [contact.id]) == 1
            planning.plan(session, TODAY, at(TODAY, 2), [contact.id])
        session.commit()
        counts.append(seen.count)
    assert counts[0] == counts[1]
