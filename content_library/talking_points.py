"""Find the words for a situation (话术): by name, scene or text, forgiving about the term used."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Integer, case, exists, func, literal, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from bot.errors import UserError
from content_library import placeholders
from content_library.models import TalkingPoint, TalkingPointVariant

#: Words guides use for the same thing; each group is one meaning.
SYNONYMS: tuple[frozenset[str], ...] = (
    frozenset({"求婚", "钻戒", "订婚", "表白"}),
    frozenset({"结婚", "婚戒", "对戒", "婚礼", "新婚"}),
    frozenset({"纪念日", "周年"}),
    frozenset({"生日", "庆生"}),
    frozenset({"保养", "清洗", "清洁", "护理"}),
    frozenset({"售后", "维修", "修理", "改圈", "刻字"}),
    frozenset({"嫌贵", "太贵", "价格", "优惠", "打折", "便宜", "折扣"}),
    frozenset({"沉睡", "唤醒", "召回", "好久没来", "老客"}),
    frozenset({"新客", "新朋友", "刚加", "问候", "打招呼"}),
    frozenset({"到店", "邀约", "预约", "进店"}),
    frozenset({"黄金", "金价", "足金", "古法金"}),
    frozenset({"送礼", "礼物", "礼品"}),
    frozenset({"春节", "过年", "新年"}),
    frozenset({"七夕", "情人节"}),
    frozenset({"以旧换新", "换新", "旧换新", "换款"}),
)

_SEPARATORS = re.compile(r"[\s,，、。;；/|!！?？]+")
_MOST_TERMS = 5
_LONGEST_QUERY = 60


@dataclass(frozen=True)
class Found:
    """A talking point that fits, with all its variants (placeholders not filled)."""

    id: int
    name: str
    scene: str
    variants: tuple[str, ...]


def check_variants(variants: Sequence[str], *, field: str = "variants") -> None:
    """Refuse a talking point without words or with unknown placeholders; raises UserError."""
    if not variants or not all(isinstance(v, str) and v.strip() for v in variants):
        raise UserError("话术至少要有一条内容，而且不能是空的。", field=field)
    for variant in variants:
        placeholders.check(variant, field=field)


def search(session: Session, query: str, limit: int = 5) -> list[Found]:
    """The active talking points that fit `query` best, best first; [] if nothing fits.

    All words must fit somewhere (name, scene or text), each as written or as a synonym; if none
    does, points that share at least two neighboring characters with the query are taken.
    """
    folded = unicodedata.normalize("NFKC", query)[:_LONGEST_QUERY].strip()
    terms = [t for t in _SEPARATORS.split(folded) if t][:_MOST_TERMS]
    if not terms:
        return []
    scores = [_score(term) for term in terms]
    found = _top(session, _sum(scores), [score > 0 for score in scores], limit)
    if found:
        return found
    pairs = sorted({t[i : i + 2] for t in terms for i in range(len(t) - 1)})
    if not pairs:
        return []
    total = _sum([_score(pair) for pair in pairs])
    return _top(session, total, [total > 0], limit)


def _score(term: str) -> ColumnElement[int]:
    """100 for the very name, then name, scene, text; a synonym counts about half."""
    point = TalkingPoint
    branches = [
        (func.lower(point.name) == term.lower(), 100),
        (_has(point.name, term), 60),
        (_has(point.scene, term), 40),
        (_in_text([term]), 20),
    ]
    others = _synonyms(term)
    if others:
        branches += [
            (or_(*(_has(point.name, one) for one in others)), 30),
            (or_(*(_has(point.scene, one) for one in others)), 20),
            (_in_text(others), 10),
        ]
    return case(*((found, literal(points, Integer)) for found, points in branches), else_=0)


def _synonyms(term: str) -> list[str]:
    groups = [group for group in SYNONYMS if any(one in term or term == one for one in group)]
    return sorted({one for group in groups for one in group if one != term})


def _has(column: InstrumentedAttribute[str], term: str) -> ColumnElement[bool]:
    return column.icontains(term, autoescape=True)


def _in_text(terms: Sequence[str]) -> ColumnElement[bool]:
    variant = TalkingPointVariant
    hit = or_(*(variant.text.icontains(term, autoescape=True) for term in terms))
    return exists().where(variant.talking_point_id == TalkingPoint.id, hit)


def _sum(scores: Sequence[ColumnElement[int]]) -> ColumnElement[int]:
    total = scores[0]
    for score in scores[1:]:
        total = total + score
    return total


def _top(
    session: Session,
    total: ColumnElement[int],
    wanted: Sequence[ColumnElement[bool]],
    limit: int,
) -> list[Found]:
    points = session.execute(
        select(TalkingPoint.id, TalkingPoint.name, TalkingPoint.scene)
        .where(TalkingPoint.is_active, *wanted)
        .order_by(total.desc(), TalkingPoint.name)
        .limit(limit)
    ).all()
    variants: dict[int, list[str]] = {row.id: [] for row in points}
    rows = session.execute(
        select(TalkingPointVariant.talking_point_id, TalkingPointVariant.text)
        .where(TalkingPointVariant.talking_point_id.in_(variants))
        .order_by(TalkingPointVariant.talking_point_id, TalkingPointVariant.position)
    )
    for point_id, words in rows:
        variants[point_id].append(words)
    return [Found(row.id, row.name, row.scene, tuple(variants[row.id])) for row in points]
