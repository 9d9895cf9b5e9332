"""Who is in which SOP (入组与退出): set-based, idempotent by (SOP, contact, anchor day)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CompoundSelect,
    Date,
    Integer,
    Select,
    Text,
    any_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, distinct_on, insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from bot.clock import at
from bot.crm.models import Contact
from bot.db import Base
from sop import running, triggers, turn, writing
from sop.models import (
    UNFINISHED,
    Enrollment,
    EnrollmentState,
    SopStep,
    SopVersion,
    Task,
    TaskState,
    Touch,
)
from sop.running import Rules, Running
from tagging import conditions, scope

_ENROLLMENT = Base.metadata.tables[Enrollment.__tablename__]
_TASK = Base.metadata.tables[Task.__tablename__]
_TOUCH = Base.metadata.tables[Touch.__tablename__]
_NOBODY = "已经没有导购跟进这位客户"


def enroll_due(
    session: Session,
    day: date,
    contact_ids: Sequence[int] | None = None,
    *,
    sop_id: int | None = None,
) -> int:
    """Enroll everyone whom a published, unpaused version finds; one statement a version.

    Of some contacts only the versions that speak of them are asked.

    Anchor days reach back over missed nights and ahead to the first early step, never before the
    version took effect. A contact nobody follows is not enrolled. Returns the new enrollments.
    """
    turn.take(session)
    rules = Rules.read(session)
    versions = running.published(session, sop_id=sop_id)
    if contact_ids is not None:
        versions = _speaking_of(session, versions, day, rules, contact_ids)
    enrolled = sum(_enroll(session, version, day, rules, contact_ids) for version in versions)
    if enrolled > writing.MANY_ROWS:
        # The plan comes next.
        writing.look_again(session, "enrollment")
    return enrolled


def _speaking_of(
    session: Session,
    versions: Sequence[Running],
    day: date,
    rules: Rules,
    contact_ids: Sequence[int],
) -> list[Running]:
    """The versions whose trigger has a day for one of these contacts: one statement for all.

    An event is about few of a brand's SOPs; putting each statement together costs more than all of
    them find.
    """
    asked: dict[tuple[str, date, date], list[Running]] = defaultdict(list)
    for version in versions:
        days = running.enrolling_window(version, day, rules)
        if days is not None:
            asked[json.dumps(version.trigger, sort_keys=True), *days].append(version)
    if not asked:
        return []
    met = set(session.scalars(_probe(tuple(asked)), {"contact_ids": sorted(set(contact_ids))}))
    together = [same for place, same in enumerate(asked.values()) if place in met]
    wanted = {version.id for same in together for version in same}
    return [version for version in versions if version.id in wanted]


@lru_cache(maxsize=4)
def _probe(asked: tuple[tuple[str, date, date], ...]) -> CompoundSelect[int]:
    """The places of the triggers (as JSON, with their anchor days) that find one of `contact_ids`.

    Kept: it stays the same all day, until the next SOP is published.
    """
    ids = bindparam("contact_ids", type_=ARRAY(BigInteger))
    probes = []
    for place, (words, first, last) in enumerate(asked):
        trigger = json.loads(words)
        due = triggers.of(trigger).due(first, last, trigger).subquery("due")
        is_met = select(due.c.contact_id).where(due.c.contact_id == any_(ids)).exists()
        probes.append(select(literal(place, Integer).label("place")).where(is_met))
    return union_all(*probes)


def _enroll(
    session: Session,
    version: Running,
    day: date,
    rules: Rules,
    contact_ids: Sequence[int] | None,
) -> int:
    days = running.enrolling_window(version, day, rules)
    if days is None or not version.contact_steps:
        return 0
    due = triggers.of(version.trigger).due(*days, version.trigger).subquery("due")
    # Three of four anchors of a usual night were found the nights before: they are left out before
    # their facts are put into words.
    known = (
        select(literal(1))
        .where(
            Enrollment.sop_id == version.sop_id,
            Enrollment.contact_id == due.c.contact_id,
            Enrollment.anchored_on == due.c.anchored_on,
        )
        .exists()
    )
    reached: list[ColumnElement[bool]] = [~known]
    if not version.reaches_lost:
        reached.append(Contact.guide_id.is_not(None))
    if version.audience is not None:
        reached.append(conditions.clause(version.audience, day))
    if contact_ids is not None:
        reached.append(scope.only(Contact.id, contact_ids))
    # A contact with two anchors on one day (two orders) is enrolled once, by the later moment.
    found = (
        select(
            literal(version.sop_id),
            literal(version.id),
            due.c.contact_id,
            due.c.guide_id,
            due.c.anchored_on,
            due.c.anchored_at,
            func.jsonb_build_object("trigger", due.c.fact, type_=JSONB),
        )
        .ext(distinct_on(due.c.contact_id, due.c.anchored_on))
        .join(Contact, Contact.id == due.c.contact_id)
        .where(*reached)
        .order_by(
            due.c.contact_id,
            due.c.anchored_on,
            due.c.anchored_at.desc().nulls_last(),
            due.c.guide_id,
            due.c.fact.desc(),
        )
    )
    return writing.rows(
        session,
        insert(_ENROLLMENT)
        .from_select(
            [
                "sop_id",
                "version_id",
                "contact_id",
                "guide_id",
                "anchored_on",
                "anchored_at",
                "facts",
            ],
            found,
        )
        .on_conflict_do_nothing(index_elements=["sop_id", "contact_id", "anchored_on"]),
    )


@dataclass(frozen=True)
class Withdrawn:
    """How many enrollments ended early, and how many unfinished tasks with them."""

    enrollments: int
    tasks: int


def withdraw(session: Session, which: Select[int, str], now: datetime) -> Withdrawn:
    """End the active enrollments that `which` (id, reason) finds, with their unfinished tasks.

    One statement; the claims on the customers' attention that those tasks held are given back.
    """
    found = which.subquery("found")
    gone = (
        update(_ENROLLMENT)
        .where(_ENROLLMENT.c.id == found.c.id, _ENROLLMENT.c.state == EnrollmentState.ACTIVE)
        .values(state=EnrollmentState.WITHDRAWN, ended_reason=found.c.reason)
        .returning(_ENROLLMENT.c.id, _ENROLLMENT.c.ended_reason)
        .cte("gone")
    )
    ended = (
        update(_TASK)
        .where(_TASK.c.enrollment_id == gone.c.id, _TASK.c.state.in_(UNFINISHED))
        .values(state=TaskState.WITHDRAWN, state_reason=gone.c.ended_reason, ended_at=now)
        .returning(_TASK.c.id)
        .cte("ended")
    )
    freed = (
        delete(_TOUCH)
        .where(_TOUCH.c.task_id.in_(select(ended.c.id)))
        .returning(_TOUCH.c.id)
        .cte("freed")
    )
    row = session.execute(
        select(
            select(func.count()).select_from(gone).scalar_subquery(),
            select(func.count()).select_from(ended).scalar_subquery(),
        ).add_cte(freed)
    ).one()
    return Withdrawn(row[0], row[1])


def withdraw_ended(
    session: Session,
    day: date,
    contact_ids: Sequence[int] | None = None,
    *,
    now: datetime | None = None,
) -> int:
    """Withdraw contacts nobody follows any more, complete enrollments whose last step is past.

    Two statements. `now` (default: the start of `day`) is when their tasks ended. Returns how many
    enrollments ended.
    """
    turn.take(session)
    nobody = (
        select(Enrollment.id.label("id"), literal(_NOBODY, Text).label("reason"))
        .join(Contact, Contact.id == Enrollment.contact_id)
        .join(SopVersion, SopVersion.id == Enrollment.version_id)
        .where(
            Enrollment.state == EnrollmentState.ACTIVE,
            Contact.guide_id.is_(None),
            ~SopVersion.reaches_lost,
        )
    )
    if contact_ids is not None:
        nobody = nobody.where(scope.only(Enrollment.contact_id, contact_ids))
    gone = withdraw(session, nobody, now or at(day, 0))
    return gone.enrollments + _complete(session, day, contact_ids)


def _complete(session: Session, day: date, contact_ids: Sequence[int] | None) -> int:
    # Late by the catch-up days, and two more: quiet hours and "+23h" may move a step that far.
    slack = Rules.read(session).catch_up_days + 2
    last = (
        select(SopStep.version_id, func.max(SopStep.day).label("day"))
        .group_by(SopStep.version_id)
        .subquery("last_step")
    )
    unfinished = (
        select(_TASK.c.id)
        .where(_TASK.c.enrollment_id == _ENROLLMENT.c.id, _TASK.c.state.in_(UNFINISHED))
        .exists()
    )
    past = (
        update(_ENROLLMENT)
        .where(
            last.c.version_id == _ENROLLMENT.c.version_id,
            _ENROLLMENT.c.state == EnrollmentState.ACTIVE,
            _ENROLLMENT.c.anchored_on
            < cast(literal(day - timedelta(days=slack)), Date) - last.c.day,
            ~unfinished,
        )
        .values(state=EnrollmentState.COMPLETED)
    )
    if contact_ids is not None:
        past = past.where(scope.only(_ENROLLMENT.c.contact_id, contact_ids))
    return writing.rows(session, past)
