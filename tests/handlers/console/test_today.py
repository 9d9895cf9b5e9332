"""Today's picture counts what happened today, in its region, and says what needs a hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from bot import outbox
from bot.clock import business_day
from bot.crm.models import AuditEntry, FollowRelation
from bot.outbox import CallState, Outbox
from content_library.models import WelcomeSend
from handlers.console import today_panels
from sop import tasks
from sop.models import Task, TaskState
from tests.fixtures_db import counting
from tests.sop.plans import night, publish, spec


@pytest.fixture
def now(bot):
    return bot.clock.now()


@pytest.fixture
def day(now):
    return business_day(now)


def befriend(session, make, guide, at):
    contact = make.contact(guide, followed_on=business_day(at))
    relation = session.scalars(
        select(FollowRelation).where(FollowRelation.contact_id == contact.id)
    ).one()
    relation.followed_at = at
    session.flush()
    return relation


def test_new_friends_are_compared_with_yesterday_at_the_same_time(session, make, now, day):
    guide = make.guide()
    befriend(session, make, guide, now)
    befriend(session, make, guide, now)
    befriend(session, make, guide, now - timedelta(days=1, minutes=1))
    befriend(session, make, guide, now - timedelta(days=3))
    found = today_panels.adds(session, day, now, None)
    assert (found.today, found.ended) == (2, 0)
    # Yesterday's one is only comparable if it is still the same day a minute earlier.
    assert found.before in (0, 1)


def test_friends_who_left_today_are_counted(session, make, now, day):
    relation = befriend(session, make, make.guide(), now - timedelta(days=9))
    relation.state, relation.ended_on, relation.ended_by = "ended", day, "customer"
    session.flush()
    assert today_panels.adds(session, day, now, None).ended == 1


def welcome(session, relation, at, **given):
    values = {"relation_no": 1, "state": "sent", "words": "您好", "event_at": at, "lag_ms": 400}
    session.add(WelcomeSend(relation_id=relation.id, **(values | given)))
    session.flush()


def test_welcomes_are_told_with_the_reasons_of_those_that_failed(session, make, now, day):
    guide = make.guide()
    for lag in (300, 500):
        welcome(session, befriend(session, make, guide, now), now, lag_ms=lag)
    late = befriend(session, make, guide, now)
    welcome(session, late, now, state="failed", reason="expired", lag_ms=None)
    old = befriend(session, make, guide, now - timedelta(days=2))
    welcome(session, old, now - timedelta(days=2))
    found = today_panels.welcomes(session, day, None)
    assert (found.sent, found.missed, found.p95_ms) == (2, 1, 490)
    assert [count for _, count in found.reasons] == [1]
    assert "已过期" in found.reasons[0][0]


@pytest.fixture
def two_regions(session, make, day):
    """One guide in each of two regions, both with tasks today; one of the first's is done."""
    guides = []
    for name in ("华东", "华南"):
        region = make.region(name=name, code=name)
        guides.append(make.guide(make.store(region_id=region.id, name=f"{name}店")))
    contacts = [make.contact(guide, followed_on=day) for guide in guides for _ in range(3)]
    publish(session, spec("新客", {"kind": "followed"}))
    night(session, day)
    assert contacts
    return guides


def test_the_console_counts_the_task_a_guide_has_done(editor, session, two_regions, now):
    before = editor.page("/console/?region=华东")
    assert "0 / 3 项" in before
    task = session.scalars(select(Task).where(Task.guide_id == two_regions[0].id)).first()
    tasks.complete(session, task.id, two_regions[0].id, now)
    session.commit()
    assert "1 / 3 项" in editor.page("/console/?region=华东")
    assert "0 / 3 项" in editor.page("/console/?region=华南")
    assert "1 / 6 项" in editor.page("/console/")


def test_the_region_stays_in_the_address_and_an_unknown_one_shows_all(editor, two_regions):
    page = editor.page("/console/?region=华东")
    assert "华东店" in page
    assert "华南店" not in page
    assert "华南店" in editor.page("/console/?region=nowhere")
    assert editor.get("/console/?page=-4").status_code == 200
    assert editor.get("/console/?page=99999999999999999999").status_code == 200


def test_an_empty_day_says_what_to_do_next(editor, make, session):
    session.commit()
    page = editor.page("/console/")
    assert "今天还没有任务" in page
    assert "一切正常" in page


def fail(session, kind, state=CallState.DEAD, n=1):
    for place in range(n):
        outbox.add(session, kind=kind, api="a", body=b"{}", dedupe_key=f"{kind}{state}{place}")
    session.execute(
        update(Outbox).where(Outbox.kind == kind).values(state=state, last_error="企业微信说不行")
    )
    session.commit()


def test_failed_calls_are_shown_with_their_reason_and_can_be_tried_again(editor, session):
    fail(session, "mark_tag", n=2)
    page = editor.page("/console/")
    assert "2 次标签同步没有成功" in page
    assert "企业微信说不行" in page
    editor.post("/console/retry", kind="mark_tag")
    states = session.scalars(select(Outbox.state)).all()
    assert states == [CallState.DUE] * 2
    entry = session.scalars(select(AuditEntry)).one()
    assert (entry.actor, entry.action) == ("operator:demo-editor", "deadletters.retry")


def test_what_may_have_happened_already_is_not_tried_again_from_here(editor, session):
    fail(session, "app_message", state=CallState.UNKNOWN)
    assert 'value="app_message"' not in editor.page("/console/")
    editor.post("/console/retry", kind="app_message")
    assert session.scalars(select(Outbox.state)).all() == [CallState.UNKNOWN]


def test_a_welcome_whose_moment_is_over_has_no_button(editor, session):
    fail(session, "welcome")
    page = editor.page("/console/")
    assert "1 次欢迎语没有成功" in page
    assert 'value="welcome"' not in page


def test_stores_far_behind_are_named_in_the_afternoon_only(session, two_regions, day):
    session.execute(update(Task).values(state=TaskState.OPEN))
    rows = today_panels.work(session, day, None, 1, 50)
    assert today_panels.behind(rows, 10) is None
    assert today_panels.behind(rows, 16) is None  # Three tasks are too few to say so.
    many = today_panels.Work(9, 0, 0, 9, [tasks.StoreProgress(1, "万象城店", 9, 0, 0, 9)], 1)
    assert "万象城店" in today_panels.behind(many, 16).words


def test_the_page_takes_as_many_statements_for_many_stores_as_for_few(
    editor, session, make, engine, two_regions, day
):
    editor.page("/console/")
    with counting(engine) as few:
        editor.page("/console/")
    for _ in range(20):
        make.contact(make.guide(), followed_on=day)
    session.commit()
    night(session, day)
    with counting(engine) as many:
        editor.page("/console/")
    assert few.count == many.count < 20


def test_the_counts_of_the_day_run_along_indexes(session, make, day, now):
    session.execute(text("SET LOCAL enable_seqscan = off"))
    seen = []
    with counting(session.get_bind()) as statements:
        today_panels.adds(session, day, now, None)
        today_panels.welcomes(session, day, None)
    assert statements.count == 2
    for table, column in (("follow_relation", "followed_on"), ("welcome_send", "event_at")):
        plan = session.execute(
            text(f"EXPLAIN SELECT count(*) FROM {table} WHERE {column} = now()::date")
        ).scalars()
        seen.append("Index" in " ".join(plan))
    assert seen == [True, True]
