"""What stands on today's page (今日): one statement a panel, each along an index of its day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import case, func, literal, select, tuple_, union_all
from sqlalchemy.orm import Session

from bot.clock import at
from bot.crm.models import ChannelCode, FollowRelation, FollowState, Guide, Region, Store
from bot.inbox import Inbox, MessageState, Quarantine
from bot.outbox import FAILED, ApiPause, CallState, Outbox
from bot.runs import JobRun, RunState
from content_library.models import Material, WelcomeSend, WelcomeState
from content_library.welcome_sends import REASONS
from sop import tasks
from sop.tasks import StoreProgress


@dataclass(frozen=True)
class Adds:
    """New friends since midnight, as many as yesterday at this time, and who left today."""

    today: int
    before: int
    ended: int

    @property
    def difference(self) -> int:
        """More (or fewer) than yesterday by this time of day."""
        return self.today - self.before


@dataclass(frozen=True)
class Welcomes:
    """The welcomes of the day; `reasons` are (words, count) of those that did not go out."""

    sent: int
    waiting: int
    missed: int
    reasons: list[tuple[str, int]]
    #: Milliseconds from the add to the sent welcome that 95 of 100 stay under; None: none sent.
    p95_ms: int | None


@dataclass(frozen=True)
class Work:
    """The day's tasks over the stores in view; `rows` is one page, furthest behind first."""

    planned: int
    done: int
    skipped: int
    open: int
    rows: list[StoreProgress]
    stores: int


@dataclass(frozen=True)
class Alert:
    """Something somebody should act on. `kind` is a retry that may be asked for, or None."""

    words: str
    reason: str
    is_red: bool
    retry_kind: str | None = None


#: Calls by kind, as HQ names them. What is missing here is not worth a retry by hand.
CALL_WORDS = {
    "welcome": "欢迎语",
    "app_message": "应用消息",
    "alert": "即时提醒",
    "digest": "晨间清单",
    "card_update": "卡片更新",
    "mark_tag": "标签同步",
    "contact_way_create": "渠道活码创建",
    "contact_way_update": "渠道活码更新",
    "corp_tag_create": "企业标签创建",
    "kf_reply": "客服回复",
    "kf_welcome": "客服欢迎语",
    "kf_state": "客服接待转接",
}
#: Their moment is over: trying them again reaches nobody, or somebody too late.
_NOT_AGAIN = frozenset({"welcome", "kf_welcome", "kf_reply", "kf_state", "digest"})
_JOB_WORDS = {
    "nightly": "夜间排期",
    "morning": "晨间清单",
    "roster": "通讯录同步",
    "media": "素材续期",
}
_LOOK_BACK = timedelta(days=7)
_MOST_ALERTS = 8
#: A store is far behind when the day is old and less than this part of its tasks is done.
_BEHIND_PART, _BEHIND_FROM_HOUR, _BEHIND_LEAST = 0.3, 15, 5


def regions(session: Session) -> list[Region]:
    """The regions to filter by."""
    return list(session.scalars(select(Region).order_by(Region.name)))


def adds(session: Session, day: date, now: datetime, region_id: int | None) -> Adds:
    """Friends begun and ended; along ix_follow_relation_followed_on and _ended_on."""
    relation = FollowRelation
    yesterday = day - timedelta(days=1)
    ended = select(func.count()).where(
        relation.ended_on == day, relation.state == FollowState.ENDED
    )
    begun = select(
        func.count().filter(relation.followed_on == day),
        func.count().filter(
            relation.followed_on == yesterday, relation.followed_at <= now - timedelta(days=1)
        ),
    ).where(relation.followed_on.in_([day, yesterday]))
    if region_id is not None:
        here = relation.guide_id.in_(_guides_of(region_id))
        ended, begun = ended.where(here), begun.where(here)
    row = session.execute(begun.add_columns(ended.scalar_subquery())).one()
    return Adds(row[0], row[1], row[2])


def welcomes(session: Session, day: date, region_id: int | None) -> Welcomes:
    """How the welcomes of the day ended; along ix_welcome_send_event_at."""
    send = WelcomeSend
    lag = func.percentile_cont(0.95).within_group(send.lag_ms)
    query = (
        select(send.state, send.reason, func.count(), lag)
        .where(send.event_at >= at(day, 0), send.event_at < at(day + timedelta(days=1), 0))
        .group_by(func.grouping_sets(tuple_(send.state, send.reason), tuple_()))
    )
    if region_id is not None:
        query = query.join(FollowRelation, FollowRelation.id == send.relation_id).where(
            FollowRelation.guide_id.in_(_guides_of(region_id))
        )
    counts = {WelcomeState.SENT: 0, WelcomeState.QUEUED: 0}
    reasons: list[tuple[str, int]] = []
    p95 = None
    for state, reason, count, lag_ms in session.execute(query):
        if state is None:
            p95 = None if lag_ms is None else round(lag_ms)
        elif state in counts:
            counts[state] += count
        else:
            known = REASONS.get(reason or "")
            reasons.append((known.words if known else reason or "没有记录原因", count))
    reasons.sort(key=lambda pair: -pair[1])
    missed = sum(count for _, count in reasons)
    return Welcomes(counts[WelcomeState.SENT], counts[WelcomeState.QUEUED], missed, reasons, p95)


