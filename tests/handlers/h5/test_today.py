"""Today's list and what a guide does with it; every tap twice is the same as once."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from bot.crm.models import TimelineEntry
from handlers.h5 import tasks as room
from sop import digests
from tests.factories import TODAY, Make
from tests.fixtures_db import counting
from tests.handlers.h5.conftest import StillClock
from tests.handlers.h5.plan import care_plan, state_of, with_tasks
from tests.sop.plans import publish, spec, step

Enter = Callable[[Any], FlaskClient]
PART = {"HX-Request": "true"}


@pytest.fixture
def guide(make: Make, session: Session) -> Any:
    guide = make.guide(make.store(name="南京路店"), name="张三")
    care_plan(session, make)
    session.commit()
    return guide


def test_the_list_says_how_many_who_when_why_and_with_which_words(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    with_tasks(session, make, guide, 2, name="王芳", gender=2)
    page = enter(guide).get("/h5/today").text
    assert "今日 <b>2</b> 项" in page
    assert "已完成 <b>0</b>" in page
    for words in ("王芳", "三日关怀", "今天 10:00", "购后关怀 v1", "对戒保养手册"):
        assert words in page
    assert 'href="https://example.com/care"' in page
    # All three wordings are there, filled in; the others wait behind 换一条.
    wordings = re.findall(r'<p class="words-text"( hidden)?>([^<]+)</p>', page)
    assert len(wordings) == 6
    assert [bool(hidden) for hidden, _ in wordings] == [False, True, True] * 2
    assert all("{" not in words for _, words in wordings)


@pytest.mark.parametrize(("kind", "words"), [("call", "打电话"), ("invite", "邀约到店")])
def test_a_call_and_an_invitation_say_what_they_are(
    enter: Enter, make: Make, session: Session, kind: str, words: str
) -> None:
    guide = make.guide()
    publish(session, spec("回访", {"kind": "purchased"}, step("三日回访", 3, kind=kind)))
    with_tasks(session, make, guide, 1)
    assert f'<span class="task-kind">{words}</span>三日回访' in enter(guide).get("/h5/today").text


def test_a_due_hour_is_soon_and_then_late(
    enter: Enter, make: Make, session: Session, guide: Any, clock: StillClock
) -> None:
    with_tasks(session, make, guide, 1)
    client = enter(guide)
    tones = []
    for hour in (8.5, 9.5, 10.25, 12):
        clock.moment = clock.moment.replace(hour=0, minute=0) + timedelta(hours=hour - 8)
        page = client.get("/h5/today").text
        tones.append(re.findall(r'class="task-due ?(\w*)">今天 10:00', page))
    assert tones == [[""], ["soon"], ["soon"], ["late"]]


def test_done_twice_is_done_once(enter: Enter, make: Make, session: Session, guide: Any) -> None:
    task, _ = with_tasks(session, make, guide, 2)
    client = enter(guide)
    for _ in range(2):
        answer = client.post(f"/h5/tasks/{task.id}/done", headers=PART)
        assert answer.status_code == 200
        assert f'id="task-{task.id}"' in answer.text
        assert "已完成 <b>1</b>" in answer.text
    assert state_of(session, task).state == "done"
    told = select(TimelineEntry).where(TimelineEntry.kind == "task")
    assert len(session.scalars(told).all()) == 1
    page = client.get("/h5/today").text
    assert page.index('class="ended"') < page.index(f'id="task-{task.id}"')


def test_without_scripts_a_tap_leads_back_to_the_list(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    [task] = with_tasks(session, make, guide, 1)
    client = enter(guide)
    answer = client.post(f"/h5/tasks/{task.id}/done")
    assert (answer.status_code, answer.location) == (303, "/h5/today")
    assert "今天的都做完了" in client.get("/h5/today").text


def test_skipping_wants_a_reason_and_keeps_it(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    [task] = with_tasks(session, make, guide, 1)
    client = enter(guide)
    path = f"/h5/tasks/{task.id}/skip"
    assert all(reason in client.get(path).text for reason in room.REASONS)
    for bad in ({}, {"own_words": "  "}, {"own_words": "长" * 201}, {"reason": "\0"}):
        refused = client.post(path, data=bad, headers=PART)
        assert refused.status_code == 400
        assert refused.json is not None
        assert refused.json["field"] == "own_words"
    assert state_of(session, task).state == "open"
    for _ in range(2):
        answer = client.post(path, data={"reason": "", "own_words": "客户出国了"}, headers=PART)
        assert "已跳过：客户出国了" in answer.text
    after = state_of(session, task)
    assert (after.state, after.outcome) == ("skipped", "客户出国了")


def test_a_task_can_be_put_off_to_a_later_day_only(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    [task] = with_tasks(session, make, guide, 1)
    client = enter(guide)
    path = f"/h5/tasks/{task.id}/move"
    assert "11月22日 周日" in client.get(path).text
    for bad in ("", "明天", "2026-11-21", "2027-11-21", "2026-13-01"):
        assert client.post(path, data={"day": bad}, headers=PART).status_code == 400
    assert state_of(session, task).state == "open"
    for _ in range(2):
        answer = client.post(path, data={"own_day": "2026-11-23"}, headers=PART)
        assert "已改期到后天" in answer.text
    after = state_of(session, task)
    assert (after.state, after.due_on) == ("deferred", TODAY + timedelta(days=2))


def test_copying_marks_the_task_opened_and_nothing_more(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    [task] = with_tasks(session, make, guide, 1)
    client = enter(guide)
    assert client.post(f"/h5/tasks/{task.id}/opened").status_code == 204
    after = state_of(session, task)
    assert after.opened_at is not None
    assert after.state == "open"
    page = client.get("/h5/today").text
    assert "再次复制" in page
    assert "已发送" not in page


def test_the_list_counts_as_shown_when_the_page_says_so(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    [task] = with_tasks(session, make, guide, 1)
    client = enter(guide)
    assert 'data-shown="/h5/today/shown"' in client.get("/h5/today").text
    assert state_of(session, task).shown_at is None
    assert client.post("/h5/today/shown").status_code == 204
    assert state_of(session, task).shown_at is not None


def test_a_foreign_task_is_one_sentence_and_stays_as_it_was(
    enter: Enter, make: Make, session: Session, guide: Any
) -> None:
    [task] = with_tasks(session, make, guide, 1)
    manager = make.guide(session.get_one(type(make.store()), guide.store_id), is_manager=True)
    session.commit()
    for other in (make.guide(), manager):
        session.commit()
        client = enter(other)
        for act in ("done", "skip", "move", "opened"):
            answer = client.post(
                f"/h5/tasks/{task.id}/{act}",
                data={"reason": "x", "day": "2026-11-23"},
                headers=PART,
            )
            assert answer.status_code == 400
            assert answer.json == {"error": "没有找到这项任务", "field": None}
        for sheet in ("skip", "move"):
            assert client.get(f"/h5/tasks/{task.id}/{sheet}", headers=PART).status_code == 400
        assert client.post(f"/h5/tasks/{2**63 - 1}/done", headers=PART).status_code == 400
        assert client.post(f"/h5/tasks/{2**63}/done", headers=PART).status_code == 404
    after = state_of(session, task)
    assert (after.state, after.opened_at) == ("open", None)


def test_an_empty_day_says_what_happens_next(enter: Enter, guide: Any) -> None:
    page = enter(guide).get("/h5/today").text
    assert "今天没有要联系的客户" in page
    assert "08:47 发清单" in page


def test_an_old_card_opens_its_own_day_to_read_only(
    enter: Enter, make: Make, session: Session, guide: Any, clock: StillClock
) -> None:
    [task] = with_tasks(session, make, guide, 1)
    client = enter(guide)
    client.post(f"/h5/tasks/{task.id}/done")
    clock.turn(days=1)
    client = enter(guide)
    page = client.get(f"/h5/today?day={TODAY}").text
    assert "看今天的清单" in page
    assert f'id="task-{task.id}"' in page
    assert "/done" not in page
    for other in ("2027-01-01", "nonsense", ""):
        assert "看今天的清单" not in client.get(f"/h5/today?day={other}").text


def test_the_link_of_the_morning_card_is_a_page_we_serve(
    enter: Enter, guide: Any, settings: Any
) -> None:
    url = digests._url(settings, TODAY)
    assert url.startswith(settings.public_base_url)
    assert enter(guide).get(url.removeprefix(settings.public_base_url)).status_code == 200


def test_the_statements_of_the_page_do_not_grow_with_the_list(
    enter: Enter, make: Make, session: Session, guide: Any, engine: Engine, bot: Any
) -> None:
    counts = []
    with_tasks(session, make, guide, 1)
    client = enter(guide)
    for _ in range(2):
        client.get("/h5/today")
        with counting(bot.engine) as seen:
            client.get("/h5/today")
        counts.append(seen.count)
        with_tasks(session, make, guide, 11)
    assert counts[0] == counts[1] <= 9


@pytest.mark.parametrize(
    ("day", "labels", "third"),
    [
        (date(2026, 11, 16), ["明天", "后天", "周末"], date(2026, 11, 21)),
        (date(2026, 11, 18), ["明天", "后天", "周末"], date(2026, 11, 21)),
        (date(2026, 11, 19), ["明天", "后天", "下周一"], date(2026, 11, 23)),
        (date(2026, 11, 20), ["明天", "后天", "下周一"], date(2026, 11, 23)),
        (date(2026, 11, 21), ["明天", "后天", "下周六"], date(2026, 11, 28)),
        (date(2026, 11, 22), ["明天", "后天", "下周六"], date(2026, 11, 28)),
    ],
)
def test_the_days_to_choose_from_are_three_different_ones(
    day: date, labels: list[str], third: date
) -> None:
    found = room.choices(day)
    assert [choice.label for choice in found] == labels
    assert found[2].on == third
    assert len({choice.on for choice in found}) == 3
