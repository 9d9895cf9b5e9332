"""Moments and group messages by the calendar (发布计划): one a step and day, for guides to publish.

A posting has no customers: the guides are asked, each publishes to her own. Its day is counted
from the trigger's day like that of any step; a missed day is made up for only where the step says
so, within the brand's catch-up days, and unless the step's next day has come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Text, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.crm import workdays
from bot.crm.models import Contact, Guide
from content_library import placeholders
from sop import mass, running, times, triggers, writing
from sop.models import IfMissed, Posting, PostingGuide, SopStep
from sop.quiet import QuietHours, moment_of
from sop.running import Rules, Running
from sop.step_kinds import GUIDE_KINDS
from tagging import conditions

MOMENT, GROUP_MESSAGE = "moment", "group_message"
#: How far a step that must not fall on a day off may be moved.
_FURTHEST_MOVE = 7
#: Days after which a guide who has not published will not be waited for.
WATCHED_DAYS = 2
# Far enough back for nights that nobody ran.
_SWEPT_DAYS = 60

_MISSED = text(
    """
    UPDATE posting_guide AS pg SET state = 'missed'
    FROM posting AS p
    WHERE p.id = pg.posting_id AND pg.state = 'asked'
      AND p.due_on >= :first AND p.due_on < :last
    """
)
_LINES = text(
    """
    SELECT guide_id, 'mass_message' AS kind, count(*) AS number, sum(contact_count) AS people
    FROM mass_send
    WHERE planned_on = :day AND guide_id = ANY(:guide_ids) AND contact_count > 0
      AND state IN ('waiting', 'queued', 'created')
    GROUP BY guide_id
    UNION ALL
    SELECT pg.guide_id, p.kind, count(*), 0
    FROM posting AS p JOIN posting_guide AS pg ON pg.posting_id = p.id
    WHERE p.due_on BETWEEN CAST(:day AS date) - 10 AND :day
      AND CAST(timezone('Asia/Shanghai', p.due_at) AS date) = :day
      AND pg.guide_id = ANY(:guide_ids) AND pg.state = 'asked'
      AND p.state <> 'failed'
    GROUP BY pg.guide_id, p.kind
    """
)


@dataclass(frozen=True)
class _Due:
    """A step on one day: `due_on` is the day it was meant for, `on` the day it goes."""

    step: SopStep
    due_on: date
    on: date


def plan(session: Session, day: date, now: datetime) -> int:
    """Write the postings of `day` that are missing, with the guides who are asked.

    Returns how many are new. Nothing leaves before `posting_sends.queue`; a second time adds
    nothing. The number of statements depends on versions and steps only.
    """
    rules = Rules.read(session)
    last = day - timedelta(days=WATCHED_DAYS)
    writing.rows(session, _MISSED, {"first": last - timedelta(days=_SWEPT_DAYS), "last": last})
    return sum(
        _write(session, version, due, day, rules)
        for version in running.published(session)
        for due in _due(session, version, day, rules)
    )


def lines_for(session: Session, guide_id: int, day: date) -> list[str]:
    """What a guide has to confirm or publish on `day`, a line each."""
    return lines_for_many(session, [guide_id], day).get(guide_id, [])


def lines_for_many(session: Session, guide_ids: Sequence[int], day: date) -> dict[int, list[str]]:
    """`lines_for` of many guides, in one statement; guides without anything are left out."""
    found: dict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
    for row in session.execute(_LINES, {"day": day, "guide_ids": list(guide_ids)}):
        found[row.guide_id][row.kind] = (row.number, int(row.people or 0))
    return {guide_id: _lines(kinds) for guide_id, kinds in found.items()}


def _lines(kinds: dict[str, tuple[int, int]]) -> list[str]:
    lines = []
    if "mass_message" in kinds:
        number, people = kinds["mass_message"]
        lines.append(f"群发 {number} 条待确认（{people} 位客户）")
    if MOMENT in kinds:
        lines.append(f"朋友圈 {kinds[MOMENT][0]} 条待发表")
    if GROUP_MESSAGE in kinds:
        lines.append(f"群消息 {kinds[GROUP_MESSAGE][0]} 条待发送")
    return lines


def _due(session: Session, version: Running, day: date, rules: Rules) -> Iterator[_Due]:
    find = triggers.of(version.trigger).days
    steps = [step for step in version.steps if step.kind in GUIDE_KINDS]
    if find is None or not steps:
        return
    for step in steps:
        # A step that moves may come from a week before; one that is made up for, from some days.
        back = {IfMissed.LATE: rules.catch_up_days, IfMissed.MOVE: _FURTHEST_MOVE}.get(
            IfMissed(step.if_missed), 0
        )
        offset = timedelta(days=step.day)
        first = day - timedelta(days=back)
        meant_for = [
            due_on
            for anchor in find(session, first - offset, day - offset, version.trigger)
            if (due_on := anchor + offset) >= (version.effective_on or due_on)
            and _goes_on(session, step, due_on, day) == day
        ]
        if meant_for:
            # Of several that meet on one day the newest goes: nobody wants three moments at ten.
            yield _Due(step, max(meant_for), day)


def _goes_on(session: Session, step: SopStep, due_on: date, day: date) -> date | None:
    """The day on which a step meant for `due_on` goes, seen from `day`; None: not at all."""
    if not step.workdays_only or workdays.is_workday(session, due_on):
        # What was not written on its day is made up for on the first day that can.
        is_late = step.if_missed == IfMissed.LATE
        return day if due_on == day or is_late else None
    if step.if_missed == IfMissed.DROP:
        return None
    for days in range(1, _FURTHEST_MOVE + 1):
        later = due_on + timedelta(days=days)
        if workdays.is_workday(session, later):
            return later
    return None


def _write(session: Session, version: Running, due: _Due, day: date, rules: Rules) -> int:
    step = due.step
    posting_id = session.scalar(
        insert(Posting)
        .values(
            sop_id=version.sop_id,
            version_id=version.id,
            step_id=step.id,
            step_key=step.key,
            kind=step.kind,
            due_on=due.due_on,
            due_at=_moment(step, due.on, rules.quiet),
            words=_words(session, version, step, due.due_on, day),
        )
        .on_conflict_do_nothing(index_elements=["sop_id", "step_key", "due_on"])
        .returning(Posting.id)
    )
    if posting_id is None:
        return 0
    asked = select(literal(posting_id), Guide.id, literal("asked", Text)).where(
        Guide.is_active, _has_audience(version, day)
    )
    session.execute(insert(PostingGuide).from_select(["posting_id", "guide_id", "state"], asked))
    return 1


def _has_audience(version: Running, day: date) -> Any:
    if version.audience is None:
        return literal(True)
    return (
        select(Contact.id)
        .where(Contact.guide_id == Guide.id, conditions.clause(version.audience, day))
        .exists()
    )


def _moment(step: SopStep, day: date, quiet: QuietHours) -> datetime:
    clock = times.parse(step.at)
    moved, settled = quiet.settle(clock if isinstance(clock, time) else mass.USUAL_TIME)
    return moment_of(day + timedelta(days=moved), settled)


def _words(session: Session, version: Running, step: SopStep, due_on: date, day: date) -> str:
    """One wording for all guides; of a group message the guides' names are filled in later."""
    if step.talking_point_id is None:
        return ""
    texts = mass.variants_of(session, [step.talking_point_id]).get(step.talking_point_id, [])
    if not texts:
        return ""
    chosen = texts[mass.choose(f"{version.sop_id}:{step.key}:{due_on}", len(texts))]
    if step.kind == GROUP_MESSAGE:
        return chosen
    return placeholders.fill(chosen, placeholders.contact_facts(session, None, None, day))
