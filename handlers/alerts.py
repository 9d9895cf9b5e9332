"""Alerts that cannot wait for the morning (提醒): a new friend, a customer lost, many at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot import outbox
from bot.clock import SHANGHAI, business_day
from bot.crm import brand
from bot.crm import lost as lost_customers
from bot.crm.lost import Direction
from bot.settings import Settings
from content_library import notices

# Older relations were read from WeCom, not reported: nobody wants to hear of them as news.
_NEWS = timedelta(hours=1)
# An alert that could not be delivered for so long is no news any more.
_LIFE = timedelta(hours=12)

# The relation is told of when no beginning since its last end was told of yet.
_CLAIM = text(
    """
    WITH news AS (
        SELECT f.id FROM follow_relation f JOIN guide g ON g.id = f.guide_id
        WHERE f.contact_id = ANY(:contacts) AND f.state <> 'ended' AND g.is_active
          AND f.followed_at > :since
          AND (f.announced_at IS NULL OR f.announced_at <= (
              SELECT to_timestamp(max((line ->> 0)::bigint) / 1000.0)
              FROM jsonb_array_elements(f.history) AS line
              WHERE line ->> 1 NOT IN ('half', 'full')))
        ORDER BY f.id FOR NO KEY UPDATE OF f
    )
    UPDATE follow_relation f SET announced_at = f.followed_at FROM news WHERE f.id = news.id
    RETURNING f.id
    """
)
_FACTS = text(
    """
    SELECT f.id, g.userid, f.relation_no, f.followed_at, f.ended_at,
           COALESCE(NULLIF(f.remark, ''), NULLIF(m.name, ''), NULLIF(c.name, '')) AS name,
           k.name AS channel, m.level, m.contact_id IS NOT NULL AS is_member,
           bought.purchased_on, line.name AS item, sums.orders, sums.total
    FROM follow_relation f
    JOIN guide g ON g.id = f.guide_id
    JOIN contact c ON c.id = f.contact_id
    LEFT JOIN channel_code k ON k.id = f.channel_code_id
    LEFT JOIN member m ON m.contact_id = c.id
    LEFT JOIN LATERAL (
        SELECT p.id, p.purchased_on FROM purchase p
        WHERE p.contact_id = c.id AND p.amount_fen > p.refunded_fen
        ORDER BY p.purchased_on DESC, p.id DESC LIMIT 1
    ) bought ON true
    LEFT JOIN LATERAL (
        SELECT l.name FROM purchase_line l
        WHERE l.purchase_id = bought.id AND NOT l.is_returned
        ORDER BY l.amount_fen DESC, l.line_no LIMIT 1
    ) line ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS orders, COALESCE(sum(p.amount_fen - p.refunded_fen), 0) AS total
        FROM purchase p WHERE p.contact_id = c.id AND p.amount_fen > p.refunded_fen
    ) sums
    WHERE f.id = ANY(:relations)
    """
)
# The managers of the guide's store; where there is none but herself, HQ.
_ABOVE = text(
    """
    SELECT g.name, above.userid
    FROM guide g
    CROSS JOIN LATERAL (
        SELECT b.userid FROM guide b
        WHERE b.store_id = g.store_id AND b.is_manager AND b.is_active AND b.id <> g.id
        UNION ALL
        SELECT o.userid FROM operator o
        WHERE o.userid IS NOT NULL AND o.is_active AND NOT EXISTS (
            SELECT FROM guide b
            WHERE b.store_id = g.store_id AND b.is_manager AND b.is_active AND b.id <> g.id)
    ) AS above
    WHERE g.id = :guide_id
    ORDER BY above.userid
    """
)
_DIRECTION_WORDS = {
    Direction.CUSTOMER: "有 {} 位客户删除了导购 {}",
    Direction.GUIDE: "导购 {1} 删除了 {0} 位客户",
}


def announce(
    session: Session, settings: Settings, contact_ids: Iterable[int], now: datetime
) -> int:
    """Tell guides of customers who came to them; each beginning once. Returns how many alerts."""
    given = {"contacts": sorted(set(contact_ids)), "since": now - _NEWS}
    relations = session.scalars(_CLAIM, given).all()
    return _send(session, settings, relations, now, is_lost=False)


def lost(session: Session, settings: Settings, relation_id: int, now: datetime) -> int:
    """Tell a guide that this customer deleted her; each end once."""
    return _send(session, settings, [relation_id], now, is_lost=True)


def deletions(
    session: Session,
    settings: Settings,
    guide_id: int,
    day: date,
    direction: Direction,
    now: datetime,
) -> int:
    """Tell the manager that too many customers of one guide were lost on `day`, once a day and
    direction; 0 while there are fewer than the brand's limit."""
    most = brand.settings(session).churn.alert_deletions
    count = lost_customers.count_of_guide(session, guide_id, day, direction)
    if count < most:
        return 0
    drafts = []
    for name, userid in session.execute(_ABOVE, {"guide_id": guide_id}):
        what = _DIRECTION_WORDS[direction].format(count, name)
        key = f"alert:deletions:{guide_id}:{day}:{direction}:{userid}"
        words = f"{day.month}月{day.day}日 {what}，请了解一下情况。"
        drafts.append(
            outbox.Draft(
                kind="alert",
                api="message/send",
                body=notices.text_body(settings.wecom.agent_id, userid, words, key),
                dedupe_key=key,
                members=(userid,),
                subject={"guide_id": guide_id},
                deadline=now + _LIFE,
            )
        )
    return len(outbox.add_many(session, drafts))


