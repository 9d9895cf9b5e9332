"""A task as her list shows it (任务卡片): who, when, why, all wordings filled in, materials.

The number of statements does not depend on the number of tasks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import Row, and_, select
from sqlalchemy.orm import Session

from bot.clock import SHANGHAI
from bot.crm.models import FollowRelation, Member
from bot.errors import UserError
from bot.wecom.messages import MESSAGES
from content_library import placeholders
from content_library import words as word_rules
from content_library.models import Material, TalkingPointVariant
from handlers.h5 import spoken
from sop import step_kinds, tasks
from sop.models import SopStep, Task, TaskState
from sop.tasks import TaskView

_SOON = timedelta(hours=1)
# A set hour means "about then": a guide with a customer before her is not late at once.
_GRACE = timedelta(minutes=30)
#: What a step asks for, where it is not simply a message to one customer.
KINDS = {
    "mass_message": "群发",
    "moment": "朋友圈",
    "group_message": "客户群",
    **step_kinds.ASKS,
}


@dataclass(frozen=True)
class Due:
    """When a task wants to be done: the words, and `late`, `soon` or nothing for their color."""

    words: str
    tone: str


@dataclass(frozen=True)
class Attached:
    """A material of a task; `url` only where it can be opened."""

    kind: str
    name: str
    url: str | None


@dataclass(frozen=True)
class Card:
    """One task with everything around it."""

    view: TaskView
    name: str
    level: str
    kind: str
    due: Due | None
    variants: tuple[str, ...]
    materials: tuple[Attached, ...]
    #: Its words were taken already; whether they were sent, nobody can know.
    is_opened: bool

    @property
    def is_open(self) -> bool:
        """It still waits for her."""
        return self.view.state == TaskState.OPEN


def of_day(session: Session, guide_id: int, day: date, now: datetime) -> list[Card]:
    """Her list of `day`, finished tasks included."""
    return dress(session, guide_id, tasks.today(session, guide_id, day, now), day, now)


def one_of_day(session: Session, guide_id: int, task_id: int, day: date, now: datetime) -> Card:
    """An open task of her list; UserError for any other id."""
    found = [view for view in tasks.today(session, guide_id, day, now) if view.id == task_id]
    if not found or found[0].state != TaskState.OPEN:
        raise UserError("这项任务已经不在今天的清单里了")
    return dress(session, guide_id, found, day, now)[0]


def dress(
    session: Session, guide_id: int, views: Sequence[TaskView], day: date, now: datetime
) -> list[Card]:
    """Add to each task what its card shows; `views` are tasks of one guide."""
    if not views:
        return []
    around = _around(session, [view.id for view in views])
    materials = _materials(session, {one for view in views for one in view.material_ids})
    waiting = [view for view in views if view.state == TaskState.OPEN]
    wordings = _wordings(session, guide_id, waiting, around, day)
    return [
        Card(
            view=view,
            name=word_rules.clean(around[view.id].remark or view.contact_name) or "客户",
            level=word_rules.clean(around[view.id].level, 12),
            kind=KINDS.get(view.kind, ""),
            due=_due(view, day, now) if view.state == TaskState.OPEN else None,
            variants=wordings.get(view.id, ()),
            materials=tuple(materials[one] for one in view.material_ids if one in materials),
            is_opened=around[view.id].opened_at is not None,
        )
        for view in views
    ]


def _around(session: Session, task_ids: Sequence[int]) -> dict[int, Row[tuple[object, ...]]]:
    rows = session.execute(
        select(
            Task.id,
            Task.variant,
            Task.opened_at,
            SopStep.talking_point_id,
            FollowRelation.remark,
            Member.level,
        )
        .join(SopStep, SopStep.id == Task.step_id)
        .outerjoin(
            FollowRelation,
            and_(
                FollowRelation.contact_id == Task.contact_id,
                FollowRelation.guide_id == Task.guide_id,
            ),
        )
        .outerjoin(Member, Member.contact_id == Task.contact_id)
        .where(Task.id.in_(task_ids))
    )
    return {row.id: row for row in rows}  # type: ignore[misc]


def _wordings(
    session: Session,
    guide_id: int,
    views: Sequence[TaskView],
    around: dict[int, Row[tuple[object, ...]]],
    day: date,
) -> dict[int, tuple[str, ...]]:
    """The words as planned first, then the talking point's other wordings, filled in."""
    point_ids = {around[view.id].talking_point_id for view in views} - {None}
    texts: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for point_id, position, wording in session.execute(
        select(
            TalkingPointVariant.talking_point_id,
            TalkingPointVariant.position,
            TalkingPointVariant.text,
        )
        .where(TalkingPointVariant.talking_point_id.in_(point_ids))
        .order_by(TalkingPointVariant.talking_point_id, TalkingPointVariant.position)
    ):
        texts[point_id].append((position, wording))
    pairs = sorted({(view.contact_id, guide_id) for view in views})
    facts = placeholders.load_facts(session, pairs, day)
    found: dict[int, tuple[str, ...]] = {}
    for view in views:
        known = facts.get((view.contact_id, guide_id))
        first = [view.words] if view.words else []
        others = texts.get(around[view.id].talking_point_id or 0, [])
        filled = [placeholders.fill(wording, known) for _, wording in others] if known else []
        start = (around[view.id].variant or 0) + 1
        # Going on from the planned one, so that 换一条 comes round to it at the end.
        turned = filled[start:] + filled[:start]
        found[view.id] = tuple(dict.fromkeys(first + turned))
    return found


def _materials(session: Session, ids: set[int]) -> dict[int, Attached]:
    rows = session.execute(
        select(Material.id, Material.kind, Material.name, Material.title, Material.url).where(
            Material.id.in_(ids)
        )
    )
    return {
        row.id: Attached(
            MESSAGES[row.kind].label if row.kind in MESSAGES else "素材",
            word_rules.clean(row.title or row.name),
            _openable(row.url),
        )
        for row in rows
    }


def _openable(url: str | None) -> str | None:
    return url if url and urlsplit(url).scheme in ("http", "https") else None


def _due(view: TaskView, day: date, now: datetime) -> Due | None:
    if view.due_at is None:
        return Due("今天截止", "soon") if view.is_last_day else None
    local = view.due_at.astimezone(SHANGHAI)
    near = spoken.near_day(local.date(), day)
    words = f"{near} {local:%H:%M}" if local.date() == day else near
    if now > view.due_at + _GRACE:
        return Due(words, "late")
    return Due(words, "soon" if view.due_at - now < _SOON or view.is_last_day else "")
