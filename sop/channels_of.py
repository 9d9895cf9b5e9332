"""Which kind a step is for one customer (选择触达方式), in SQL: by tier, or the first to reach.

A kind reaches whom it has an address for, who has not refused it and whom it has not missed lately.
A single kind asks for the address only: the caps end what is refused, and trying again costs
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from bot.crm import channel_misses, opt_outs
from bot.crm.models import (
    Contact,
    ContactIdentity,
    Guide,
    IdentityKind,
    Member,
    Store,
)
from sop.models import Enrollment, SopStep
from sop.step_kinds import BY, CARRIERS, MACHINE_KINDS, NO_TASK
from tagging.models import ContactScore

_UNRATED = "未评"
#: 「客户等级 S，发短信」: how she is reached, after what decided it.
HOW: dict[str, str] = {
    "chat": "由导购一对一联系",
    "call": "由导购打电话",
    "invite": "由导购邀约",
    "mass_message": "由导购群发",
    "sms": "发短信",
    "template_message": "发公众号消息",
}


def kind_of(steps: Iterable[SopStep], step: Any, day: date) -> ColumnElement[Any]:
    """The kind for an enrollment's contact on `day`: `none` is no task, NULL that nothing reaches.

    `step` is a table with `step_key` and `kind`, beside Enrollment in the query.
    """
    chosen = [
        (step.c.step_key == one.key, _resolved(one, day))
        for one in steps
        if one.channels is not None or one.kind in MACHINE_KINDS
    ]
    return case(*chosen, else_=step.c.kind) if chosen else step.c.kind


def kind_now(session: Session, step: SopStep, enrollment_id: int, day: date) -> str | None:
    """What `kind_of` gives for one enrollment on `day`, as things stand."""
    kind: str | None = session.scalar(_of(enrollment_id, _resolved(step, day)))
    return kind


def case_of(steps: Iterable[SopStep], step: Any) -> ColumnElement[Any]:
    """ "客户等级 S" for steps that ask for it, else NULL."""
    told = [
        (
            step.c.step_key == one.key,
            literal(f"{BY[one.channels['by']]} ", Text).op("||")(
                func.coalesce(asked(one.channels["by"]), literal(_UNRATED, Text))
            ),
        )
        for one in steps
        if one.channels is not None and one.channels["by"] is not None
    ]
    return case(*told, else_=cast(null(), Text)) if told else cast(null(), Text)


def carrier_of(kind: ColumnElement[Any]) -> ColumnElement[Any]:
    """Who does a task of that kind."""
    return case(
        *((kind == name, literal(carrier.value, Text)) for name, carrier in CARRIERS.items())
    )


def why_channel(kind: ColumnElement[Any], asked: ColumnElement[Any]) -> ColumnElement[Any]:
    """`{"channel": "客户等级 S，由导购一对一联系"}` in SQL."""
    how = case(*((kind == name, literal(words, Text)) for name, words in HOW.items()))
    words = asked.op("||")(literal("，", Text)).op("||")(how)
    return func.jsonb_build_object("channel", words, type_=JSONB)


def next_kind(
    session: Session, enrollment_id: int, one: SopStep, kind: str, day: date
) -> str | None:
    """The kind after `kind` in the customer's chain that reaches her; None: there is none."""
    if one.channels is None:
        return None
    by, chain = one.channels["by"], one.channels["else"]
    if by is not None:
        value = session.scalar(_of(enrollment_id, asked(by)))
        chain = one.channels["cases"].get(value, chain)
    if kind not in chain:
        return None
    rest = chain[chain.index(kind) + 1 :]
    if not rest:
        return None
    found: str | None = session.scalar(_of(enrollment_id, _first(rest, day)))
    return found


def _of(enrollment_id: int, value: ColumnElement[Any]) -> Select[Any]:
    return select(value).select_from(Enrollment).where(Enrollment.id == enrollment_id)


def _resolved(one: SopStep, day: date) -> ColumnElement[Any]:
    if one.channels is None:
        return _chain([one.kind], day)
    rest = _chain(one.channels["else"], day)
    by = one.channels["by"]
    if by is None:
        return rest
    value = asked(by)
    cases = one.channels["cases"].items()
    return case(*((value == name, _chain(chain, day)) for name, chain in cases), else_=rest)


def _chain(kinds: Sequence[str], day: date) -> ColumnElement[Any]:
    if not kinds:
        return literal(NO_TASK, Text)
    if len(kinds) > 1:
        return _first(kinds, day)
    if kinds[0] not in MACHINE_KINDS:
        return literal(kinds[0], Text)
    return case((has_address(kinds[0]), literal(kinds[0], Text)), else_=cast(null(), Text))


def _first(kinds: Sequence[str], day: date) -> ColumnElement[Any]:
    return case(
        *((_reaches(kind, day), literal(kind, Text)) for kind in kinds),
        else_=cast(null(), Text),
    )


def _reaches(kind: str, day: date) -> ColumnElement[bool]:
    who = Enrollment.contact_id
    wanted = [has_address(kind), ~opt_outs.refused_clause(who, literal(kind, Text))]
    if kind in MACHINE_KINDS:
        wanted.append(~channel_misses.missed_clause(who, kind, day))
    return and_(*wanted)


def has_address(kind: str, who: Any = Enrollment.contact_id) -> ColumnElement[bool]:
    """Whether this kind has somewhere to go, in SQL: a number, an openid, or a guide."""
    if kind == "sms":
        is_hers = Member.contact_id == who
        address = select(Member.contact_id).where(is_hers, Member.mobile_sealed.is_not(None))
        return address.correlate_except(Member).exists()
    if kind == "template_message":
        known = ContactIdentity
        openid = select(known.id).where(known.contact_id == who, known.kind == IdentityKind.OPENID)
        return openid.correlate_except(known).exists()
    guide = select(Contact.id).where(Contact.id == who, Contact.guide_id.is_not(None))
    return guide.correlate_except(Contact).exists()


def asked(by: str, who: Any = Enrollment.contact_id) -> ColumnElement[Any]:
    """The customer's tier, or that of her responsible guide's store."""
    if by == "tier":
        query: Any = select(ContactScore.tier).where(ContactScore.contact_id == who)
        query = query.correlate_except(ContactScore)
    else:
        query = (
            select(Store.tier)
            .select_from(Contact)
            .join(Guide, Guide.id == Contact.guide_id)
            .join(Store, Store.id == Guide.store_id)
            .where(Contact.id == who)
            .correlate_except(Contact, Guide, Store)
        )
    value: ColumnElement[Any] = query.scalar_subquery()
    return value
