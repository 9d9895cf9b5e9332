"""A guide's tasks (导购任务): today's list, and what she can do with one of them.

Chat commands, card buttons and pages all end here. Every action is repeatable: the second time
gives the same result and writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Row, Select, any_, delete, func, literal, select, update
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import timeline
from bot.crm.models import Contact, Store
from bot.errors import UserError
from sop import coupon_sends, why, writing
from sop.models import TRANSITIONS, Carrier, HeldBy, SopStep, Task, TaskState, Touch
from sop.running import Rules

_NOT_FOUND = "没有找到这项任务"
_FURTHEST = timedelta(days=90)
_NOTE_LENGTH = 500
_ENDED_WORDS: dict[str, str] = {
    TaskState.DEFERRED: "这项任务还没有排进清单",
    TaskState.DONE: "这项任务已经完成了",
    TaskState.SKIPPED: "这项任务已经跳过了",
    TaskState.EXPIRED: "这项任务已经过期了",
    TaskState.WITHDRAWN: "这项任务已经撤回了",
}
_BY_OTHERS: dict[str, str] = {
    Carrier.MASS: "这项在群发里，请在企业微信里确认发送",
    Carrier.MACHINE: "这项由系统发送，不用处理",
}


@dataclass(frozen=True)
class TaskView:
    """A task as the guide's list shows it."""

    id: int
    number: int | None
    contact_id: int
    contact_name: str
    title: str
    kind: str
    why_line: str
    words: str | None
    material_ids: tuple[int, ...]
    state: TaskState
    due_at: datetime | None
    #: Its last sensible day is today.
    is_last_day: bool
    planned_on: date | None
    outcome: str | None


@dataclass(frozen=True)
class StoreProgress:
    """How far a store is on one day."""

    store_id: int | None
    store_name: str
    planned: int
    done: int
    skipped: int
    open: int


def today(session: Session, guide_id: int, day: date, now: datetime) -> list[TaskView]:
    """Everything on the guide's list of `day` by number, finished tasks included."""
    listed = (TaskState.OPEN, TaskState.DONE, TaskState.SKIPPED)
    rows = session.execute(
        _views()
        .where(
            Task.guide_id == guide_id,
            Task.planned_on == day,
            Task.state.in_(listed),
            Task.carrier == Carrier.GUIDE,
        )
        .order_by(Task.number)
    )
    return [_view(row, day) for row in rows]


def of_contact(session: Session, guide_id: int, contact_id: int, day: date) -> list[TaskView]:
    """The guide's open tasks with one customer, for the sidebar beside the chat."""
    rows = session.execute(
        _views()
        .where(
            Task.guide_id == guide_id,
            Task.contact_id == contact_id,
            Task.planned_on == day,
            Task.state == TaskState.OPEN,
            Task.carrier == Carrier.GUIDE,
        )
        .order_by(Task.number)
    )
    return [_view(row, day) for row in rows]


def numbered(session: Session, guide_id: int, day: date, number: int) -> int:
    """The id behind "完成 2"; raises UserError when her list of `day` has no such number."""
    task_id = session.scalar(
        select(Task.id).where(
            Task.guide_id == guide_id, Task.planned_on == day, Task.number == number
        )
    )
    if task_id is None:
        raise UserError(f"今天的清单里没有第 {number} 项")
    return task_id


def complete(
    session: Session, task_id: int, guide_id: int, at: datetime, note: str | None = None
) -> TaskView:
    """The guide says it is done; that is her word, not a receipt from WeCom."""
    task = _own(session, task_id, guide_id)
    if task.state != TaskState.DONE:
        _step(task, TaskState.DONE)
        task.ended_at, task.outcome = at, _clean(note)
        session.flush()
        _tell(session, task, "完成", at, task.outcome)
    return _seen(session, task_id, at)


def skip(
    session: Session, task_id: int, guide_id: int, at: datetime, reason: str | None = None
) -> TaskView:
    """The guide leaves it out; the customer's attention it had claimed is free again."""
    task = _own(session, task_id, guide_id)
    if task.state != TaskState.SKIPPED:
        _step(task, TaskState.SKIPPED)
        task.ended_at, task.outcome = at, _clean(reason)
        session.flush()
        _free(session, task_id)
        # Nobody will tell her of the coupon that went with it.
        coupon_sends.void(session, at, [task.contact_id])
        _tell(session, task, "跳过", at, task.outcome)
    return _seen(session, task_id, at)


