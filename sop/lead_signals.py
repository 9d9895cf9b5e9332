"""What a customer does that shows an interest (线索信号): the closed table of behaviors.

Each entry selects facts as (contact_id, seen_at, text, dedupe_key); a fact is one signal however
often it is looked at. A fact followed by a purchase is no interest that waits for anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm.brand import BrandSettings
from sop import writing

#: A lead that somebody may still work on; the unique index of the table says the same.
LIVE = "('open', 'assigned', 'touched')"
#: Shorter looks at a material are a slip of the thumb.
_LEAST_SECONDS = 10
MONEY = "regexp_replace(to_char({fen} / 100.0, 'FM999,999,999,990.00'), '\\.00$', '')"


@dataclass(frozen=True)
class Behavior:
    """One thing a customer may do. `score` is the default, the brand may set another.

    `select` is None for what people say: it comes through `leads.raise_intent`.
    """

    key: str
    label: str
    score: int
    select: str | None = None
    #: Whoever asks this wants a person, whatever the score says.
    is_hot: bool = False


_VIEWED = f"""
    SELECT v.contact_id, v.viewed_at AS seen_at, '看了「' || v.material || '」' AS text,
           'view:' || v.id AS dedupe_key
    FROM material_view v
    WHERE v.viewed_on BETWEEN :first AND :day AND v.seconds >= {_LEAST_SECONDS}
"""
_CART = f"""
    SELECT v.contact_id, v.opened_at AS seen_at,
           '加购了 ' || COALESCE(v.first_item, '商品')
           || CASE WHEN v.amount_fen > 0
                   THEN '（¥' || {MONEY.format(fen="v.amount_fen")} || '）' ELSE '' END AS text,
           'cart:' || v.id || ':' || floor(extract(epoch FROM v.opened_at)) AS dedupe_key
    FROM cart v
    WHERE v.state = 'added' AND v.opened_on BETWEEN :first AND :day
"""
# What the guide saw and what the till tells of one day in one store is one visit.
_VISITED = """
    SELECT v.contact_id, v.visited_at AS seen_at,
           COALESCE(s.name || ' ', '') || v.kind AS text,
           'visit:' || v.contact_id || ':' || v.visited_on || ':' || v.store_code AS dedupe_key
    FROM visit v LEFT JOIN store s ON s.id = v.store_id
    WHERE v.visited_on BETWEEN :first AND :day AND v.kind <> '线上'
"""
# Of a reply only the newest day is known, so what was before it is read from the other two. A
# pause ends once, however often she comes back after it.
_RETURNED = """
    SELECT DISTINCT ON (v.contact_id) v.contact_id, v.seen_at,
           '时隔 ' || (v.seen_on - earlier.seen_on) || ' 天再次' || v.what AS text,
           'return:' || v.contact_id || ':' || earlier.seen_on AS dedupe_key
    FROM (
        SELECT contact_id, purchased_at AS seen_at, purchased_on AS seen_on, '消费' AS what
        FROM purchase
        WHERE purchased_on BETWEEN :first AND :day AND refunded_fen < amount_fen
        UNION ALL
        SELECT contact_id, visited_at, visited_on, '到店'
        FROM visit WHERE visited_on BETWEEN :first AND :day AND kind <> '线上'
        UNION ALL
        SELECT contact_id, (replied_on + time '12:00') AT TIME ZONE 'Asia/Shanghai', replied_on,
               '回复'
        FROM contact_activity WHERE replied_on BETWEEN :first AND :day
    ) v
    CROSS JOIN LATERAL (
        SELECT GREATEST(
            (SELECT max(p.purchased_on) FROM purchase p
             WHERE p.contact_id = v.contact_id AND p.purchased_on < v.seen_on
               AND p.refunded_fen < p.amount_fen),
            (SELECT max(w.visited_on) FROM visit w
             WHERE w.contact_id = v.contact_id AND w.visited_on < v.seen_on)) AS seen_on
    ) earlier
    WHERE v.seen_on - earlier.seen_on >= :return_days {only}
    ORDER BY v.contact_id, v.seen_at
