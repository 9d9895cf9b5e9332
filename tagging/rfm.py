"""RFM scores (最近/频次/金额): 1 worst to 5 best, by quintiles of all buyers.

The bounds between the quintiles are measured at night over everybody and kept in `rfm_threshold`;
a contact refreshed after an event is scored by the bounds of last night, so event and night agree.
Equal values always get equal scores: with jewellery most buyers have bought once, and a plain ntile
would spread them over three scores by chance. Never bought, or no night yet: NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Float,
    Integer,
    SmallInteger,
    String,
    case,
    cast,
    delete,
    func,
    literal,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tagging.models import ContactScore, RfmThreshold

#: Further columns of a row, made of its new grades.
Following = Callable[[Sequence[Any]], dict[str, ColumnElement[Any]]]
_FRACTIONS = (0.2, 0.4, 0.6, 0.8)
_QUINTILES = (1, 2, 3, 4)
NAMES = ("recency", "frequency", "monetary")


def grades(totals: Any, day: date, limits: Any) -> list[Any]:
    """Recency, frequency and monetary of each row of `totals`, by the bounds of `limits`."""
    return [
        _score(name, value, totals, limits).label(name)
        for name, value in _measures(totals, day).items()
    ]


def measure(session: Session, day: date, totals: Any) -> None:
    """Find the bounds of the quintiles among all buyers of `totals` in one look, and keep them."""
    measures = _measures(totals, day)
    cuts = literal(list(_FRACTIONS), ARRAY(Float))
    cut = (
        select(
            *(
                func.percentile_disc(cuts).within_group(value).cast(ARRAY(BigInteger)).label(name)
                for name, value in measures.items()
            )
        )
        .where(totals.c.purchase_count > 0)
        .cte("cut")
    )
    found = union_all(*(_numbered(name, cut) for name in measures)).subquery("found")
    row = insert(RfmThreshold).from_select(
        ["measure", "quintile", "bound", "computed_on"],
        select(found.c.measure, found.c.quintile, found.c.bound, literal(day)).where(
            found.c.bound.is_not(None)
        ),
    )
    session.execute(delete(RfmThreshold))
    session.execute(
        row.on_conflict_do_update(
            index_elements=[RfmThreshold.measure, RfmThreshold.quintile],
            set_={"bound": row.excluded.bound, "computed_on": row.excluded.computed_on},
        )
    )


def regrade(session: Session, day: date, following: Following) -> int:
    """Bring the grades of all buyers up to `day` and the bounds; returns how many rows changed.

    Only grades and what follows from them are written, from what stands in the row itself, so that
    a row which is counted by somebody else at this moment is graded by its new totals.
    """
    row, limits = ContactScore.__table__, bounds()
    fresh = grades(row, day, limits)
    old = tuple_(*(row.c[name] for name in NAMES))
    changed = (
        update(ContactScore)
        .where(row.c.purchase_count > 0, old.is_distinct_from(tuple_(*fresh)))
        .values(dict(zip(NAMES, fresh, strict=True)) | following(fresh))
        .execution_options(synchronize_session=False)
    )
    return session.execute(changed).rowcount  # type: ignore[attr-defined,no-any-return]


def _measures(totals: Any, day: date) -> dict[str, ColumnElement[Any]]:
    return {
        "recency": cast(literal(day) - totals.c.last_purchased_on, Integer),
        "frequency": totals.c.purchase_count,
        "monetary": totals.c.total_spend_fen,
    }


def _numbered(name: str, cut: Any) -> Any:
    numbered = func.unnest(cut.c[name]).table_valued("bound", with_ordinality="quintile")
    numbered = numbered.render_derived(name=f"{name}_numbered")
    return (
        select(
            literal(name, String).label("measure"),
            numbered.c.quintile,
            cast(numbered.c.bound, BigInteger).label("bound"),
        )
        .select_from(cut)
        .join(numbered, true())
    )


def bounds() -> Any:
    """All bounds in one row, `recency_1` to `monetary_4`; NULL before the first night."""
    return select(
        *(
            func.max(RfmThreshold.bound)
            .filter(RfmThreshold.measure == name, RfmThreshold.quintile == quintile)
            .label(f"{name}_{quintile}")
            for name in NAMES
            for quintile in _QUINTILES
        )
    ).subquery("bounds")


def _score(name: str, value: ColumnElement[Any], totals: Any, limits: Any) -> ColumnElement[Any]:
    """1 + the bounds a value lies above; for days it is the other way round, fewer being better."""
    above: ColumnElement[Any] = literal(0)
    for quintile in _QUINTILES:
        above = above + cast(value > limits.c[f"{name}_{quintile}"], Integer)
    score = 5 - above if name == "recency" else 1 + above
    return case((totals.c.purchase_count > 0, cast(score, SmallInteger)), else_=None)
