"""Tasks written straight into the book, for tests of what happens to a task once it is open."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import count
from typing import Any

from sqlalchemy.orm import Session

from content_library.models import CouponTemplate
from sop.models import Enrollment, Sop, SopStep, SopVersion, Task
from tests.factories import TODAY

_numbers = count(1)


def step_of(session: Session, *, kind: str = "chat", **given: Any) -> SopStep:
    """A published plan with this one step; `sop` names the plan."""
    name = given.pop("sop", None) or f"计划{next(_numbers)}"
    sop = Sop(name=name)
    session.add(sop)
    session.flush()
    version = SopVersion(sop_id=sop.id, number=1, state="published", trigger={"kind": "followed"})
    session.add(version)
    session.flush()
    step = SopStep(
        **{"version_id": version.id, "key": "1", "position": 1, "day": 0, "kind": kind}
        | {"title": "邀约到店"}
        | given
    )
    session.add(step)
    session.flush()
    return step


def task_of(
    session: Session, step: SopStep, contact: Any, guide: Any, *, on: date = TODAY, **given: Any
) -> Task:
    """An open task of this step for this customer."""
    version = session.get_one(SopVersion, step.version_id)
    enrollment = Enrollment(
        sop_id=version.sop_id, version_id=version.id, contact_id=contact.id, anchored_on=on
    )
    session.add(enrollment)
    session.flush()
    task = Task(
        **{
            "enrollment_id": enrollment.id,
            "step_key": step.key,
            "step_id": step.id,
            "contact_id": contact.id,
            "guide_id": guide.id,
            "store_id": guide.store_id,
            "kind": step.kind,
            "wanted_on": on,
            "due_on": on,
            "planned_on": on,
            "expires_on": on + timedelta(days=3),
            "number": next(_numbers),
            "state": "open",
            "why": {"step": step.title},
        }
        | given
    )
    session.add(task)
    session.flush()
    return task


def coupon_template(session: Session, **given: Any) -> CouponTemplate:
    """What a coupon is worth."""
    row = CouponTemplate(
        **{"name": f"券{next(_numbers)}", "title": "生日礼券", "value_fen": 20_000}
        | {"valid_days": 30}
        | given
    )
    session.add(row)
    session.flush()
    return row
