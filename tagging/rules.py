"""Rules that set tags by themselves (自动打标规则), for everybody at night or some after an event.

A rule gives its tag to whom its condition matches and takes it from whom no rule of that tag
matches any more; only what a rule gave is ever taken, never a tag of a person or a channel. Rows
are written only where something changes (`tagging.differences`): a night without news tells WeCom
nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    String,
    cast,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.clock import at as moment_at
from bot.errors import UserError
from tagging import conditions, differences, turn
from tagging.differences import Round, Rule
from tagging.fields.field import Home
from tagging.kept import keep
from tagging.models import MarkState, Tag, TagAssignment, TagRule, TagSource
from tagging.scope import only

log = logging.getLogger("daogou.tagging")

_KEPT = "tag_difference"
_BITS = ("contact_id", "matched", "has", "given")
# Fewer new rows than this do not make the planner's picture of the table wrong.
_MANY_ROWS = 10_000


def apply(
    session: Session,
    day: date,
    contact_ids: Collection[int] | None = None,
    *,
    now: datetime | None = None,
) -> int:
    """Give and take the tags of all active rules as of `day`; returns how many rows changed.

    `now` becomes `assigned_at`; without it the day's first moment. A rule that cannot be asked any
    more (a field was taken away) is left alone with its tags, is logged, and stops no other rule.
    """
    # What is found is written a moment later: nobody may find and write in between.
    turn.take(session)
    rules, broken_tags = _active_rules(session, day)
    moment = now or moment_at(day, 0)
    changed = 0
    for one in differences.rounds(rules, broken_tags):
        found = _found(session, one, day, contact_ids)
        if found is not None:
            changed += _give(session, one, found, moment, day) + _take(session, one, found)
    changed += _take_orphans(session, contact_ids)
    if contact_ids is None:
        session.execute(text(f"DROP TABLE IF EXISTS pg_temp.{_KEPT}"))
        log.info("rules applied rules=%s day=%s changed=%s", len(rules), day, changed)
    if contact_ids is None and changed > _MANY_ROWS:
        # Plans come next, and would be made for the table as it was before the night.
        session.execute(text("ANALYZE tag_assignment"))
    return changed


def homes(session: Session, day: date) -> set[Home]:
    """Where the facts live that the active rules ask for."""
    rules, _ = _active_rules(session, day)
    return {home for one in rules for home in conditions.homes(one.when)}


def _active_rules(session: Session, day: date) -> tuple[list[Rule], set[int]]:
    rows = session.execute(
        select(TagRule.id, TagRule.tag_id, TagRule.when)
        .join(Tag, Tag.id == TagRule.tag_id)
        .where(TagRule.is_active, Tag.is_active)
        .order_by(TagRule.id)
    ).all()
    rules, broken_tags = [], set()
    for id_, tag_id, when in rows:
        try:
            # An empty rule in the table must not become everybody.
            if when is None:
                raise UserError("规则没有条件。", field="when")
            conditions.clause(when, day)
            rules.append(Rule(id_, tag_id, when))
        except UserError as error:
            log.error("rule skipped rule=%s reason=%s", id_, error.message_zh)
            broken_tags.add(tag_id)
    return rules, broken_tags


def _found(
    session: Session, one: Round, day: date, contact_ids: Collection[int] | None
) -> FromClause | None:
    """The contacts whose tags differ; None: nobody."""
    wanted = differences.find(one, day, contact_ids)
    if contact_ids is None:
        # The tags of a whole brand are added up in memory with this, and on disk without.
        session.execute(select(func.set_config("work_mem", "128MB", True)))
        session.execute(text(f"DROP TABLE IF EXISTS pg_temp.{_KEPT}"))
        kept = keep(session, wanted, _KEPT)
        session.execute(text(f"ANALYZE pg_temp.{_KEPT}"))
        return kept
    rows = session.execute(wanted).all()
    if not rows:
        return None
    columns = [literal(list(column), ARRAY(BigInteger)) for column in zip(*rows, strict=True)]
    return func.unnest(*columns).table_valued(*_BITS, name="found").render_derived()


def _give(session: Session, one: Round, found: Any, moment: datetime, day: date) -> int:
    """Put the missing tags on; of several rules that match, the oldest is the giver."""
    givers = _listed(
        "giver",
        rule_id=[rule.id for rule, _ in one.rules],
        tag_id=[rule.tag_id for rule, _ in one.rules],
        rule_bit=[bit for _, bit in one.rules],
    )
    source = TagSource.RULE.value
    pending = MarkState.PENDING.value
    new = (
        select(
            found.c.contact_id,
            givers.c.tag_id,
            literal(source, String),
            func.min(givers.c.rule_id),
            literal(moment, TagAssignment.assigned_at.type),
            literal(day),
            literal(pending, String),
        )
        .join(givers, _meet(found.c.matched, givers.c.rule_bit))
        .where(~_meet(found.c.has, givers.c.rule_bit))
        .group_by(found.c.contact_id, givers.c.tag_id)
        .order_by(found.c.contact_id, givers.c.tag_id)
    )
    row = insert(TagAssignment).from_select(
        [
            "contact_id",
            "tag_id",
            "source",
            "rule_id",
            "assigned_at",
            "assigned_on",
            "mark_state",
        ],
        new,
    )
    # A removal that is still on its way to WeCom is turned round.
    given = row.on_conflict_do_update(
        index_elements=[TagAssignment.contact_id, TagAssignment.tag_id],
        set_={
            "is_on": True,
            "source": row.excluded.source,
            "rule_id": row.excluded.rule_id,
            "assigned_at": row.excluded.assigned_at,
            "assigned_on": row.excluded.assigned_on,
            "mark_state": pending,
            "mark_error": None,
        },
        where=~TagAssignment.is_on,
    )
    return _rows(session, given)


def _take(session: Session, one: Round, found: Any) -> int:
    takers = _listed(
        "taker",
        tag_id=[tag.id for tag in one.tags if not tag.is_kept],
        tag_bits=[tag.bits for tag in one.tags if not tag.is_kept],
    )
    lost = (
        select(found.c.contact_id, takers.c.tag_id)
        .join(takers, _meet(found.c.given, takers.c.tag_bits))
        .where(~_meet(found.c.matched, takers.c.tag_bits))
        .subquery("lost")
    )
    is_lost = (TagAssignment.contact_id == lost.c.contact_id) & (
        TagAssignment.tag_id == lost.c.tag_id
    )
    return _switch_off(session, is_lost)


def _take_orphans(session: Session, contact_ids: Collection[int] | None) -> int:
    """Tags of rules that were switched off, deleted or given another tag."""
    ruled = select(TagRule.id).where(TagRule.tag_id == Tag.id, TagRule.is_active).exists()
    orphaned = TagAssignment.tag_id.in_(select(Tag.id).where(~ruled))
    return _switch_off(session, orphaned & only(TagAssignment.contact_id, contact_ids))


def _switch_off(session: Session, which: ColumnElement[bool]) -> int:
    statement = (
        update(TagAssignment)
        .where(TagAssignment.source == TagSource.RULE.value, TagAssignment.is_on, which)
        .values(is_on=False, mark_state=MarkState.PENDING.value, mark_error=None)
    )
    return _rows(session, statement)


def _listed(name: str, **columns: list[int]) -> Any:
    """Some columns of numbers as a table in the statement."""
    arrays = (
        cast(literal(values, ARRAY(BigInteger)), ARRAY(BigInteger)) for values in columns.values()
    )
    return func.unnest(*arrays).table_valued(*columns, name=name).render_derived()


def _meet(one: Any, other: Any) -> ColumnElement[bool]:
    """Whether two numbers have a bit in common."""
    return one.op("&")(other) != literal(0, BigInteger)  # type: ignore[no-any-return]


def _rows(session: Session, statement: Any) -> int:
    options = {"synchronize_session": False, "preserve_rowcount": True}
    result: Any = session.execute(statement, execution_options=options)
    return max(0, int(result.rowcount))
