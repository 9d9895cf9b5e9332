"""What went to many: the board, one send by store and guide, and the reminder."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from bot.clock import SHANGHAI, business_day
from bot.crm.models import AuditEntry, Brand, Guide
from bot.outbox import Outbox
from sop.models import MassSend, Posting, PostingGuide, SopStep
from tests.fixtures_db import counting
from tests.sop.mass_plan import Plan


def quiet_far_from(now):
    """Settings whose quiet hours are at the other end of the clock."""
    begin, end = (
        (now + timedelta(hours=hours)).astimezone(SHANGHAI).strftime("%H:%M") for hours in (11, 12)
    )
    return {"touch_gap_days": 0, "quiet_hours": f"{begin}-{end}"}


class Board:
    """Two stores; a mass message of today, and a moment and a group message of its SOP."""

    def __init__(self, bot, session, make):
        self.session, self.make = session, make
        self.day, self.now = business_day(bot.clock.now()), bot.clock.now()
        session.get_one(Brand, 1).settings = quiet_far_from(self.now)
        self.plan = Plan(session, make)
        self.near, self.far = make.store(name="南京路店"), make.store(name="徐汇店")
        self.zhang = make.guide(self.near, name="张三")
        self.li = make.guide(self.near, name="李四")
        self.wang = make.guide(self.far, name="王五")

    @property
    def path(self):
        return f"/console/sends/mass/{self.plan.step.id}/{self.day}"

    def mass(self, guide, state, **given):
        values = {"step_id": self.plan.step.id, "planned_on": self.day, "words": "您好"}
        send = MassSend(guide_id=guide.id, state=state, **values | given)
        self.session.add(send)
        self.session.flush()
        return send

    def task(self, send, **given):
        guide = self.session.get_one(Guide, send.guide_id)
        return self.plan.task(guide, mass_send_id=send.id, planned_on=self.day, **given)

    def posting(self, kind, *guides, **given):
        step = SopStep(version_id=self.plan.version.id, key=kind, position=9, day=0, kind=kind)
        step.title = {"moment": "每日一条", "group_message": "周三话题"}[kind]
        self.session.add(step)
        self.session.flush()
        values = {"sop_id": self.plan.sop.id, "version_id": self.plan.version.id}
        values |= {"step_id": step.id, "step_key": kind, "kind": kind, "due_on": self.day}
        posting = Posting(**values, due_at=self.now, words="您好", state="created", **given)
        self.session.add(posting)
        self.session.flush()
        for guide, state in guides:
            row = PostingGuide(posting_id=posting.id, guide_id=guide.id, state=state)
            row.msgid = f"{kind}-{guide.id}"
            self.session.add(row)
        self.session.flush()
        return posting


@pytest.fixture
def board(bot, session, make):
    """张三 has confirmed and reached 3 of 5, 李四 is asked, 王五's message was refused."""
    board = Board(bot, session, make)
    done = board.mass(board.zhang, "confirmed", msgid="m1", contact_count=5, sent_count=3)
    board.task(done, state="done")
    board.task(done, state="skipped", state_reason="客户已不是导购的好友，群发没有送达")
    asked = board.mass(board.li, "created", msgid="m2", contact_count=4)
    board.task(asked)
    board.mass(board.wang, "failed", error="群发没有发出：余额不足", contact_count=2)
    board.posting("moment", (board.zhang, "published"), (board.wang, "asked"))
    board.posting("group_message", (board.li, "asked"))
    session.commit()
    return board


