"""What the product planned (对照), read task by task, and the first thing that is not expected."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.clock import SHANGHAI
from tests.year.model.facts import external_userid
from tests.year.model.planner import Planner
from tests.year.model.tasks import Task

_ROWS = text(
    """
    SELECT p.external_userid AS who, sop.name AS sop, s.title AS step, e.anchored_on AS anchor,
           t.id, t.kind, t.carrier, t.state, t.due_on, t.due_at, t.planned_on, t.held_by, t.number,
           g.userid AS guide, t.words, m.words AS mass_words, c.template AS coupon,
           c.expires_on AS coupon_until, c.state AS coupon_state, c.coupon_no
    FROM task t
    JOIN enrollment e ON e.id = t.enrollment_id
    JOIN sop ON sop.id = e.sop_id
    JOIN sop_step s ON s.id = t.step_id
    JOIN contact p ON p.id = t.contact_id
    LEFT JOIN guide g ON g.id = t.guide_id
    LEFT JOIN mass_send m ON m.id = t.mass_send_id
    LEFT JOIN coupon_issue i ON i.task_id = t.id
    LEFT JOIN coupon c ON c.id = i.coupon_id
    WHERE t.due_on >= :since
    """
)
_POSTINGS = text(
    """
    SELECT sop.name AS sop, s.title AS step, b.due_on
    FROM posting b JOIN sop ON sop.id = b.sop_id JOIN sop_step s ON s.id = b.step_id
    WHERE b.due_on = :day
    """
)
#: (person, SOP, step, day 0)
Key = tuple[str, str, str, date]
#: No task waits longer than this after its due day.
RECENT = timedelta(days=30)
# A town's clock runs on while something is done in it.
_SECONDS = timedelta(seconds=60)
#: What the law on advertising forbids to say of one's own goods, and what no filling left open.
_UNSAYABLE = re.compile(r"[{}｛｝]|最[好佳高低大优]|第一|唯一|顶级|极品|国家级|永久|绝对|保值|升值")


@dataclass(frozen=True)
class Seen:
    """What is compared of a task."""

    kind: str
    state: str
    due_on: date
    due_at: datetime | None
    planned_on: date | None
    held_by: str | None
    guide: str | None
    coupon: tuple[str, date, str] | None

    def is_as(self, other: Seen) -> bool:
        """The same, but for the seconds a hand needs."""
        mine, theirs = self.due_at, other.due_at
        if (mine is None) != (theirs is None):
            return False
        if mine is not None and theirs is not None and abs(mine - theirs) > _SECONDS:
            return False
        rest = ("kind", "state", "due_on", "planned_on", "held_by", "guide", "coupon")
        return all(getattr(self, name) == getattr(other, name) for name in rest)


def found(session: Session, since: date) -> dict[Key, tuple[Seen, Any]]:
    """Every task of the product that was due on `since` or later, with its row."""
    return {
        (row.who, row.sop, row.step, row.anchor): (_of_row(row), row)
        for row in session.execute(_ROWS, {"since": since})
    }


def expected(planner: Planner, since: date) -> dict[Key, Seen]:
    """Every task of the model that was due on `since` or later."""
    recent = (task for task in planner.tasks if task.due_on >= since)
    return {key(planner, task): _of_task(planner, task) for task in recent}


def key(planner: Planner, task: Task) -> Key:
    """How both sides call a task."""
    sop = planner.sops[task.sop]["name"]
    return (external_userid(task.person.number), sop, task.step["title"], task.anchor)


def difference(session: Session, planner: Planner, day: date) -> str | None:
    """The first task or posting on which the two do not agree; None: they agree."""
    since = day - RECENT
    ours, theirs = found(session, since), expected(planner, since)
    for one in sorted(ours.keys() | theirs.keys(), key=str):
        if one not in ours or one not in theirs or not ours[one][0].is_as(theirs[one]):
            mine = ours[one][0] if one in ours else None
            return f"{day}: {one}:\n product {mine}\n model   {theirs.get(one)}"
        if ours[one][1].planned_on == day and (told := _unsaid(ours[one][1])):
            return f"{day}: {one}: {told}"
    rows = session.execute(_POSTINGS, {"day": day})
    moments = {(row.sop, row.step, row.due_on) for row in rows}
    if moments != planner.moments(day):
        return f"{day}: postings: {moments ^ planner.moments(day)}"
    return None


def _of_row(row: Any) -> Seen:
    is_listed = row.state in ("open", "done")
    return Seen(
        row.kind, row.state, row.due_on,
        None if row.due_at is None else row.due_at.astimezone(SHANGHAI).replace(tzinfo=None),
        row.planned_on,
        row.held_by if row.state == "deferred" else None,
        row.guide if is_listed else None,
        None if row.coupon is None else (row.coupon, row.coupon_until, row.coupon_state),
    )  # fmt: skip


def _of_task(planner: Planner, task: Task) -> Seen:
    coupon, is_listed = task.coupon, task.state in ("open", "done")
    guide = None if task.guide is None else planner.town.guides[task.guide].userid
    return Seen(
        task.kind, task.state, task.due_on, task.due_at, task.planned_on,
        task.held_by if task.state == "deferred" else None,
        guide if is_listed else None,
        None if coupon is None else (coupon.template, coupon.expires_on, coupon.state),
    )  # fmt: skip


def _unsaid(row: Any) -> str | None:
    """What is wrong with the words of a task on today's list; None: nothing."""
    if row.state not in ("open", "done"):
        return None
    words = row.mass_words if row.carrier == "mass" else row.words
    if not words:
        return "it has no words"
    wrong = _UNSAYABLE.search(words)
    return None if wrong is None else f"{wrong[0]!r} in {words!r}"
