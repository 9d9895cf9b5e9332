"""The words of opened tasks (任务话术): one variant a customer, filled in chunk by chunk."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from content_library import placeholders
from content_library.models import TalkingPointVariant
from sop.models import Carrier, SopStep, Task, TaskState

_CHUNK = 2000
_KEEP = text(
    """
    UPDATE task SET words = kept.words, variant = kept.variant
    FROM unnest(CAST(:ids AS bigint[]), CAST(:places AS smallint[]), CAST(:words AS text[]))
        AS kept (id, variant, words)
    WHERE task.id = kept.id
    """
)


def render(session: Session, day: date, contact_ids: Sequence[int] | None = None) -> int:
    """Fill the words of `day`'s open tasks that have none yet; returns how many were filled."""
    texts = variants(session)
    done, after = 0, 0
    while True:
        rows = _waiting(session, day, contact_ids, after)
        if not rows:
            return done
        _keep(session, fill(session, day, rows, texts))
        done, after = done + len(rows), rows[-1].id
        if len(rows) < _CHUNK:
            return done


def choose(contact_id: int, wanted_on: date, step_key: str, count: int) -> int:
    """Which of `count` variants: always the same for one customer, day and step, evenly spread.

    No number of this database's own goes in: a preview has to choose what the night will.
    """
    return zlib.crc32(f"{contact_id}:{wanted_on}:{step_key}".encode()) % count


def variants(session: Session) -> dict[int, list[str]]:
    """Talking point → its variants, of all that steps use."""
    found: dict[int, list[str]] = defaultdict(list)
    used = select(SopStep.talking_point_id).where(SopStep.talking_point_id.is_not(None))
    rows = session.execute(
        select(TalkingPointVariant.talking_point_id, TalkingPointVariant.text)
        .where(TalkingPointVariant.talking_point_id.in_(used))
        .order_by(TalkingPointVariant.talking_point_id, TalkingPointVariant.position)
    )
    for point_id, words in rows:
        found[point_id].append(words)
    return found


def _waiting(
    session: Session, day: date, contact_ids: Sequence[int] | None, after: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    query = (
        select(
            Task.id,
            Task.wanted_on,
            Task.step_key,
            Task.contact_id,
            Task.guide_id,
            SopStep.talking_point_id,
        )
        .join(SopStep, SopStep.id == Task.step_id)
        .where(
            Task.planned_on == day,
            Task.state == TaskState.OPEN,
            Task.words.is_(None),
            # A machine has its template, and a mass message one text for all.
            Task.carrier == Carrier.GUIDE,
            SopStep.talking_point_id.is_not(None),
            Task.id > after,
        )
        .order_by(Task.id)
        .limit(_CHUNK)
    )
    if contact_ids is not None:
        query = query.where(Task.contact_id.in_(contact_ids))
    return session.execute(query).all()


def fill(
    session: Session,
    day: date,
    rows: Sequence[Row[*tuple[Any, ...]]],
    variants: Mapping[int, list[str]],
) -> dict[int, tuple[int, str]]:
    """Task id → place of its variant and the words; tasks without a talking point are left out."""
    worded = [row for row in rows if variants.get(row.talking_point_id)]
    points = {row.talking_point_id for row in worded}
    asked = {
        name for point in points for one in variants[point] for name in placeholders.names(one)
    }
    facts = placeholders.load_facts(
        session, sorted({(row.contact_id, row.guide_id) for row in worded}), day, asked
    )
    filled: dict[int, tuple[int, str]] = {}
    for row in worded:
        texts = variants[row.talking_point_id]
        known = facts.get((row.contact_id, row.guide_id))
        if known is not None:
            place = choose(row.contact_id, row.wanted_on, row.step_key, len(texts))
            filled[row.id] = (place, placeholders.fill(texts[place], known))
    return filled


def _keep(session: Session, filled: Mapping[int, tuple[int, str]]) -> None:
    session.execute(
        _KEEP,
        {
            "ids": list(filled),
            "places": [place for place, _ in filled.values()],
            "words": [words for _, words in filled.values()],
        },
    )
