"""Rules that set tags by themselves (自动打标规则), for everybody at night or some after an event.

A rule gives its tag to whom its condition matches and takes it from whom no rule of that tag
matches any more; only what a rule gave is ever taken, never a tag of a person or a channel. Rows
are written only where something changes: a night without news tells WeCom nothing.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import ColumnElement, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot.clock import at as moment_at
from bot.crm.models import Contact
from bot.errors import UserError
from tagging import conditions
from tagging.models import MarkState, Tag, TagAssignment, TagRule, TagSource
from tagging.scope import only

log = logging.getLogger("daogou.tagging")

# Fewer new rows than this do not make the planner's picture of the table wrong.
_MANY_ROWS = 10_000


@dataclass(frozen=True)
class _Rule:
    id: int
    name: str
    tag_id: int
    matches: ColumnElement[bool]


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
    rules, broken_tags = _active_rules(session, day)
    moment = now or moment_at(day, 0)
    given = sum(_give(session, rule, day, moment, contact_ids) for rule in rules)
    by_tag: dict[int, list[ColumnElement[bool]]] = defaultdict(list)
    for rule in rules:
        by_tag[rule.tag_id].append(rule.matches)
    taken = sum(
        _take(session, tag_id, or_(*matches), contact_ids)
        for tag_id, matches in by_tag.items()
        if tag_id not in broken_tags
    )
    changed = given + taken + _take_orphans(session, contact_ids)
    if contact_ids is None and changed > _MANY_ROWS:
        # Plans come next, and would be made for the table as it was before the night.
        session.execute(text("ANALYZE tag_assignment"))
    return changed


def _active_rules(session: Session, day: date) -> tuple[list[_Rule], set[int]]:
    rows = session.execute(
        select(TagRule.id, TagRule.name, TagRule.tag_id, TagRule.when)
        .join(Tag, Tag.id == TagRule.tag_id)
        .where(TagRule.is_active, Tag.is_active)
        .order_by(TagRule.id)
    ).all()
    rules, broken_tags = [], set()
    for id_, name, tag_id, when in rows:
        try:
            # An empty rule in the table must not become everybody.
            if when is None:
                raise UserError("规则没有条件。", field="when")
            rules.append(_Rule(id_, name, tag_id, conditions.clause(when, day)))
        except UserError as error:
            log.error("rule skipped rule=%s reason=%s", id_, error.message_zh)
            broken_tags.add(tag_id)
    return rules, broken_tags


def _give(
    session: Session,
    rule: _Rule,
    day: date,
    moment: datetime,
    contact_ids: Collection[int] | None,
) -> int:
    has_it = (
        select(literal(1))
        .where(
            TagAssignment.contact_id == Contact.id,
            TagAssignment.tag_id == rule.tag_id,
            TagAssignment.is_on,
        )
        .correlate(Contact)
        .exists()
    )
    source = TagSource.RULE.value
    pending = MarkState.PENDING.value
    new = select(
        Contact.id,
        literal(rule.tag_id),
        literal(source),
        literal(rule.id),
        literal(moment, TagAssignment.assigned_at.type),
        literal(day),
        literal(pending),
    ).where(rule.matches, ~has_it, Contact.merged_into_id.is_(None), only(Contact.id, contact_ids))
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
    ).returning(TagAssignment.contact_id)
    count = session.scalar(select(func.count()).select_from(given.cte("given"))) or 0
    if contact_ids is None:
        log.info("rule applied rule=%s day=%s given=%s", rule.id, day, count)
    return count


def _take(
    session: Session,
    tag_id: int,
    matches: ColumnElement[bool],
    contact_ids: Collection[int] | None,
) -> int:
    still = (
        select(literal(1))
        .select_from(Contact)
        .where(Contact.id == TagAssignment.contact_id, matches, Contact.merged_into_id.is_(None))
        .correlate(TagAssignment)
        .exists()
    )
    return _switch_off(session, (TagAssignment.tag_id == tag_id) & ~still, contact_ids)


def _take_orphans(session: Session, contact_ids: Collection[int] | None) -> int:
    """Tags of rules that were switched off, deleted or given another tag."""
    ruled = select(TagRule.id).where(TagRule.tag_id == Tag.id, TagRule.is_active).exists()
    return _switch_off(session, TagAssignment.tag_id.in_(select(Tag.id).where(~ruled)), contact_ids)


def _switch_off(
    session: Session, which: ColumnElement[bool], contact_ids: Collection[int] | None
) -> int:
    statement = (
        update(TagAssignment)
        .where(
            TagAssignment.source == TagSource.RULE.value,
            TagAssignment.is_on,
            which,
            only(TagAssignment.contact_id, contact_ids),
        )
        .values(is_on=False, mark_state=MarkState.PENDING.value, mark_error=None)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).rowcount  # type: ignore[attr-defined,no-any-return]
