"""What placeholders may say of a customer, a guide and a store, read for many pairs at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.clock import SHANGHAI
from bot.crm import carts
from content_library import words

_LUNAR_MONTHS = ("正", "二", "三", "四", "五", "六", "七", "八", "九", "十", "冬", "腊")
_WEEKDAYS = "一二三四五六日"
_DIGITS = "〇一二三四五六七八九十"


@dataclass(frozen=True, kw_only=True)
class PlaceholderFacts:
    """Ready-to-read values; None means not known. Names are cleaned, numbers are formatted."""

    address: str | None = None
    nickname: str | None = None
    guide_name: str | None = None
    store_name: str | None = None
    store_address: str | None = None
    store_hours: str | None = None
    brand_name: str | None = None
    last_item: str | None = None
    last_category: str | None = None
    last_purchase_day: str | None = None
    days_since_purchase: str | None = None
    days_since_follow: str | None = None
    birthday: str | None = None
    wedding_day: str | None = None
    points: str | None = None
    level: str | None = None
    member_no: str | None = None
    registered_day: str | None = None
    coupon_no: str | None = None
    coupon_value: str | None = None
    coupon_least: str | None = None
    coupon_last_day: str | None = None
    lapsing_points: str | None = None
    lapsing_day: str | None = None
    cart_item: str | None = None
    slot: str | None = None
    survey_url: str | None = None
    gold_price: str | None = None
    next_festival: str | None = None

    def named(self, nickname: str, gender: int) -> PlaceholderFacts:
        """The same facts with a name that was looked up just now, where none was known."""
        if self.address is not None:
            return self
        known = words.address(remark=None, member_name=None, nickname=nickname, gender=gender)
        return replace(self, address=known, nickname=words.clean(nickname) or None)


#: Facts that cost a look of their own for each pair, and the placeholders that speak of them.
_LOOKS: dict[str, frozenset[str]] = {
    "bought": frozenset({"上次购买品名", "上次购买品类", "上次购买日期", "距上次购买天数"}),
    "line": frozenset({"上次购买品名", "上次购买品类"}),
    "coupon": frozenset({"优惠券码", "优惠券面额", "优惠券门槛", "优惠券到期日"}),
    "lapse": frozenset({"到期积分", "积分到期日"}),
    "basket": frozenset({"购物车商品"}),
    "slot": frozenset({"预约时间"}),
}
# The lateral reads touch one index entry per pair (ix_purchase_contact_id_purchased_on), and none
# where the words do not ask; an order
# given back whole is no purchase anybody wants to be reminded of. The coupon that came with an open
# task, today's or one carried over, is spoken of before one that only ends sooner. `appointment`,
# `coupon_issue` and `task` are tables of a floor above.
_FACTS = text(
    """
    SELECT p.contact_id, p.guide_id, c.name AS nickname, c.gender, r.remark, r.followed_on,
           g.name AS guide_name, s.name AS store_name, s.address AS store_address, s.hours,
           b.name AS brand_name, m.name AS member_name, m.member_no, m.level, m.points,
           m.birth_month, m.birth_day, m.birthday_is_lunar, m.wedding_month, m.wedding_day,
           m.registered_on, bought.purchased_on, line.name AS item, line.category,
           coupon.coupon_no, coupon.value_fen, coupon.least_fen,
           coupon.expires_on AS coupon_until,
           lapse.points AS lapsing, lapse.expires_on AS lapses_on, basket.first_item AS cart_item,
           slot.slot_at, b.settings ->> 'survey_url' AS survey_url, price.fen AS gold_fen,
           (SELECT f.name FROM festival_day f WHERE f.held_on >= :day
            ORDER BY f.held_on, f.id LIMIT 1) AS festival
    FROM unnest(CAST(:contact_ids AS bigint[]), CAST(:guide_ids AS bigint[]))
         AS p(contact_id, guide_id)
    LEFT JOIN contact c ON c.id = p.contact_id
    LEFT JOIN member m ON m.contact_id = p.contact_id
    LEFT JOIN guide g ON g.id = p.guide_id
    LEFT JOIN store s ON s.id = g.store_id
    LEFT JOIN brand b ON b.id = 1
    LEFT JOIN follow_relation r ON r.guide_id = p.guide_id AND r.contact_id = p.contact_id
    LEFT JOIN LATERAL (
        SELECT id, purchased_on FROM purchase
        WHERE :bought AND contact_id = p.contact_id AND purchased_on <= :day
          AND refunded_fen < amount_fen
        ORDER BY purchased_on DESC, id DESC LIMIT 1
    ) bought ON true
    LEFT JOIN LATERAL (
        SELECT name, category FROM purchase_line
        WHERE :line AND purchase_id = bought.id AND NOT is_returned
        ORDER BY amount_fen DESC, line_no LIMIT 1
    ) line ON true
    LEFT JOIN brand_price price ON price.name = '金价' AND price.day = :day
    LEFT JOIN LATERAL (
        SELECT k.coupon_no, k.value_fen, k.expires_on,
               (SELECT n.least_spend_fen FROM coupon_template n
                WHERE n.name = k.template AND k.issuer = 'daogou') AS least_fen
        FROM coupon k
        WHERE k.contact_id = p.contact_id AND k.state = 'issued'
          AND :coupon AND (k.expires_on IS NULL OR k.expires_on >= :day)
        ORDER BY (k.issuer = 'daogou' AND EXISTS (
                     SELECT FROM coupon_issue i JOIN task t ON t.id = i.task_id
                     WHERE i.coupon_id = k.id AND t.state = 'open')) DESC,
                 (k.issuer = 'daogou' AND k.issued_on IS NOT DISTINCT FROM :day) DESC,
                 k.expires_on, k.id DESC LIMIT 1
    ) coupon ON true
    LEFT JOIN LATERAL (
        SELECT l.expires_on, sum(l.remaining) AS points FROM points_change l
        WHERE :lapse AND l.contact_id = p.contact_id AND l.remaining > 0 AND l.expires_on >= :day
        GROUP BY l.expires_on ORDER BY l.expires_on LIMIT 1
    ) lapse ON true
    LEFT JOIN LATERAL (
        SELECT k.first_item FROM cart k
        WHERE :basket AND k.contact_id = p.contact_id AND {is_open}
        ORDER BY k.opened_at DESC, k.id DESC LIMIT 1
    ) basket ON true
    LEFT JOIN LATERAL (
        SELECT a.slot_at FROM appointment a
        WHERE :slot AND a.contact_id = p.contact_id AND a.state = 'booked' AND a.slot_on >= :day
        ORDER BY a.slot_at LIMIT 1
    ) slot ON true
    """.replace("{is_open}", carts.IS_OPEN.format(cart="k"))
)


def load_facts(
    session: Session,
    pairs: Sequence[tuple[int, int]],
    day: date,
    names: Collection[str] | None = None,
) -> dict[tuple[int, int], PlaceholderFacts]:
    """The facts of each (contact_id, guide_id) as of `day`, in one statement for all of them.

    `names`: the placeholders that will be filled; what only others speak of is not looked for.
    """
    if not pairs:
        return {}
    rows = _rows(session, [c for c, _ in pairs], [g for _, g in pairs], day, names)
    return {(row["contact_id"], row["guide_id"]): _facts(row, day) for row in rows}


def contact_facts(
    session: Session, contact_id: int | None, guide_id: int | None, day: date
) -> PlaceholderFacts:
    """The facts of one customer; either id may be unknown, the brand always is known."""
    return _facts(_rows(session, [contact_id], [guide_id], day)[0], day)


def guide_only_facts(session: Session, guide_id: int, day: date) -> PlaceholderFacts:
    """The facts of words for a guide herself, with no customer in view."""
    return contact_facts(session, None, guide_id, day)


def _rows(
    session: Session,
    contact_ids: Sequence[int | None],
    guide_ids: Sequence[int | None],
    day: date,
    names: Collection[str] | None = None,
) -> Sequence[Mapping[str, Any]]:
    given = {
        "contact_ids": list(contact_ids),
        "guide_ids": list(guide_ids),
        "day": day,
        **{key: names is None or not told.isdisjoint(names) for key, told in _LOOKS.items()},
    }
    return [dict(row) for row in session.execute(_FACTS, given).mappings()]


def _facts(row: Mapping[str, Any], day: date) -> PlaceholderFacts:
    bought: date | None = row["purchased_on"]
    followed: date | None = row["followed_on"]
    return PlaceholderFacts(
        address=words.address(
            remark=row["remark"],
            member_name=row["member_name"],
            nickname=row["nickname"],
            gender=row["gender"] or 0,
        ),
        nickname=words.clean(row["nickname"]) or None,
        guide_name=words.clean(row["guide_name"]) or None,
        store_name=words.clean(row["store_name"]) or None,
        store_address=words.clean(row["store_address"], 100) or None,
        store_hours=words.clean(row["hours"]) or None,
        brand_name=words.clean(row["brand_name"]) or None,
        last_item=words.clean(row["item"]) or None,
        last_category=words.clean(row["category"]) or None,
        last_purchase_day=spoken_day(bought, day) if bought else None,
        days_since_purchase=str((day - bought).days) if bought else None,
        days_since_follow=str(max((day - followed).days, 0)) if followed else None,
        birthday=spoken_birthday(
            row["birth_month"], row["birth_day"], bool(row["birthday_is_lunar"])
        ),
        wedding_day=spoken_birthday(row["wedding_month"], row["wedding_day"], False),
        points=None if row["points"] is None else f"{row['points']:,}",
        level=words.clean(row["level"]) or None,
        member_no=masked_number(row["member_no"]),
        registered_day=_full_day(row["registered_on"]),
        **_of_the_moment(row, day),
    )


def _of_the_moment(row: Mapping[str, Any], day: date) -> dict[str, str | None]:
    """What holds for some days only: coupons, points about to lapse, the cart, an appointment."""
    gold, lapsing = row["gold_fen"], row["lapsing"]
    return {
        "coupon_no": words.clean(row["coupon_no"]) or None,
        "coupon_value": _yuan(row["value_fen"]),
        "coupon_least": _least(row["least_fen"]),
        "coupon_last_day": _spoken(row["coupon_until"], day),
        "lapsing_points": None if lapsing is None else f"{lapsing:,}",
        "lapsing_day": _spoken(row["lapses_on"], day),
        "cart_item": words.clean(row["cart_item"]) or None,
        "slot": spoken_moment(row["slot_at"]) if row["slot_at"] else None,
        "survey_url": row["survey_url"] or None,
        "gold_price": f"今日金价 {_yuan(gold)}/克" if gold else None,
        "next_festival": row["festival"],
    }


def spoken_moment(moment: datetime) -> str:
    """11月21日（周六）15:00, on the Shanghai wall clock."""
    local = moment.astimezone(SHANGHAI)
    weekday = _WEEKDAYS[local.weekday()]
    return f"{local.month}月{local.day}日（周{weekday}）{local:%H:%M}"


def spoken_day(moment: date, today: date) -> str:
    """10月3日, with the year only when it is another one."""
    spoken = f"{moment.month}月{moment.day}日"
    return spoken if moment.year == today.year else f"{moment.year}年{spoken}"


def spoken_birthday(month: int | None, day: int | None, is_lunar: bool) -> str | None:
    """8月15日 or 农历八月十五; None when month or day is not known."""
    if month is None or day is None or not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    if not is_lunar:
        return f"{month}月{day}日"
    if day > 30:
        return None
    return f"农历{_LUNAR_MONTHS[month - 1]}月{_lunar_day(day)}"


def masked_number(number: str | None) -> str | None:
    """A member number that shows its last four characters only (none of a very short one)."""
    kept = words.clean(number)
    if not kept:
        return None
    return "****" + (kept[-4:] if len(kept) > 4 else "")


def _spoken(moment: date | None, today: date) -> str | None:
    return spoken_day(moment, today) if moment else None


def _yuan(fen: int | None) -> str | None:
    if not fen:
        return None
    whole, rest = divmod(fen, 100)
    return f"{whole:,}.{rest:02} 元" if rest else f"{whole:,} 元"


def _least(fen: int | None) -> str | None:
    """满 2,000 元可用; None where we do not know the rule, as with coupons of the mall."""
    if fen is None:
        return None
    return f"满 {_yuan(fen)}可用" if fen else "不限消费金额"


def _full_day(moment: date | None) -> str | None:
    return f"{moment.year}年{moment.month}月{moment.day}日" if moment else None


def _lunar_day(day: int) -> str:
    if day <= 10:
        return f"初{_DIGITS[day]}"
    if day < 20:
        return f"十{_DIGITS[day - 10]}"
    if day == 20:
        return "二十"
    return f"廿{_DIGITS[day - 20]}" if day < 30 else "三十"