def plainly(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_board_tells_of_each_send_who_confirmed_and_who_was_reached(viewer, board):
    told = plainly(viewer.page("/console/sends/"))
    assert re.search(r"新品 新品 群发 1 / 3 1 位待确认 1 3 / 11", told)
    assert re.search(r"每日一条 新品 朋友圈 1 / 2 1 位待确认 – –", told)
    assert re.search(r"周三话题 新品 群消息 0 / 1 1 位待确认", told)


def test_store_sop_and_kind_choose_and_stay_in_every_link(viewer, board):
    page = viewer.page(f"/console/sends/?store={board.far.id}&days=30")
    told = plainly(page)
    assert re.search(r"新品 新品 群发 0 / 1 1 0 / 2", told)
    assert "周三话题" not in told
    links = re.findall(r'class="row-link" href="([^"]+)"', page)
    assert all(f"store={board.far.id}" in link and "days=30" in link for link in links)
    assert "周三话题" in viewer.page("/console/sends/?kind=group_message")
    assert "每日一条" not in viewer.page("/console/sends/?kind=group_message")
    assert "每日一条" in viewer.page(f"/console/sends/?sop={board.plan.sop.id}")
    assert "没有符合筛选" in viewer.page(f"/console/sends/?kind=moment&until={board.day - 9 * DAY}")


DAY = timedelta(days=1)


@pytest.mark.parametrize("query", ["days=x&kind=y", "store=999999", "sop=-1", "store=x&until=z"])
def test_nonsense_in_the_address_chooses_nothing(viewer, board, query):
    assert "每日一条" in viewer.page(f"/console/sends/?{query}")


def test_a_send_is_told_store_by_store_with_the_reasons(viewer, board):
    told = plainly(viewer.page(board.path))
    assert re.search(r"南京路店 1 / 2 1 – 3 / 9", told)
    assert re.search(r"徐汇店 0 / 1 – 1 0 / 2", told)
    assert "没有送达 客户已不是导购的好友，群发没有送达 1" in told
    assert re.search(r"王五 徐汇店 没有发出 0 / 2 群发没有发出：余额不足", told)
    # Who has not confirmed stands first.
    assert told.index("李四 南京路店 待确认") < told.index("张三 南京路店 已确认")


def test_one_store_shows_its_own_guides_only(viewer, board):
    told = plainly(viewer.page(f"{board.path}?store={board.near.id}"))
    assert "张三 已确认" in told
    assert "王五" not in told
    assert "50%" in told


def test_a_send_that_is_not_there_is_not_found(viewer, board):
    for path in ("mass/999999/2026-11-21", f"mass/{board.plan.step.id}/2020-01-01", "postings/99"):
        assert viewer.get(f"/console/sends/{path}").status_code == 404
    for path in (f"mass/{2**70}/2026-11-21", f"mass/1/{'x' * 9}", f"postings/{2**70}"):
        assert viewer.get(f"/console/sends/{path}").status_code == 404


def reminders(session):
    query = select(Outbox.body).where(Outbox.kind == "mass_reminder").order_by(Outbox.id)
    return [json.loads(one)["msgid"] for one in session.scalars(query)]


def test_a_reminder_goes_to_who_has_not_confirmed_and_a_second_press_to_nobody(
    editor, session, board
):
    path = f"{board.path}/remind?days=30"
    answer = editor.post(path)
    assert answer.status_code == 302
    assert "days=30" in answer.location
    assert "提醒 1 位导购" in editor.page(answer.location)
    assert reminders(session) == ["m2"]
    again = editor.post(path)
    assert again.status_code == 400
    assert "8 小时内已经提醒过" in again.text
    assert reminders(session) == ["m2"]
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "send.remind")).one()
    assert (entry.actor, entry.detail["guides"]) == ("operator:demo-editor", 1)


def test_a_store_without_anybody_to_remind_is_said_to_be_so(editor, session, board):
    answer = editor.post(f"{board.path}/remind?store={board.far.id}")
    assert answer.status_code == 400
    assert reminders(session) == []


def test_moments_cannot_be_reminded_of_and_group_messages_can(editor, session, board):
    found = {one.kind: one.id for one in session.scalars(select(Posting))}
    page = editor.page(f"/console/sends/postings/{found['moment']}")
    assert "提醒没有确认的导购" not in page
    assert editor.post(f"/console/sends/postings/{found['moment']}/remind").status_code == 404
    assert (
        editor.post(f"/console/sends/postings/{found['group_message']}/remind").status_code == 302
    )
    assert reminders(session) == [f"group_message-{board.li.id}"]


def test_nobody_else_may_remind(viewer, stranger, editor, session, board):
    assert "提醒没有确认的导购" not in viewer.page(board.path)
    assert viewer.post(f"{board.path}/remind").status_code == 403
    assert stranger.post(f"{board.path}/remind").status_code in (302, 401)
    assert editor.client.post(f"{board.path}/remind").status_code == 403
    assert reminders(session) == []


def test_in_quiet_hours_nobody_is_reminded(editor, session, board):
    session.get_one(Brand, 1).settings = {"quiet_hours": "00:00-23:59"}
    session.commit()
    answer = editor.post(f"{board.path}/remind")
    assert answer.status_code == 400
    assert "免打扰时段（00:00–23:59）" in answer.text
    assert session.scalar(select(func.count()).where(MassSend.reminded_at.is_not(None))) == 0


def test_the_pages_take_as_many_statements_for_thirty_guides_as_for_three(
    viewer, session, make, board, engine
):
    def statements(path):
        with counting(engine) as seen:
            viewer.page(path)
        return seen.count

    paths = ("/console/sends/", board.path, f"{board.path}?store={board.near.id}")
    few = [statements(path) for path in paths]
    for n in range(27):
        store = make.store(name=f"门店{n}")
        send = board.mass(make.guide(store), "created", msgid=f"x{n}", contact_count=1)
        board.task(send)
        board.mass(
            board.zhang, "created", msgid=f"y{n}", planned_on=board.day - n % 7 * DAY, part=n + 1
        )
    session.commit()
    assert [statements(path) for path in paths] == few
    assert max(few) < 12
