"""Postings on their way (发布计划的去向): asked for at WeCom when due, published by guides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, text, update
from sqlalchemy.orm import Session

from bot import outbox
from bot.clock import business_day
from bot.crm import brand
from bot.crm.models import Guide
from bot.errors import UserError
from bot.outbox import Delivery
from bot.wecom import mass as mass_calls
from bot.wecom import moments
from bot.wecom.messages import Attachment
from bot.wecom.moments import MomentAttachment
from content_library import materials, placeholders
from content_library.models import Material
from sop import mass, mass_sends, writing
from sop.models import Posting, PostingGuide, PostingState, Sop, SopStep
from sop.postings import GROUP_MESSAGE, MOMENT, WATCHED_DAYS
from sop.quiet import QuietHours

_PUBLISHED = text(
    """
    UPDATE posting_guide AS pg SET state = 'published', published_at = :now
    FROM guide AS g
    WHERE g.id = pg.guide_id AND pg.posting_id = :id AND pg.state <> 'published'
      AND lower(g.userid) = ANY(:userids)
    """
)
_NOT_ASKED = text(
    """
    UPDATE posting_guide AS pg SET state = 'missed', error = '企业微信没有通知到这位导购'
    FROM guide AS g
    WHERE g.id = pg.guide_id AND pg.posting_id = :id AND pg.state = 'asked'
      AND lower(g.userid) = ANY(:userids)
    """
)


@dataclass(frozen=True)
class Due:
    """A posting that is due, and the materials that go with it."""

    id: int
    kind: str
    material_ids: tuple[int, ...]


@dataclass(frozen=True)
class WatchedMoment:
    """A moment whose guides may have published it; until WeCom is done it has a job number only."""

    id: int
    jobid: str | None
    moment_id: str | None
    #: As WeCom lists them, and when it was asked for.
    words: str
    due_at: datetime


@dataclass(frozen=True)
class WatchedGroup:
    """A guide's group message that she may have sent."""

    posting_id: int
    guide_id: int
    msgid: str


def due(session: Session, now: datetime) -> list[Due]:
    """What is due now, outside quiet hours; what is a day too late stays where it is."""
    quiet = QuietHours.parse(brand.settings(session).quiet_hours)
    if quiet.covers_moment(now):
        return []
    rows = session.execute(
        select(Posting.id, Posting.kind, SopStep.material_ids)
        .join(SopStep, SopStep.id == Posting.step_id)
        .join(Sop, Sop.id == Posting.sop_id)
        .where(
            Posting.state == PostingState.WAITING,
            Posting.due_at <= now,
            Posting.due_at > now - timedelta(days=1),
            Sop.is_paused.is_(False),
        )
        .order_by(Posting.id)
    )
    return [Due(row.id, row.kind, tuple(row.material_ids)) for row in rows]


def queue(
    session: Session,
    posting_id: int,
    now: datetime,
    pictures: Sequence[MomentAttachment] = (),
    left_out: Sequence[str] = (),
) -> int:
    """Ask WeCom for one posting, a moment with its `pictures`; returns the calls wanted.

    `left_out` are names of materials that could not go with it. A posting is queued once:
    whoever comes second finds it queued.
    """
    found = session.execute(
        select(Posting, SopStep.material_ids)
        .join(SopStep, SopStep.id == Posting.step_id)
        .where(Posting.id == posting_id, Posting.state == PostingState.WAITING)
        .with_for_update(of=Posting)
    ).one_or_none()
    if found is None:
        return 0
    posting, material_ids = found
    guides = session.execute(
        select(Guide.id, Guide.userid)
        .join(PostingGuide, PostingGuide.guide_id == Guide.id)
        .where(PostingGuide.posting_id == posting_id, Guide.is_active)
        .order_by(Guide.id)
    ).all()
    deadline = mass_sends.closes(now, QuietHours.parse(brand.settings(session).quiet_hours))
    try:
        if not guides:
            raise UserError("没有符合条件的导购")
        if posting.kind == MOMENT:
            drafts = [_moment(posting, [row.userid for row in guides], pictures, now, deadline)]
        else:
            attachments, left_out = _ready(session, material_ids, now)
            drafts = _group_messages(session, posting, attachments, guides, now, deadline)
    except UserError as error:
        _set(session, posting_id, PostingState.FAILED, error=error.message_zh)
        return 0
    note = f"素材「{'、'.join(left_out)}」没有带上" if left_out else None
    _set(session, posting_id, PostingState.QUEUED, error=note)
    return len(outbox.add_many(session, drafts))


def _moment(
    posting: Posting,
    userids: Sequence[str],
    pictures: Sequence[MomentAttachment],
    now: datetime,
    deadline: datetime,
) -> outbox.Draft:
    return outbox.Draft(
        kind="moment",
        api=moments.API,
        body=moments.moment_body(userids, posting.words, pictures),
        dedupe_key=f"moment:{posting.id}",
        not_before=now,
        deadline=deadline,
        # One after the other: then an answer that was lost can be found again.
        order_key="moment",
        subject={"posting_id": posting.id, "words": moments.clipped(posting.words)},
    )


def _ready(
    session: Session, material_ids: Sequence[int], now: datetime
) -> tuple[Sequence[Attachment], Sequence[str]]:
    found = session.scalars(select(Material).where(Material.id.in_(material_ids)))
    by_id = {material.id: material for material in found}
    return materials.ready_messages([by_id[one] for one in material_ids if one in by_id], now)