def work(session: Session, day: date, region_id: int | None, page: int, size: int) -> Work:
    """Tasks of the day by store; the stores are few enough to be put in order here."""
    store_ids = None if region_id is None else _stores_of(session, region_id)
    found = tasks.store_progress(session, day, store_ids)
    found.sort(key=lambda one: ((one.done + one.skipped) / one.planned, -one.open, one.store_name))
    return Work(
        planned=sum(one.planned for one in found),
        done=sum(one.done for one in found),
        skipped=sum(one.skipped for one in found),
        open=sum(one.open for one in found),
        rows=found[(page - 1) * size : page * size],
        stores=len(found),
    )


def behind(done: Work, hour: int) -> Alert | None:
    """The stores far behind, as one alert; a morning is too early to say so."""
    late = [
        one.store_name
        for one in done.rows
        if one.planned >= _BEHIND_LEAST and one.done + one.skipped < one.planned * _BEHIND_PART
    ]
    if hour < _BEHIND_FROM_HOUR or not late:
        return None
    names = "、".join(late[:3]) + (f"等 {len(late)} 家门店" if len(late) > 3 else "")
    return Alert(f"{names}进度不到三成", "今天的任务大半还没有动，可以请店长看一眼", False)


def alerts(session: Session, day: date, now: datetime) -> list[Alert]:
    """What went wrong and waits for a person, worst first; one statement over partial indexes."""
    since = now - _LOOK_BACK
    rows = session.execute(
        union_all(
            select(
                literal("call").label("source"),
                Outbox.kind.label("name"),
                func.count().label("many"),
                func.max(Outbox.last_error).label("reason"),
                func.bool_or(Outbox.state == CallState.UNKNOWN).label("flag"),
            )
            .where(Outbox.state.in_(FAILED), Outbox.created_at >= since)
            .group_by(Outbox.kind),
            _one("inbox", Inbox.last_error, Inbox.state == MessageState.DEAD),
            _one("quarantine", Quarantine.reason, Quarantine.received_at >= since),
            select(
                literal("job"), JobRun.job, func.count(), func.max(JobRun.last_error), literal(True)
            )
            .where(JobRun.state == RunState.FAILED, JobRun.day.in_([day, day - timedelta(days=1)]))
            .group_by(JobRun.job),
            _one("media", Material.name, Material.media_error.is_not(None)),
            _one("code", ChannelCode.name, ChannelCode.push_error.is_not(None)),
            select(
                literal("pause"), ApiPause.api, literal(1), ApiPause.reason, ApiPause.is_held
            ).where(case((ApiPause.is_held, True), else_=ApiPause.until > now)),
        )
    )
    found = [_alert(*row) for row in rows if row.many]
    found.sort(key=lambda one: not one.is_red)
    return found[:_MOST_ALERTS]


def _one(source: str, reason: Any, wanted: Any) -> Any:
    return select(
        literal(source), literal(""), func.count(), func.max(reason), literal(False)
    ).where(wanted)


def _alert(source: str, name: str, many: int, reason: str | None, flag: bool) -> Alert:
    why = reason or "没有记录原因"
    if source == "call":
        words = f"{many:,} 次{CALL_WORDS.get(name, name)}没有成功"
        again = name if name in CALL_WORDS and name not in _NOT_AGAIN and not flag else None
        return Alert(words, why, True, again)
    if source == "inbox":
        return Alert(f"{many:,} 条企业微信回调处理失败", why, True, "inbox")
    if source == "quarantine":
        return Alert(f"{many:,} 条回调解不开", "请核对回调的 Token 与 EncodingAESKey", True)
    if source == "job":
        return Alert(f"{_JOB_WORDS.get(name, name)}没有跑完", why, True)
    if source == "media":
        return Alert(f"{many:,} 个素材上传失败", f"例如「{why}」，发送时会先略过它", False)
    if source == "code":
        return Alert(f"{many:,} 个渠道活码没有同步到企业微信", f"例如「{why}」", True)
    return Alert(f"接口 {name} 暂停调用", why, flag)


def _guides_of(region_id: int) -> Any:
    return (
        select(Guide.id).join(Store, Store.id == Guide.store_id).where(Store.region_id == region_id)
    )


def _stores_of(session: Session, region_id: int) -> list[int]:
    return list(session.scalars(select(Store.id).where(Store.region_id == region_id)))
