"""Short ways to write SOPs and run nights in the tests of the SOP floor."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.clock import at
from sop import enrollment, planning, versions
from sop.models import Enrollment, Reach, Sop, Task
from tests.factories import TODAY, Make

FAR_BACK = date(2026, 1, 1)


def step(title: str, day: int = 0, **given: Any) -> dict[str, Any]:
    """A step without words: a call, so that it needs no talking point."""
    return {"day": day, "kind": "call", "title": title, **given}


def spec(
    name: str, trigger: dict[str, Any], *steps: dict[str, Any], **given: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "trigger": trigger,
        "steps": list(steps) or [step(f"{name}一步")],
        **given,
    }


def publish(
    session: Session,
    plan: dict[str, Any],
    *,
    on: date = FAR_BACK,
    reach: Reach = Reach.NEW_ONLY,
) -> Any:
    """Publish an SOP as HQ does, at noon of `on`; returns its version."""
    draft = versions.save_draft(session, plan["name"], plan, "test")
    versions.publish(session, draft.sop_id, reach, "test", at(on, 12))
    session.commit()
    return draft


def night(session: Session, day: date = TODAY, contacts: list[Any] | None = None) -> Any:
    """The night of `day`: enroll, then plan."""
    ids = None if contacts is None else [contact.id for contact in contacts]
    enrollment.enroll_due(session, day, ids)
    result = planning.plan(session, day, at(day, 2, 10), ids)
    session.commit()
    return result


def tasks(session: Session, *states: str, day: date | None = None) -> list[Task]:
    query = select(Task).order_by(Task.planned_on, Task.guide_id, Task.number, Task.id)
    if states:
        query = query.where(Task.state.in_(states))
    if day is not None:
        query = query.where(Task.planned_on == day)
    return list(session.scalars(query.execution_options(populate_existing=True)))


def enrollments(session: Session, *states: str) -> list[Enrollment]:
    query = select(Enrollment).order_by(Enrollment.id)
    if states:
        query = query.where(Enrollment.state.in_(states))
    return list(session.scalars(query.execution_options(populate_existing=True)))


def sop_id(session: Session, name: str) -> int:
    return session.scalars(select(Sop.id).where(Sop.name == name)).one()


def days_ago(count: int) -> date:
    return TODAY - timedelta(days=count)


__all__ = [
    "FAR_BACK",
    "TODAY",
    "Make",
    "days_ago",
    "enrollments",
    "night",
    "publish",
    "sop_id",
    "spec",
    "step",
    "tasks",
]
