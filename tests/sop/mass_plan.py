"""Mass messages in the tests: a published SOP with one mass step, and where its tasks stand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bot.clock import at
from bot.outbox import CallState, Delivery, Outbox, delivery
from sop import mass, mass_sends
from sop.models import (
    Enrollment,
    MassSend,
    Sop,
    SopStep,
    SopVersion,
    Task,
    Touch,
    VersionState,
)
from tests.factories import TODAY, Make

NIGHT = at(TODAY, 2, 10)
TEN = at(TODAY, 10)
LATE = at(TODAY, 22)


class Plan:
    """A published SOP with one mass step, and tasks of it as the caps leave them."""

    def __init__(self, session: Session, make: Make, *variants: str) -> None:
        self.session, self.make = session, make
        point = make.talking_point(*(variants or ("新品到了，{导购名}在{门店名}等您",)))
        sop = Sop(name="新品")
        session.add(sop)
        session.flush()
        version = SopVersion(
            sop_id=sop.id, number=1, state=VersionState.PUBLISHED, trigger={"kind": "followed"}
        )
        session.add(version)
        session.flush()
        self.step = SopStep(
            version_id=version.id,
            key="s1",
            position=1,
            day=0,
            kind="mass_message",
            title="新品",
            talking_point_id=point.id,
        )
        session.add(self.step)
        session.flush()
        self.sop, self.version = sop, version

    def task(self, guide: Any, contact: Any = None, **given: Any) -> Task:
        contact = contact or self.make.contact(guide)
        enrollment = Enrollment(
            sop_id=self.sop.id,
            version_id=self.version.id,
            contact_id=contact.id,
            anchored_on=TODAY,
        )
        self.session.add(enrollment)
        self.session.flush()
        values = {
            "enrollment_id": enrollment.id,
            "step_key": "s1",
            "step_id": self.step.id,
            "contact_id": contact.id,
            "guide_id": guide.id,
            "kind": "mass_message",
            "carrier": "mass",
            "wanted_on": TODAY,
            "due_on": TODAY,
            "expires_on": TODAY + timedelta(days=3),
            "planned_on": TODAY,
            "state": "open",
            "why": {"step": "新品"},
        }
        task = Task(**(values | given))
        self.session.add(task)
        self.session.flush()
        self.session.add(
            Touch(contact_id=contact.id, touched_on=TODAY, channel="mass_message", task_id=task.id)
        )
        self.session.flush()
        return task


@pytest.fixture
def plan(session: Session, make: Make) -> Plan:
    return Plan(session, make)


def sends_of(session: Session) -> list[MassSend]:
    session.flush()
    query = select(MassSend).order_by(MassSend.id).execution_options(populate_existing=True)
    return list(session.scalars(query))


def states_of(session: Session) -> list[tuple[str, str | None]]:
    rows = session.execute(select(Task.state, Task.state_reason).order_by(Task.id))
    return [(row.state, row.state_reason) for row in rows]


def touched(session: Session) -> list[int]:
    return list(session.scalars(select(Touch.contact_id).order_by(Touch.id)))


def body_of(session: Session) -> dict[str, Any]:
    return dict(json.loads(session.scalars(select(Outbox.body)).one()))


def ended(session: Session, state: CallState, result: Any = None, error: str = "") -> Delivery:
    row = session.execute(select(*(getattr(Outbox, n) for n in Delivery.__dataclass_fields__)))
    held = delivery(row.one())
    fields = {name: getattr(held, name) for name in Delivery.__dataclass_fields__}
    return Delivery(**fields | {"state": state, "result": result, "last_error": error})


def queue(session: Session, plan: Plan, *guides: Any) -> Sequence[Task]:
    tasks = [plan.task(guide) for guide in guides]
    mass.gather(session, TODAY, NIGHT)
    mass_sends.queue_due(session, TEN)
    return tasks


def people_of(session: Session, tasks: Sequence[Task]) -> list[str]:
    ids = [task.contact_id for task in tasks]
    rows = session.execute(
        text("SELECT id, external_userid FROM contact WHERE id = ANY(:ids)"), {"ids": ids}
    )
    names = {row.id: row.external_userid for row in rows}
    return [names[one] for one in ids]


def create(session: Session, plan: Plan, *guides: Any) -> tuple[MassSend, Sequence[Task]]:
    tasks = queue(session, plan, *guides)
    result = {"msgid": "msg1", "fail_list": []}
    mass_sends.created(session, ended(session, CallState.DONE, result))
    return sends_of(session)[0], tasks