"""

BEHAVIORS: dict[str, Behavior] = {
    one.key: one
    for one in (
        Behavior("viewed", "看了素材", 10, _VIEWED + "{only}"),
        Behavior("cart", "加购未买", 30, _CART + "{only}"),
        Behavior("returned", "久别再来", 20, _RETURNED),
        Behavior("visited", "到过店", 25, _VISITED + "{only}"),
        Behavior("intended", "到店后意向强", 40),
        Behavior("asked_custom", "问到定制", 60, is_hot=True),
        Behavior("asked_wedding", "问到结婚选款", 60, is_hot=True),
    )
}

#: An intention by its name in the brand's settings -> the behavior it is.
INTENTS: dict[str, str] = {"定制": "asked_custom", "结婚选款": "asked_wedding"}

_RECORD = """
    WITH seen AS ({select}),
    fresh AS (
        SELECT s.* FROM seen s
        JOIN contact c ON c.id = s.contact_id AND c.merged_into_id IS NULL
        WHERE s.seen_at <= :now
          AND NOT EXISTS (SELECT FROM lead_signal x WHERE x.dedupe_key = s.dedupe_key)
          AND NOT EXISTS (
              SELECT FROM purchase p
              WHERE p.contact_id = s.contact_id AND p.purchased_at > s.seen_at
                AND p.refunded_fen < p.amount_fen)
          {unless}
    ),
    raised AS (
        INSERT INTO lead (contact_id, state, score, is_hot, raised_at, raised_on)
        SELECT contact_id, 'open', 0, false, :now, :day FROM fresh
        GROUP BY contact_id ORDER BY contact_id
        -- Changes nothing, but waits for and returns a lead that another transaction just raised.
        ON CONFLICT (contact_id) WHERE state IN {live} DO UPDATE SET raised_at = lead.raised_at
        RETURNING id, contact_id
    ),
    held AS (
        SELECT id, contact_id FROM raised
        UNION
        SELECT l.id, l.contact_id FROM lead l
        WHERE l.state IN {live} AND l.contact_id IN (SELECT contact_id FROM fresh)
    )
    INSERT INTO lead_signal (lead_id, behavior, score, seen_at, text, dedupe_key)
    SELECT h.id, :behavior, :score, f.seen_at, f.text, f.dedupe_key
    FROM fresh f JOIN held h ON h.contact_id = f.contact_id
    ORDER BY f.dedupe_key
    ON CONFLICT (dedupe_key) DO NOTHING
"""
#: Whoever does not want to be spoken to by her guide is nobody's lead because of what she does.
IS_REFUSING = """EXISTS (
    SELECT FROM opt_out o
    WHERE o.contact_id = {contact} AND o.is_out AND o.channel IN ('all', 'chat'))"""
_SAID = """
    SELECT CAST(:contact_id AS bigint) AS contact_id, CAST(:now AS timestamptz) AS seen_at,
           CAST(:text AS text) AS text, CAST(:dedupe_key AS text) AS dedupe_key
"""


def score_of(key: str, settings: BrandSettings) -> int:
    """What a behavior counts for this brand."""
    return int(settings.leads.scores.get(key, BEHAVIORS[key].score))


def record_facts(
    session: Session,
    day: date,
    now: datetime,
    settings: BrandSettings,
    contact_ids: Sequence[int] | None,
) -> int:
    """Write the signals of the last days that are not written yet; returns how many.

    One statement a behavior. A fact older than the brand's catch-up days raises nothing: what is
    imported from the past is history, not interest.
    """
    given = {
        "first": day - timedelta(days=settings.catch_up_days),
        "day": day,
        "now": now,
        "return_days": settings.leads.return_days,
        "contacts": None if contact_ids is None else list(contact_ids),
    }
    only = "" if contact_ids is None else "AND v.contact_id = ANY(:contacts)"
    return sum(
        _record(session, one, one.select.format(only=only), given, settings)
        for one in BEHAVIORS.values()
        if one.select is not None
    )


def record_saying(
    session: Session,
    contact_id: int,
    behavior: str,
    words: str,
    day: date,
    now: datetime,
    settings: BrandSettings,
    *,
    dedupe_key: str,
) -> bool:
    """Write what a customer said or did in front of a person; False if it was written before."""
    given = {
        "contact_id": contact_id,
        "text": words,
        "dedupe_key": dedupe_key,
        "day": day,
        "now": now,
    }
    return _record(session, BEHAVIORS[behavior], _SAID, given, settings) > 0


def _record(
    session: Session,
    behavior: Behavior,
    select: str,
    given: Mapping[str, object],
    settings: BrandSettings,
) -> int:
    # What she asks for herself is heard all the same.
    unless = f"AND NOT {IS_REFUSING.format(contact='s.contact_id')}" if behavior.select else ""
    statement = text(_RECORD.format(select=select, live=LIVE, unless=unless))
    own = {"behavior": behavior.key, "score": score_of(behavior.key, settings)}
    return writing.rows(session, statement, {**given, **own})
