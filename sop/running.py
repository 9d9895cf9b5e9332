"""The versions at work today, loaded with their steps in two statements (生效版本)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import Row, Select, exists, select
from sqlalchemy.orm import Session

from bot.crm import brand
from sop import triggers
from sop.models import Enrollment, EnrollmentState, Sop, SopStep, SopVersion, VersionState
from sop.quiet import QuietHours
from sop.step_kinds import GUIDE_KINDS
from tagging import conditions


@dataclass(frozen=True)
class Rules:
    """The brand's settings as far as planning needs them."""

    tasks_per_guide: int
    touch_gap_days: int
    catch_up_days: int
    quiet: QuietHours

    @classmethod
    def read(cls, session: Session) -> Rules:
        """The settings of today."""
        settings = brand.settings(session)
        return cls(
            settings.tasks_per_guide,
            settings.touch_gap_days,
            settings.catch_up_days,
            QuietHours.parse(settings.quiet_hours),
        )


@dataclass(frozen=True, eq=False)
class Running:
    """One version with its SOP and its steps.

    Two that read the same are equal, so a statement put together for one serves the other.
    """

    id: int
    sop_id: int
    sop_name: str
    number: int
    trigger: dict[str, Any]
    audience: dict[str, Any] | None
    effective_on: date | None
    steps: tuple[SopStep, ...]
    #: What people call the codes in the audience.
    names: conditions.Lookup
    #: Its trigger finds people whom nobody follows any more.
    reaches_lost: bool = False

    @cached_property
    def _content(self) -> str:
        columns = SopStep.__table__.columns.keys()
        steps = [[getattr(step, name) for name in columns] for step in self.steps]
        own = {name: value for name, value in vars(self).items() if name != "steps"}
        return repr((own, steps))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Running) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    @property
    def contact_steps(self) -> tuple[SopStep, ...]:
        """The steps that make a task a customer; moments and group messages are for all at once."""
        return tuple(step for step in self.steps if step.kind not in GUIDE_KINDS)

    @property
    def lead_days(self) -> int:
        """How many days before its anchor the first step lies."""
        return max(0, -min((step.day for step in self.steps), default=0))

    def trigger_sentence(self) -> str:
        """The trigger in words for HQ."""
        return triggers.of(self.trigger).sentence(self.trigger)

    def audience_sentence(self) -> str | None:
        """The audience in words for HQ; None: everyone."""
        return None if self.audience is None else conditions.sentence(self.audience, self.names)


def published(session: Session, *, sop_id: int | None = None) -> list[Running]:
    """Every published version whose SOP is not paused."""
    query = _versions().where(SopVersion.state == VersionState.PUBLISHED, Sop.is_paused.is_(False))
    if sop_id is not None:
        query = query.where(Sop.id == sop_id)
    return _loaded(session, query)


def with_paused(session: Session) -> list[tuple[Running, bool]]:
    """Every published version and whether its SOP is paused, by the name of the SOP."""
    query = _versions().where(SopVersion.state == VersionState.PUBLISHED)
    paused = set(session.scalars(select(Sop.id).where(Sop.is_paused)))
    found = _loaded(session, query.order_by(None).order_by(Sop.name))
    return [(version, version.sop_id in paused) for version in found]


def in_use(session: Session, *, sop_id: int | None = None) -> list[Running]:
    """Every version with active enrollments (old ones too) whose SOP is not paused."""
    query = _versions().where(
        SopVersion.state != VersionState.DRAFT,
        Sop.is_paused.is_(False),
        exists().where(
            Enrollment.version_id == SopVersion.id, Enrollment.state == EnrollmentState.ACTIVE
        ),
    )
    if sop_id is not None:
        query = query.where(Sop.id == sop_id)
    return _loaded(session, query)


def one(session: Session, version_id: int) -> Running:
    """A version whatever its state."""
    return _loaded(session, _versions().where(SopVersion.id == version_id))[0]


def enrolling_window(version: Running, day: date, rules: Rules) -> tuple[date, date] | None:
    """The anchor days that enroll on `day`: missed nights caught up, early steps foreseen.

    None: the version is not in effect yet.
    """
    first = day - timedelta(days=rules.catch_up_days)
    last = day + timedelta(days=version.lead_days)
    if version.effective_on is not None:
        first = max(first, version.effective_on)
    return (first, last) if first <= last else None


def _versions() -> Select[*tuple[Any, ...]]:
    return (
        select(SopVersion, Sop.name)
        .join(Sop, Sop.id == SopVersion.sop_id)
        .order_by(SopVersion.sop_id, SopVersion.number)
    )


def _loaded(session: Session, query: Select[*tuple[Any, ...]]) -> list[Running]:
    rows: Sequence[Row[*tuple[Any, ...]]] = session.execute(query).all()
    steps: dict[int, list[SopStep]] = {row[0].id: [] for row in rows}
    found = session.scalars(
        select(SopStep).where(SopStep.version_id.in_(steps)).order_by(SopStep.position)
    )
    for step in found:
        steps[step.version_id].append(step)
    # One look for all of them, and none where no audience names a store, region or channel code.
    names = conditions.names_of(session, *(version.audience for version, _ in rows))
    return [
        Running(
            version.id,
            version.sop_id,
            sop_name,
            version.number,
            version.trigger,
            version.audience,
            version.effective_on,
            tuple(steps[version.id]),
            names,
            version.reaches_lost,
        )
        for version, sop_name in rows
    ]
