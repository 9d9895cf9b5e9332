"""What placeholders may say of a customer, a guide and a store, read for many pairs at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from content_library import words

_LUNAR_MONTHS = ("正", "二", "三", "四", "五", "六", "七", "八", "九", "十", "冬", "腊")
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

    def named(self, nickname: str, gender: int) -> PlaceholderFacts:
        """The same facts with a name that was looked up just now, where none was known."""
        if self.address is not None:
            return self
        known = words.address(remark=None, member_name=None, nickname=nickname, gender=gender)
        return replace(self, address=known, nickname=words.clean(nickname) or None)


# The lateral reads touch one index entry per pair (ix_purchase_contact_id_purchased_on); an order
# given back whole is no purchase anybody wants to be reminded of.
_FACTS = text(
    """
    SELECT p.contact_id, p.guide_id, c.name AS nickname, c.gender, r.remark, r.followed_on,
           g.name AS guide_name, s.name AS store_name, s.address AS store_address, s.hours,
           b.name AS brand_name, m.name AS member_name, m.member_no, m.level, m.points,
           m.birth_month, m.birth_day, m.birthday_is_lunar, m.wedding_month, m.wedding_day,
           m.registered_on, bought.purchased_on, line.name AS item, line.category
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
        WHERE contact_id = p.contact_id AND purchased_on <= :day AND refunded_fen < amount_fen
        ORDER BY purchased_on DESC, id DESC LIMIT 1
    ) bought ON true
    LEFT JOIN LATERAL (
        SELECT name, category FROM purchase_line WHERE purchase_id = bought.id
        ORDER BY amount_fen DESC, line_no LIMIT 1
    ) line ON true
    """
)


def load_facts(
    session: Session, pairs: Sequence[tuple[int, int]], day: date
) -> dict[tuple[int, int], PlaceholderFacts]:
    """The facts of each (contact_id, guide_id) as of `day`, in one statement for all of them."""
    if not pairs:
        return {}
    rows = _rows(session, [c for c, _ in pairs], [g for _, g in pairs], day)
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
) -> Sequence[Mapping[str, Any]]:
    given = {
        "contact_ids": list(contact_ids),
        "guide_ids": list(guide_ids),
        "day": day,
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
    )


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