def move(session: Session, task_id: int, guide_id: int, at: datetime, to_day: date) -> TaskView:
    """Put it off to a later day; there it goes through the caps like any other task."""
    task = _own(session, task_id, guide_id)
    if task.state == TaskState.DEFERRED and task.due_on == to_day:
        return _seen(session, task_id, at)
    day = business_day(at)
    if to_day <= day:
        raise UserError("改期要选今天以后的日子", field="day")
    if to_day - day > _FURTHEST:
        raise UserError(f"最多改到 {_FURTHEST.days} 天以内", field="day")
    _step(task, TaskState.DEFERRED)
    words = f"导购改期到 {to_day.month}月{to_day.day}日"
    held = {**(task.why.get("deferred") or {}), day.isoformat(): words}
    task.why = {**task.why, "deferred": held}
    task.state_reason, task.held_by = words, HeldBy.GUIDE
    task.words = task.announced_at = None
    if task.due_at is not None:
        task.due_at += to_day - task.due_on
    task.due_on = to_day
    task.expires_on = to_day + timedelta(days=Rules.read(session).catch_up_days)
    task.planned_on = task.number = None
    session.flush()
    _free(session, task_id)
    _tell(session, task, f"改期到 {to_day.month}月{to_day.day}日", at, None, key=to_day.isoformat())
    return _seen(session, task_id, at)


def mark_shown(session: Session, guide_id: int, day: date, at: datetime) -> int:
    """The guide's list of `day` was on her screen; the first time counts."""
    return writing.rows(
        session,
        update(Task)
        .where(
            Task.guide_id == guide_id,
            Task.planned_on == day,
            Task.state == TaskState.OPEN,
            Task.carrier == Carrier.GUIDE,
            Task.shown_at.is_(None),
        )
        .values(shown_at=at),
    )


def mark_opened(session: Session, task_id: int, guide_id: int, at: datetime) -> None:
    """The guide opened one task; the first time counts."""
    task = _own(session, task_id, guide_id)
    if task.opened_at is None:
        task.opened_at = at
        task.shown_at = task.shown_at or at
        session.flush()


def store_progress(
    session: Session, day: date, store_ids: Sequence[int] | None = None
) -> list[StoreProgress]:
    """What each store had on its lists of `day` and what became of it, in one statement.

    `store_ids` is the reader's scope; None: all stores.
    """
    done, skipped, is_open = (
        func.count().filter(Task.state == state)
        for state in (TaskState.DONE, TaskState.SKIPPED, TaskState.OPEN)
    )
    query = (
        select(Task.store_id, Store.name, func.count(), done, skipped, is_open)
        .outerjoin(Store, Store.id == Task.store_id)
        .where(Task.planned_on == day, Task.carrier == Carrier.GUIDE)
        .group_by(Task.store_id, Store.name)
        .order_by(Store.name)
    )
    if store_ids is not None:
        query = query.where(Task.store_id == any_(literal(list(store_ids), ARRAY(BigInteger))))
    return [StoreProgress(row[0], row[1] or "未分门店", *row[2:]) for row in session.execute(query)]


def _views() -> Select[*tuple[Any, ...]]:
    return (
        select(Task, Contact.name, SopStep.title, SopStep.material_ids)
        .join(Contact, Contact.id == Task.contact_id)
        .join(SopStep, SopStep.id == Task.step_id)
    )


def _view(row: Row[*tuple[Any, ...]], day: date) -> TaskView:
    task: Task = row[0]
    return TaskView(
        id=task.id,
        number=task.number,
        contact_id=task.contact_id,
        contact_name=row.name or "客户",
        title=row.title,
        kind=task.kind,
        why_line=why.line(task.why, day),
        words=task.words,
        material_ids=tuple(row.material_ids),
        state=TaskState(task.state),
        due_at=task.due_at,
        is_last_day=task.expires_on == day,
        planned_on=task.planned_on,
        outcome=task.outcome,
    )


def _seen(session: Session, task_id: int, at: datetime) -> TaskView:
    return _view(session.execute(_views().where(Task.id == task_id)).one(), business_day(at))


def _own(session: Session, task_id: int, guide_id: int) -> Task:
    # Locked: two taps at once are one after the other, and the second finds it done.
    task = session.scalars(
        select(Task)
        .where(Task.id == task_id, Task.guide_id == guide_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if task is None:
        raise UserError(_NOT_FOUND)
    if task.carrier != Carrier.GUIDE:
        raise UserError(_BY_OTHERS[task.carrier])
    return task


def _step(task: Task, to: TaskState) -> None:
    if to not in TRANSITIONS[TaskState(task.state)]:
        raise UserError(_ENDED_WORDS[TaskState(task.state)])
    task.state = to


def _free(session: Session, task_id: int) -> None:
    session.execute(delete(Touch).where(Touch.task_id == task_id))


def _tell(
    session: Session, task: Task, verb: str, at: datetime, note: str | None, key: str = ""
) -> None:
    title = str(task.why.get("step") or "")
    words = f"导购{verb}了「{title}」" if not key else f"导购把「{title}」{verb}"
    timeline.record(
        session,
        task.contact_id,
        "task",
        f"{words}：{note}" if note else words,
        at,
        guide_id=task.guide_id,
        detail={"task_id": task.id, "state": str(task.state)},
        dedupe_key=f"task:{task.id}:{task.state}{':' + key if key else ''}",
    )


def _clean(words: str | None) -> str | None:
    short = (words or "").strip()[:_NOTE_LENGTH]
    return short or None
