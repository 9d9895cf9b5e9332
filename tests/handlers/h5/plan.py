"""A published SOP with words and the night behind it, so that guides have tasks."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from content_library.models import Material
from sop.models import Task
from tests.factories import TODAY, Make
from tests.sop.plans import days_ago, night, publish, spec, step, tasks

VARIANTS = (
    "{客户称呼}，对戒戴着还合适吗？",
    "{客户称呼}，想听听您的感受。",
    "您好，来店里清洗吧。",
)


def care_plan(session: Session, make: Make, **given: Any) -> None:
    """Three days after a purchase: ask how it is, with three wordings and a link."""
    make.talking_point(*VARIANTS, name="购后关怀", scene="售后")
    session.add(
        Material(name="保养手册", kind="link", title="对戒保养手册", url="https://example.com/care")
    )
    session.flush()
    publish(
        session,
        spec(
            "购后关怀",
            {"kind": "purchased"},
            step(
                "三日关怀",
                3,
                **{
                    "kind": "chat",
                    "talking_point": "购后关怀",
                    "materials": ["保养手册"],
                    "at": "10:00",
                }
                | given,
            ),
        ),
    )


def with_tasks(session: Session, make: Make, guide: Any, count: int, **given: Any) -> list[Task]:
    """`count` customers of this guide bought three days ago; her tasks of today, by number."""
    for _ in range(count):
        contact = make.contact(guide, **given)
        make.purchase(contact, on=days_ago(3), amount_fen=1_280_000)
    session.commit()
    night(session)
    return [one for one in tasks(session, day=TODAY) if one.guide_id == guide.id]


def state_of(session: Session, task: Task) -> Task:
    session.expire_all()
    return session.get_one(Task, task.id)
