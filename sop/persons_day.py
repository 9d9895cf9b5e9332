"""What holds for one customer on one day whatever the SOP (这位客户这一天): shared by all gates."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from bot.crm import channel_misses, opt_outs
from bot.crm.models import Contact, Guide, GuideDayOff
from sop import step_kinds
from sop.gates import Gate
from sop.models import (
    LIVE_LEADS,
    Lead,
    Posting,
    PostingGuide,
    SopStep,
    Task,
    Touch,
)
from sop.running import Rules
from tagging.models import ContactScore


def gates(session: Session, contact: Contact, day: date, rules: Rules) -> list[Gate]:
    """Who follows her and works, what she refused, who was in touch, her tier and her lead."""
    return [
        *_guide(session, contact, day),
        *_refusals(session, contact),
        *_misses(session, contact, day),
        *_touch(session, contact, day, rules),
        *_tier(session, contact),
        *_lead(session, contact),
    ]


def postings(session: Session, contact: Contact, day: date) -> list[str]:
    """The moments and group messages of that day which her guide is asked for."""
    rows = session.execute(
        select(SopStep.kind, SopStep.title)
        .select_from(Posting)
        .join(PostingGuide, PostingGuide.posting_id == Posting.id)
        .join(SopStep, SopStep.id == Posting.step_id)
        .where(Posting.due_on == day, PostingGuide.guide_id == contact.guide_id)
        .order_by(Posting.id)
    )
    return [f"{step_kinds.KINDS.get(row.kind, row.kind)}「{row.title}」" for row in rows]


def _guide(session: Session, contact: Contact, day: date) -> list[Gate]:
    guide = None if contact.guide_id is None else session.get(Guide, contact.guide_id)
    if guide is None:
        return [Gate("followed", False, "没有导购跟进这位客户")]
    found = [Gate("followed", True, f"由{guide.name}跟进")]
    if not guide.is_active:
        found.append(Gate("guide_away", False, "负责的导购已停用，等待交接"))
    day_off = select(GuideDayOff.day).where(
        GuideDayOff.guide_id == guide.id, GuideDayOff.day == day
    )
    if day.isoweekday() in guide.rest_weekdays or session.scalar(day_off) is not None:
        found.append(Gate("guide_off", False, f"{guide.name} {_day(day)}休息"))
    return found


def _refusals(session: Session, contact: Contact) -> list[Gate]:
    said = opt_outs.of(session, contact.id)
    if not said:
        return [Gate("opted_out", True, "没有退订")]
    words = "、".join(opt_outs.LABELS[one.channel] for one in said)
    return [Gate("opted_out", False, f"已退订：{words}")]


def _misses(session: Session, contact: Contact, day: date) -> list[Gate]:
    found = []
    for one in channel_misses.of(session, contact.id, day):
        again = one.missed_on + timedelta(days=channel_misses.MISS_DAYS)
        name = step_kinds.KINDS.get(one.channel, one.channel)
        words = f"{name} {_day(one.missed_on)} 没有送达，{_day(again)} 以前先走别的方式"
        found.append(Gate("channel_missed", False, words))
    return found


def _touch(session: Session, contact: Contact, day: date, rules: Rules) -> list[Gate]:
    if not rules.touch_gap_days:
        return []
    reach = timedelta(days=rules.touch_gap_days - 1)
    row = session.execute(
        select(Touch.touched_on, SopStep.title)
        .outerjoin(Task, Task.id == Touch.task_id)
        .outerjoin(SopStep, SopStep.id == Task.step_id)
        .where(
            Touch.contact_id == contact.id,
            Touch.touched_on.between(day - reach, day + reach),
            or_(Touch.touched_on != day, Touch.task_id.is_(None)),
        )
        .order_by(Touch.touched_on.desc(), Touch.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return []
    what = f"已有「{row.title}」" if row.title else "已联系过"
    words = f"{rules.touch_gap_days} 天内只联系一次，{_day(row.touched_on)}{what}"
    return [Gate("touch_cap", False, words)]


def _tier(session: Session, contact: Contact) -> list[Gate]:
    score = session.get(ContactScore, contact.id, populate_existing=True)
    if score is None or score.tier is None:
        return []
    points = "" if score.tier_score is None else f"（{score.tier_score} 分）"
    return [Gate("tier", True, f"客户等级 {score.tier}{points}")]


def _lead(session: Session, contact: Contact) -> list[Gate]:
    live = session.scalars(
        select(Lead).where(Lead.contact_id == contact.id, Lead.state.in_(LIVE_LEADS))
    ).one_or_none()
    if live is None:
        return []
    hot = "高意向" if live.is_hot else ""
    return [Gate("lead", True, f"有{hot}线索，{_day(live.raised_on)} 起，{live.score} 分")]


def _day(on: date) -> str:
    return f"{on.month}月{on.day}日"
