"""SQL written by hand (手写基准 SQL) for what the product's statements do, on the same tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session, sessionmaker

from bot.crm.models import Contact
from sop import candidates, run_tables, running
from sop.running import Rules
from tagging import conditions, scores
from tagging.models import ScoreBasis

_TOTALS = text(
    """
    SELECT count(*), sum(total), sum(times), max(categories), max(favourite) FROM (
        SELECT p.contact_id, sum(amount_fen - refunded_fen) AS total, count(*) AS times,
               min(purchased_on), max(purchased_on)
        FROM purchase AS p WHERE amount_fen > refunded_fen GROUP BY p.contact_id
    ) AS o LEFT JOIN (
        SELECT contact_id, array_agg(category ORDER BY category) AS categories,
               (array_agg(category ORDER BY fen DESC, category))[1] AS favourite
        FROM (
            SELECT p.contact_id, l.category, sum(l.amount_fen) AS fen
            FROM purchase AS p JOIN purchase_line AS l ON l.purchase_id = p.id
            WHERE p.amount_fen > p.refunded_fen AND l.category <> '' AND NOT l.is_returned
            GROUP BY p.contact_id, l.category
        ) AS s GROUP BY contact_id
    ) AS c USING (contact_id)
    """
)
_BIG_SPENDERS = text(
    """
    SELECT count(*) FROM contact_score
    WHERE total_spend_fen >= 5000000 AND last_purchased_on > :since
    """
)
"""Who spent 50,000 yuan in all and bought within a year."""
_CANDIDATES = text(
    """
    INSERT INTO task (enrollment_id, step_key, step_id, contact_id, wanted_on, due_on, expires_on,
                      state, why)
    SELECT e.id, s.key, s.id, e.contact_id, e.anchored_on + s.day, e.anchored_on + s.day,
           e.anchored_on + s.day + :reach,
           'deferred', e.facts
    FROM sop_step AS s
    JOIN enrollment AS e ON e.version_id = s.version_id AND e.state = 'active'
        AND e.anchored_on BETWEEN :day - s.day - :reach AND :day - s.day
    ON CONFLICT (enrollment_id, step_key) DO NOTHING
    """
)


def compare(sessions: sessionmaker[Session], day: date) -> list[tuple[str, str, str, str]]:
    """(what, our seconds, seconds by hand, ratio) of each; nothing is kept of what they write."""
    since = date.fromordinal(day.toordinal() - 365)
    rule = {
        "all": [
            {"field": "total_spend_fen", "op": ">=", "value": 5_000_000},
            {"field": "days_since_purchase", "op": "<", "value": 365},
        ]
    }
    matched = select(func.count()).select_from(Contact).where(conditions.clause(rule, day))
    pairs: list[tuple[str, Callable[[Session], Any], Callable[[Session], Any]]] = [
        (
            "scores: everybody counted anew",
            lambda session: _count_everybody(session, day),
            lambda session: session.execute(_TOTALS).all(),
        ),
        (
            "one tag rule: who matches",
            lambda session: session.scalar(matched),
            lambda session: session.scalar(_BIG_SPENDERS, {"since": since}),
        ),
        (
            "plan: tasks of all due steps",
            lambda session: _create_all(session, day),
            lambda session: session.execute(
                _CANDIDATES, {"day": day, "reach": Rules.read(session).catch_up_days}
            ),
        ),
    ]
    rows = []
    for name, ours, by_hand in pairs:
        print(f"  measuring {name}", flush=True)
        seconds = [_best(sessions, work) for work in (ours, by_hand)]
        ratio = seconds[0] / seconds[1]
        rows.append((name, f"{seconds[0]:.3f}", f"{seconds[1]:.3f}", f"{ratio:.2f}"))
    return rows


def _count_everybody(session: Session, day: date) -> None:
    session.execute(delete(ScoreBasis))
    scores.refresh(session, day)


def _create_all(session: Session, day: date) -> None:
    rules = Rules.read(session)
    versions = running.in_use(session)
    due = candidates.gather(session, versions, day, rules, None)
    for version in versions:
        if version.id in due:
            candidates.create(session, version, day, rules)
    run_tables.write_waiting(session, day)


def _best(sessions: sessionmaker[Session], work: Callable[[Session], Any]) -> float:
    """The better of two runs, each rolled back."""
    took = []
    for _ in range(2):
        with sessions() as session:
            session.execute(select(func.set_config("work_mem", "128MB", True)))
            # The tasks of the day are there already; without them both find the same work.
            session.execute(text("DELETE FROM task"))
            began = time.monotonic()
            work(session)
            took.append(time.monotonic() - began)
            session.rollback()
    return min(took)