def _group_messages(
    session: Session,
    posting: Posting,
    attachments: Sequence[Attachment],
    guides: Sequence[Row[*tuple[Any, ...]]],
    now: datetime,
    deadline: datetime,
) -> list[outbox.Draft]:
    facts = mass.facts_of_guides(session, [row.id for row in guides], business_day(now))
    drafts = []
    for row in guides:
        words = placeholders.fill(posting.words, facts[row.id])
        drafts.append(
            outbox.Draft(
                kind="group_message",
                api=mass_calls.API,
                body=mass_calls.group_message_body(row.userid, words, attachments),
                dedupe_key=f"group_message:{posting.id}:{row.id}",
                not_before=now,
                deadline=deadline,
                order_key=f"mass:{row.id}",
                subject={
                    "posting_id": posting.id,
                    "guide_id": row.id,
                    "userid": row.userid,
                    "words": mass_calls.clipped(words),
                },
            )
        )
    return drafts


def moment_created(session: Session, delivery: Delivery) -> None:
    """WeCom works on the moment: keep its job number (or the moment itself, if found later)."""
    result = delivery.result or {}
    _set(
        session,
        int(delivery.subject["posting_id"]),
        PostingState.CREATED,
        jobid=result.get("jobid"),
        moment_id=result.get("moment_id"),
    )


def failed(session: Session, delivery: Delivery) -> None:
    """The moment was not made, or nobody knows whether it was."""
    reason = (delivery.last_error or "没有回应")[:300]
    _set(session, int(delivery.subject["posting_id"]), PostingState.FAILED, error=reason)


def group_created(session: Session, delivery: Delivery) -> None:
    """WeCom asks one guide: keep the id of her message."""
    msgid = mass_calls.read_created(delivery.result or {}).msgid
    _set_guide(session, delivery, msgid=msgid, error=None)
    _set(session, int(delivery.subject["posting_id"]), PostingState.CREATED)


def group_failed(session: Session, delivery: Delivery) -> None:
    """One guide could not be asked; the others are."""
    reason = (delivery.last_error or "没有回应")[:300]
    _set_guide(session, delivery, state="missed", error=reason)


def moments_to_watch(session: Session, day: date) -> list[WatchedMoment]:
    """The moments of the last days with guides who have not published."""
    rows = session.execute(
        select(Posting.id, Posting.jobid, Posting.moment_id, Posting.words, Posting.due_at).where(
            Posting.kind == MOMENT,
            Posting.state == PostingState.CREATED,
            Posting.due_on >= day - timedelta(days=WATCHED_DAYS),
            select(PostingGuide.guide_id)
            .where(PostingGuide.posting_id == Posting.id, PostingGuide.state == "asked")
            .exists(),
        )
    )
    return [
        WatchedMoment(row.id, row.jobid, row.moment_id, moments.clipped(row.words), row.due_at)
        for row in rows
    ]


def groups_to_watch(session: Session, day: date) -> list[WatchedGroup]:
    """The group messages of the last days that their guides have not sent."""
    rows = session.execute(
        select(PostingGuide.posting_id, PostingGuide.guide_id, PostingGuide.msgid)
        .join(Posting, Posting.id == PostingGuide.posting_id)
        .where(
            Posting.kind == GROUP_MESSAGE,
            Posting.due_on >= day - timedelta(days=WATCHED_DAYS),
            PostingGuide.state == "asked",
            PostingGuide.msgid.is_not(None),
        )
        .order_by(PostingGuide.posting_id, PostingGuide.guide_id)
    )
    return [WatchedGroup(row.posting_id, row.guide_id, row.msgid) for row in rows]


def job_ended(session: Session, posting_id: int, job: moments.Job) -> None:
    """The background work on a moment is over: the moment's id, or why there is none."""
    if job.errcode or not job.moment_id:
        reason = f"企业微信没有创建朋友圈（{job.errcode}）"
        _set(session, posting_id, PostingState.FAILED, error=reason)
        return
    _set(session, posting_id, PostingState.CREATED, moment_id=job.moment_id)
    if job.invalid_users:
        userids = [one.lower() for one in job.invalid_users]
        writing.rows(session, _NOT_ASKED, {"id": posting_id, "userids": userids})


def published(session: Session, posting_id: int, userids: Sequence[str], now: datetime) -> int:
    """These guides have published; returns those newly known."""
    given = {"id": posting_id, "userids": [one.lower() for one in userids], "now": now}
    return writing.rows(session, _PUBLISHED, given)


def known_ids(session: Session, ids: Sequence[str]) -> set[str]:
    """Which of WeCom's ids of moments and group messages belong to postings we know already."""
    moment_ids = session.scalars(select(Posting.moment_id).where(Posting.moment_id.in_(ids)))
    msgids = session.scalars(select(PostingGuide.msgid).where(PostingGuide.msgid.in_(ids)))
    return {one for one in [*moment_ids, *msgids] if one is not None}


def _set(session: Session, posting_id: int, state: PostingState, **values: Any) -> None:
    session.execute(
        update(Posting)
        .where(Posting.id == posting_id)
        .values(state=state, **values)
        .execution_options(synchronize_session=False)
    )


def _set_guide(session: Session, delivery: Delivery, **values: Any) -> None:
    session.execute(
        update(PostingGuide)
        .where(
            PostingGuide.posting_id == int(delivery.subject["posting_id"]),
            PostingGuide.guide_id == int(delivery.subject["guide_id"]),
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
