"""The morning card of each guide (早报), and one alert when something comes due during the day.

`(guide, day)` is unique: whoever prepares the digests a second time adds nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Row, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot import outbox
from bot.clock import business_day
from bot.crm import brand
from bot.settings import Settings
from bot.wecom import bodies, cards
from content_library import notices
from sop import lead_views, postings, step_kinds, why
from sop.models import Carrier, Digest, Task, TaskState
from sop.quiet import QuietHours, moment_of

_CHUNK = 1000
# With the title and the date above them: four lines, one glance.
_ROWS = 2
_NAME_LENGTH = 10
#: What the guide confirms or publishes, beside her tasks.
_TO_SEND = "待发送"
_LEADS = "线索"
_WEEKDAYS = "一二三四五六日"
# When no digest was prepared by then, the morning is late and alerts need not wait for it.
_LATE = timedelta(minutes=30)

_GUIDES = text(
    """
    SELECT w.guide_id, g.userid, CAST(sum(w.tasks) AS int) AS tasks,
           CAST(sum(w.last_day) AS int) AS last_day
    FROM (
        SELECT t.guide_id, count(*) AS tasks,
               count(*) FILTER (WHERE t.expires_on <= :day) AS last_day
        FROM task AS t
        WHERE t.planned_on = :day AND t.state = 'open' AND t.carrier = 'guide'
        GROUP BY t.guide_id
        UNION ALL
        SELECT m.guide_id, 0, 0 FROM mass_send AS m
        WHERE m.planned_on = :day AND m.contact_count > 0
          AND m.state IN ('waiting', 'queued', 'created')
        UNION ALL
        SELECT asked.guide_id, 0, 0
        FROM posting AS p JOIN posting_guide AS asked ON asked.posting_id = p.id
        WHERE p.due_on BETWEEN CAST(:day AS date) - 10 AND :day
          AND CAST(timezone('Asia/Shanghai', p.due_at) AS date) = :day
          AND asked.state = 'asked' AND p.state <> 'failed'
    ) AS w
    JOIN guide AS g ON g.id = w.guide_id
    WHERE w.guide_id > :after AND g.is_active
      AND NOT EXISTS (SELECT FROM digest AS d WHERE d.guide_id = w.guide_id AND d.day = :day)
    GROUP BY w.guide_id, g.userid
    ORDER BY w.guide_id
    LIMIT :chunk
    """
)
# Not guide by guide: in the night the tasks are new, and the planner, who knows little of them yet,
# would read the whole day for each guide.
_FIRST_TASKS = text(
    """
    SELECT first.guide_id, first.why, first.kind, c.name, s.title
    FROM (
        SELECT t.guide_id, t.contact_id, t.step_id, t.why, t.kind, t.number,
               row_number() OVER (PARTITION BY t.guide_id ORDER BY t.number) AS place
        FROM task AS t
        WHERE t.guide_id = ANY(:guide_ids) AND t.planned_on = :day AND t.state = 'open'
          AND t.carrier = 'guide'
    ) AS first
    JOIN contact AS c ON c.id = first.contact_id
    JOIN sop_step AS s ON s.id = first.step_id
    WHERE first.place <= :rows
    ORDER BY first.guide_id, first.number
    """
)
_COME_DUE = text(
    """
    UPDATE task AS t SET announced_at = :now
    FROM contact AS c, sop_step AS s, guide AS g
    WHERE c.id = t.contact_id AND s.id = t.step_id AND g.id = t.guide_id AND g.is_active
      AND t.planned_on = :day AND t.state = 'open' AND t.carrier = 'guide'
      AND t.announced_at IS NULL
      AND (t.due_at IS NULL OR t.due_at <= :now)
    RETURNING t.id, t.guide_id, g.userid, t.number, t.why, t.kind, c.name, s.title
    """
)


def prepare(session: Session, day: date, now: datetime, settings: Settings) -> int:
    """Write the digests of `day` that are missing, with their calls; returns how many.

    A guide gets none who has no open tasks and nothing to confirm or publish. Nothing leaves before
    the brand's morning, and nothing at all once the evening's quiet hours have begun.
    """
    window = _window(session, day, now)
    if window is None:
        return 0
    prepared, after = 0, 0
    while True:
        rows = session.execute(_GUIDES, {"day": day, "after": after, "chunk": _CHUNK}).all()
        prepared += _prepare_chunk(session, day, now, settings, rows, window)
        if len(rows) < _CHUNK:
            return prepared
        after = rows[-1].guide_id


def card(day: date, count: int, last_day_count: int, rows: Sequence[cards.Row], url: str) -> Any:
    """The digest as a template card: the number first, the date, whom to write to first."""
    title = f"今日 {count} 项" if count else "今天有内容等你发送"
    if last_day_count:
        title += f" · {last_day_count} 项今天到期"
    weekday = _WEEKDAYS[day.weekday()]
    return cards.text_notice(
        title=title, desc=f"{day.month}月{day.day}日 周{weekday}", rows=rows, url=url
    )


def sent(session: Session, delivery: outbox.Delivery) -> None:
    """WeCom took the digest: keep the code that updates the card; its tasks count as shown."""
    guide_id = int(delivery.subject["guide_id"])
    day = date.fromisoformat(delivery.subject["day"])
    session.execute(
        update(Digest)
        .where(Digest.guide_id == guide_id, Digest.day == day)
        .values(outbox_id=delivery.id, response_code=(delivery.result or {}).get("response_code"))
    )
    session.execute(
        update(Task)
        .where(
            Task.guide_id == guide_id,
            Task.planned_on == day,
            Task.announced_at.is_not(None),
            Task.shown_at.is_(None),
        )
        .values(shown_at=func.greatest(Task.announced_at, delivery.not_before))
        .execution_options(synchronize_session=False)
    )


def remind_due(session: Session, now: datetime, settings: Settings) -> int:
    """One alert per guide for tasks that came due after her digest; each task is told once.

    Waits for the morning's digests and keeps quiet hours. Returns the alerts.
    """
    day, rules = business_day(now), brand.settings(session)
    quiet = QuietHours.parse(rules.quiet_hours)
    morning = moment_of(day, rules.morning)
    if now < morning or quiet.covers_moment(now):
        return 0
    if now < morning + _LATE and not session.scalar(select(exists().where(Digest.day == day))):
        return 0
    due: dict[int, list[Row[*tuple[Any, ...]]]] = defaultdict(list)
    for row in session.execute(_COME_DUE, {"day": day, "now": now}):
        due[row.guide_id].append(row)
    deadline = _closes(day, quiet)
    drafts = [
        _alert(day, sorted(rows, key=lambda row: row.number), deadline, settings)
        for rows in due.values()
    ]
    return len(outbox.add_many(session, drafts))


def _window(session: Session, day: date, now: datetime) -> tuple[datetime, datetime] | None:
    """From when until when the digests of `day` may leave; None: too late today."""
    rules = brand.settings(session)
    quiet = QuietHours.parse(rules.quiet_hours)
    # HQ chose the hour of the morning for its guides; quiet hours are for everything later.
    opens = max(now, moment_of(day, rules.morning))
    if opens > now or not quiet.covers_moment(opens):
        pass
    elif quiet.start < quiet.end:
        opens = moment_of(day, quiet.end)
    closes = _closes(day, quiet)
    return (opens, closes) if opens < closes else None


def _closes(day: date, quiet: QuietHours) -> datetime:
    over_midnight = quiet.start > quiet.end
    return moment_of(day, quiet.start if over_midnight else time(23, 59))


def _prepare_chunk(
    session: Session,
    day: date,
    now: datetime,
    settings: Settings,
    rows: Sequence[Row[*tuple[Any, ...]]],
    window: tuple[datetime, datetime],
) -> int:
    if not rows:
        return 0
    fresh = set(
        session.scalars(
            insert(Digest)
            .values(
                [{"guide_id": row.guide_id, "day": day, "task_count": row.tasks} for row in rows]
            )
            .on_conflict_do_nothing()
            .returning(Digest.guide_id)
        )
    )
    first = _first_rows(session, day, sorted(fresh))
    for guide_id, lines in postings.lines_for_many(session, sorted(fresh), day).items():
        first[guide_id].append(cards.Row(_TO_SEND, "，".join(lines)))
    for guide_id, line in lead_views.waiting(session, sorted(fresh)).items():
        first[guide_id].append(cards.Row(_LEADS, line))
    drafts = [
        _draft(
            kind="digest",
            card=card(day, row.tasks, row.last_day, first[row.guide_id], _url(settings, day)),
            userid=row.userid,
            dedupe_key=f"digest:{day}:{row.guide_id}",
            settings=settings,
            not_before=window[0],
            deadline=window[1],
            subject={"guide_id": row.guide_id, "day": day.isoformat()},
        )
        for row in rows
        if row.guide_id in fresh
    ]
    outbox.add_many(session, drafts)
    session.execute(
        update(Task)
        .where(
            Task.guide_id.in_(fresh),
            Task.planned_on == day,
            Task.state == TaskState.OPEN,
            Task.carrier == Carrier.GUIDE,
            # The card tells of everything on the list, also of what is due at a later hour.
            Task.announced_at.is_(None),
        )
        .values(announced_at=now)
        .execution_options(synchronize_session=False)
    )
    return len(drafts)


def _first_rows(
    session: Session, day: date, guide_ids: Sequence[int]
) -> dict[int, list[cards.Row]]:
    found: dict[int, list[cards.Row]] = defaultdict(list)
    tasks = session.execute(_FIRST_TASKS, {"guide_ids": list(guide_ids), "day": day, "rows": _ROWS})
    for row in tasks:
        found[row.guide_id].append(_row(row, day))
    return found


def _row(row: Row[*tuple[Any, ...]], day: date) -> cards.Row:
    reason = why.reason(row.why, day)
    title = step_kinds.headline(row.kind, row.title)
    return cards.Row((row.name or "客户")[:_NAME_LENGTH], f"{title} · {reason}")


def _alert(
    day: date, rows: Sequence[Row[*tuple[Any, ...]]], deadline: datetime, settings: Settings
) -> outbox.Draft:
    first = rows[0]
    notice = cards.text_notice(
        title=f"{len(rows)} 位客户现在该联系了",
        desc=f"{day.month}月{day.day}日 今日第 {'、'.join(str(row.number) for row in rows)} 项",
        rows=[_row(row, day) for row in rows[:_ROWS]],
        url=_url(settings, day),
    )
    return _draft(
        kind="alert",
        card=notice,
        userid=first.userid,
        dedupe_key=f"due:{day}:{min(row.id for row in rows)}",
        settings=settings,
        not_before=None,
        deadline=deadline,
        subject={"guide_id": first.guide_id, "task_ids": [row.id for row in rows]},
    )


def _draft(
    *,
    kind: str,
    card: dict[str, Any],
    userid: str,
    dedupe_key: str,
    settings: Settings,
    not_before: datetime | None,
    deadline: datetime,
    subject: dict[str, Any],
) -> outbox.Draft:
    seconds = notices.duplicate_check_seconds(dedupe_key)
    return outbox.Draft(
        kind=kind,
        api="message/send",
        body=bodies.app_card_body(settings.wecom.agent_id, [userid], card, seconds),
        dedupe_key=dedupe_key,
        not_before=not_before,
        deadline=deadline,
        members=(userid,),
        subject=subject,
    )


def _url(settings: Settings, day: date) -> str:
    return f"{settings.public_base_url.rstrip('/')}/h5/today?{urlencode({'day': day.isoformat()})}"
