"""Why nothing reaches a customer (为什么联系不上): one reason for each way her step could take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, case, cast, func, literal, null
from sqlalchemy.dialects.postgresql import array

from bot.crm import channel_misses, opt_outs
from sop import channels_of
from sop.models import SopStep
from sop.step_kinds import KINDS, MACHINE_KINDS

#: What stands before the reasons.
NOTHING_REACHES = "没有可用的联系方式"
NO_ADDRESS: dict[str, str] = {"sms": "没有手机号", "template_message": "没有关注公众号"}
_NO_GUIDE = "没有导购跟进"

_Of = Callable[[Sequence[str]], ColumnElement[Any]]


def words(steps: Iterable[SopStep], row: Any, day: date) -> ColumnElement[Any]:
    """「没有可用的联系方式：短信已退订、没有关注公众号」 in SQL.

    `row` has `step_key` and `contact_id`: a task of one of these steps that nothing reaches.
    """
    who = row.c.contact_id

    def of(chain: Sequence[str]) -> ColumnElement[Any]:
        return _listed(chain, who, day)

    cases = [
        (row.c.step_key == one.key, _of_step(one, who, of))
        for one in steps
        if one.channels is not None or one.kind in MACHINE_KINDS
    ]
    nothing = literal(NOTHING_REACHES, Text)
    return case(*cases, else_=nothing) if cases else nothing


def _of_step(one: SopStep, who: Any, of: _Of) -> ColumnElement[Any]:
    if one.channels is None:
        return of([one.kind])
    rest, by = of(one.channels["else"]), one.channels["by"]
    if by is None:
        return rest
    value = channels_of.asked(by, who)
    chains = one.channels["cases"].items()
    return case(*((value == name, of(chain)) for name, chain in chains), else_=rest)


def _listed(chain: Sequence[str], who: Any, day: date) -> ColumnElement[Any]:
    machines = [kind for kind in chain if kind in MACHINE_KINDS]
    by_hand = [kind for kind in chain if kind not in MACHINE_KINDS]
    reasons = [_of_kind(kind, who, day) for kind in chain]
    if by_hand:
        # A guide is missing for all of them at once, and said so once.
        has_guide = channels_of.has_address(by_hand[0], who)
        reasons.append(case((~has_guide, literal(_NO_GUIDE, Text)), else_=cast(null(), Text)))
    if not machines and not by_hand:
        return literal(NOTHING_REACHES, Text)
    told = func.array_to_string(cast(array(reasons), ARRAY(Text)), literal("、", Text))
    return literal(f"{NOTHING_REACHES}：", Text).op("||")(told)


def _of_kind(kind: str, who: Any, day: date) -> ColumnElement[Any]:
    """The first thing that is wrong with it; NULL: nothing of its own."""
    name = KINDS[kind]
    wrong = []
    if kind in MACHINE_KINDS:
        wrong.append((~channels_of.has_address(kind, who), literal(NO_ADDRESS[kind], Text)))
    refused = opt_outs.refused_clause(who, literal(kind, Text))
    wrong.append((refused, literal(f"{name}已退订", Text)))
    if kind in MACHINE_KINDS:
        missed = channel_misses.missed_clause(who, kind, day)
        wrong.append((missed, literal(f"{name}近日没有送达", Text)))
    return case(*wrong, else_=cast(null(), Text))
