"""Retention (保留期限): what is done is forgotten in steps; what tells duplicates stays longest.

What WeCom said is personal data, so its plaintext goes after 90 days; the hash of it stays for 400,
because an old request can be sent again at any time. Ages are measured on the database's clock,
which wrote them. Each step works in chunks with a transaction of its own and can be repeated or
broken off at any point.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from bot.db import transaction
from bot.inbox import QUARANTINE_ROWS

log = logging.getLogger(__name__)

CHUNK = 5_000


@dataclass(frozen=True)
class Step:
    """One statement that changes at most `:chunk` rows, run until it finds no more."""

    name: str
    statement: str


STEPS: tuple[Step, ...] = (
    Step(
        "inbox plaintext after 90 days",
        # Without its plaintext a message cannot be handled again: a dead one is let go, and one
        # that asks to look again is only counted when it is sent again.
        """
        UPDATE inbox SET plaintext = '', query = '{}', rereads = false,
               state = CASE state WHEN 'dead' THEN 'ignored' ELSE state END
         WHERE id IN (SELECT id FROM inbox
                       WHERE plaintext <> '' AND done_at < now() - interval '90 days'
                         AND state IN ('done', 'ignored', 'dead')
                       ORDER BY done_at LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
    Step(
        "inbox hash after 400 days",
        """
        DELETE FROM inbox
         WHERE id IN (SELECT id FROM inbox
                       WHERE plaintext = '' AND done_at < now() - interval '400 days'
                       ORDER BY done_at LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
    Step(
        "outbox letters that failed, after 180 days",
        """
        DELETE FROM outbox
         WHERE id IN (SELECT id FROM outbox
                       WHERE state IN ('dead', 'unknown', 'expired')
                         AND done_at < now() - interval '180 days'
                       ORDER BY id LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
    Step(
        "outbox payload after 180 days",
        """
        UPDATE outbox SET body = '', members = '{}', subject = '{}', result = '{}',
               last_error = NULL
         WHERE id IN (SELECT id FROM outbox
                       WHERE body <> '' AND done_at < now() - interval '180 days'
                         AND state IN ('done', 'cancelled')
                       ORDER BY done_at LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
    Step(
        "outbox keys after 400 days",
        """
        DELETE FROM outbox
         WHERE id IN (SELECT id FROM outbox
                       WHERE body = '' AND done_at < now() - interval '400 days'
                         AND state IN ('done', 'cancelled')
                       ORDER BY done_at LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
    Step(
        "runs of jobs after 400 days",
        """
        DELETE FROM job_run
         WHERE (job, day) IN (SELECT job, day FROM job_run
                               WHERE done_at < now() - interval '400 days'
                                 AND state IN ('done', 'failed')
                               LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
    Step(
        "details of runs after 90 days",
        """
        UPDATE job_run SET detail = '{}', last_error = NULL
         WHERE (job, day) IN (SELECT job, day FROM job_run
                               WHERE done_at < now() - interval '90 days'
                                 AND state IN ('done', 'failed')
                                 AND (detail <> '{}' OR last_error IS NOT NULL)
                               LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
    Step(
        "what customers looked at, after 400 days",
        # The newest day of each stays in contact_activity.
        """
        DELETE FROM material_view
         WHERE id IN (SELECT id FROM material_view
                       WHERE viewed_on < current_date - 400
                       ORDER BY viewed_on LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
    Step(
        "reports of carts nobody touched for 400 days",
        """
        DELETE FROM cart_change
         WHERE id IN (SELECT h.id FROM cart_change h JOIN cart c USING (source, cart_id)
                       WHERE c.changed_at < now() - interval '400 days'
                       LIMIT :chunk FOR UPDATE OF h SKIP LOCKED)
        """,
    ),
    Step(
        "carts nobody touched for 400 days",
        """
        DELETE FROM cart
         WHERE id IN (SELECT c.id FROM cart c
                       WHERE c.changed_at < now() - interval '400 days'
                         AND NOT EXISTS (SELECT FROM cart_change h
                                          WHERE h.source = c.source AND h.cart_id = c.cart_id)
                       LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
    Step(
        "channels that missed customers, after 30 days",
        """
        DELETE FROM channel_miss
         WHERE (contact_id, channel) IN (SELECT contact_id, channel FROM channel_miss
                                          WHERE missed_on < current_date - 30
                                          LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
    Step(
        "quarantine after 90 days, and beyond its cap",
        f"""
        DELETE FROM quarantine
         WHERE id IN (SELECT id FROM quarantine
                       WHERE received_at < now() - interval '90 days'
                          OR id <= (SELECT max(id) FROM quarantine) - {QUARANTINE_ROWS}
                       ORDER BY id LIMIT :chunk FOR UPDATE SKIP LOCKED)
        """,
    ),
)


def purge(sessions: sessionmaker[Session], *, chunk: int = CHUNK) -> int:
    """Forget what is old enough; returns the rows changed or removed."""
    total = 0
    for step in STEPS:
        rows = 0
        while changed := _run(sessions, step, chunk):
            rows += changed
        if rows:
            log.info("retention step=%r rows=%d", step.name, rows)
        total += rows
    return total


def _run(sessions: sessionmaker[Session], step: Step, chunk: int) -> int:
    with transaction(sessions) as session:
        result = session.connection().execute(text(step.statement), {"chunk": chunk})
        return result.rowcount