def _send(
    session: Session,
    settings: Settings,
    relations: Sequence[int],
    now: datetime,
    *,
    is_lost: bool,
) -> int:
    if not relations:
        return 0
    drafts = []
    for found in session.execute(_FACTS, {"relations": list(relations)}).mappings():
        row = dict(found)
        words = lost_words(row, now) if is_lost else new_friend_words(row, now)
        moment = row["ended_at"] if is_lost else row["followed_at"]
        kind = "lost" if is_lost else "new"
        drafts.append(
            outbox.Draft(
                kind="alert",
                api="message/send",
                body=notices.text_body(settings.wecom.agent_id, row["userid"], words, row["id"]),
                dedupe_key=f"alert:{kind}:{row['id']}:{int(moment.timestamp() * 1000)}",
                members=(row["userid"],),
                subject={"relation_id": row["id"]},
                deadline=now + _LIFE,
            )
        )
    return len(outbox.add_many(session, drafts))


def new_friend_words(row: Mapping[str, Any], now: datetime) -> str:
    """What a guide reads about a customer who came."""
    again = "又" if row["relation_no"] > 1 else ""
    lines = [f"新客户{again}添加了您：{row['name'] or '还没有名字'}"]
    if row["channel"]:
        lines.append(f"渠道：{row['channel']}")
    return "\n".join([*lines, *_standing(row, now), _at(row["followed_at"])])


def lost_words(row: Mapping[str, Any], now: datetime) -> str:
    """What a guide reads about a customer who went."""
    lines = [f"客户流失：{row['name'] or '一位客户'} 删除了您"]
    if row["channel"]:
        lines.append(f"来自渠道：{row['channel']}")
    return "\n".join([*lines, *_standing(row, now), _at(row["ended_at"])])


def _at(moment: datetime) -> str:
    """To the second: WeCom takes the same words to the same guide for a repetition, and many
    customers have the same name."""
    return f"时间：{moment.astimezone(SHANGHAI):%H:%M:%S}"


def _standing(row: Mapping[str, Any], now: datetime) -> list[str]:
    lines = [f"会员：{row['level'] or '普通会员'}" if row["is_member"] else "还不是会员"]
    if row["orders"]:
        ago = (business_day(now) - row["purchased_on"]).days
        when = "今天" if ago == 0 else f"{ago} 天前"
        lines.append(f"上次消费：{when}{' ' + row['item'] if row['item'] else ''}")
        lines.append(f"累计消费：{yuan(row['total'])}（{row['orders']} 笔）")
    return lines


def yuan(fen: int) -> str:
    """Money as people read it: ¥12,800, and cents only where there are some."""
    whole, rest = divmod(int(fen), 100)
    return f"¥{whole:,}.{rest:02}" if rest else f"¥{whole:,}"
