"""The tables of one run of planning (当次排期的表): what is due, the new tasks, what was decided.

They stay with the connection and are emptied with every transaction, so an event makes no table of
its own. A new task waits here until the caps have spoken, and is then written once.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from sop import writing

_OWN = MetaData(schema="pg_temp")
#: Enrollments with a due step; a NULL key stands for one that has its task already.
DUE = Table(
    "due_step",
    _OWN,
    Column("enrollment_id", BigInteger),
    Column("version_id", BigInteger),
    Column("step_key", Text),
)
#: Tasks that are made in this run, in the columns of `task`; the id is the one they keep.
NEW = Table(
    "new_task",
    _OWN,
    Column("id", BigInteger, primary_key=True),
    Column("enrollment_id", BigInteger),
    Column("step_key", Text),
    Column("step_id", BigInteger),
    Column("contact_id", BigInteger),
    Column("kind", Text),
    Column("carrier", Text),
    Column("wanted_on", Date),
    Column("due_on", Date),
    Column("due_at", DateTime(timezone=True)),
    Column("expires_on", Date),
    Column("is_fixed", Boolean),
    Column("state", Text),
    Column("state_reason", Text),
    Column("held_by", Text),
    Column("ended_at", DateTime(timezone=True)),
    Column("why", JSONB),
)
_MAKE = (
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS due_step (
        enrollment_id bigint NOT NULL, version_id bigint NOT NULL, step_key text,
        place bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (version_id, place)
    ) ON COMMIT DELETE ROWS
    """,
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS new_task (
        id bigint PRIMARY KEY DEFAULT nextval('task_id_seq'),
        enrollment_id bigint NOT NULL, step_key text NOT NULL, step_id bigint NOT NULL,
        contact_id bigint NOT NULL, kind text NOT NULL, carrier text NOT NULL,
        wanted_on date NOT NULL, due_on date NOT NULL, due_at timestamptz,
        expires_on date NOT NULL, is_fixed boolean NOT NULL, state text NOT NULL,
        state_reason text, held_by text, ended_at timestamptz, why jsonb NOT NULL
    ) ON COMMIT DELETE ROWS
    """,
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS decided_task (
        id bigint PRIMARY KEY, is_new boolean NOT NULL, contact_id bigint NOT NULL,
        guide_id bigint, store_id bigint, carrier text NOT NULL, kind text NOT NULL,
        score integer NOT NULL, opens boolean NOT NULL, number integer, reason text,
        held_by text, rank jsonb
    ) ON COMMIT DELETE ROWS
    """,
)
_NAMES = ("due_step", "new_task", "decided_task")
# What the caps will not look at, or let wait: as it was made, with what they said of it.
_WRITE = text(
    """
    INSERT INTO task (id, enrollment_id, step_key, step_id, contact_id, kind, carrier, wanted_on,
                      due_on, due_at, expires_on, is_fixed, state, ended_at,
                      state_reason, held_by, guide_id, store_id, rank_score, why)
    SELECT n.id, n.enrollment_id, n.step_key, n.step_id, n.contact_id, n.kind, n.carrier,
           n.wanted_on, n.due_on, n.due_at, n.expires_on, n.is_fixed, n.state, n.ended_at,
           COALESCE(v.reason, n.state_reason), COALESCE(v.held_by, n.held_by),
           v.guide_id, v.store_id, COALESCE(v.score, 0),
           CASE WHEN v.id IS NULL THEN n.why
                ELSE n.why || jsonb_build_object('held',
                         jsonb_build_object(CAST(:day AS text), v.reason)) END
    FROM pg_temp.new_task AS n
    LEFT JOIN pg_temp.decided_task AS v ON v.id = n.id
    WHERE v.opens IS NOT TRUE
    ORDER BY n.id
    """
)


def begin(session: Session, *, is_large: bool) -> None:
    """Make the tables where they are missing, and empty them.

    `is_large`: what an earlier run of this transaction left may be much (a preview of many days).
    """
    for words in _MAKE:
        session.execute(text(words))
    if is_large:
        session.execute(text(f"TRUNCATE {', '.join(f'pg_temp.{name}' for name in _NAMES)}"))
        return
    for name in _NAMES:
        session.execute(text(f"DELETE FROM pg_temp.{name}"))


def write_waiting(session: Session, day: date) -> int:
    """Write the new tasks that do not open on `day`; returns how many."""
    return writing.rows(session, _WRITE, {"day": day})
