"""Invitations and visits (邀约与到店) as a guide writes them: 「约 2 周六 15:00」."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from bot.clock import SHANGHAI
from bot.errors import UserError
from content_library import facts, words
from handlers.guide_commands.asker import Asker, one_customer
from handlers.guide_commands.days import parse_moment
from handlers.guide_commands.parsing import Command
from sop import appointments, leads, slots, tasks
from sop.models import Appointment, Intent

_INTENTS: dict[str, Intent] = {
    "意向强": Intent.STRONG,
    "很想买": Intent.STRONG,
    "没意向": Intent.NONE,
    "没有意向": Intent.NONE,
    "有意向": Intent.SOME,
}
_MOST_LINES = 10


def book(session: Session, asker: Asker, command: Command) -> str:
    """「约 2 周六 15:00」 or 「约 王女士 周六下午3点」; alone: who is coming."""
    if not command.numbers and not command.rest:
        return _coming(session, asker)
    when = command.rest
    if not command.numbers:
        named, when = _name_and_time(asker, command.rest)
        command = Command(command.verb, (), named)
    contact_id, name = _whom(session, asker, command, "约")
    moment = parse_moment(when, asker.day)
    if moment is None:
        said = words.plain(when, 12)
        raise UserError(f"没看懂时间「{said}」，可以写 周六 15:00、明天下午3点。")
    guide = asker.guide
    row = appointments.by_hand(session, contact_id, guide.id, guide.store_id, asker.now)
    slot = appointments.book(
        session,
        row.id,
        slot_at=moment,
        store_id=guide.store_id,
        by=asker.actor,
        now=asker.now,
    )
    return f"约好了：{name} {facts.spoken_moment(moment)} 到{slot.store_name}。"


def come(session: Session, asker: Asker, command: Command) -> str:
    """「到店 王女士」, with how much she wants to buy if the guide knows."""
    if not command.numbers and not command.rest:
        raise UserError("哪位客户到店了？例如「到店 王女士」「到店 王女士 意向强」。")
    said, intent = _intent(command.rest)
    contact_id, name = _whom(session, asker, Command(command.verb, command.numbers, said), "到店")
    live = slots.expected_on(session, contact_id, asker.day)
    live = live or slots.arrived_on(session, contact_id, asker.day)
    if live is not None:
        appointments.arrive(session, live.id, at=asker.now, by=asker.actor)
        if intent is not None:
            appointments.say_intent(session, live.id, intent, now=asker.now, seen_by=asker.guide.id)
    else:
        appointments.come(session, contact_id, asker.guide.store_id, at=asker.now)
        if intent is Intent.STRONG:
            key = f"visit:{contact_id}:{asker.day}:strong"
            leads.raise_strong(
                session, contact_id, asker.now, dedupe_key=key, heard_by=asker.guide.id
            )
    noted = f"，{slots.INTENT_WORDS[intent]}" if intent is not None else ""
    return f"记下了，{name}今天到店{noted}。"


def conclude(session: Session, asker: Asker, command: Command) -> str:
    """「结果 王女士 成交」: what came of today's visit, or of the last that is past.

    Where she was here twice, the guide says which: 「结果 王女士 15:00 成交」.
    """
    named, said = ("", command.rest) if command.numbers else _first_word(command.rest)
    if not said or not (named or command.numbers):
        raise UserError("请写上客户和结果，例如「结果 王女士 成交」。")
    whom = Command(command.verb, command.numbers, named)
    contact_id, name = _whom(session, asker, whom, "结果")
    row, said = _concluded(session, asker, contact_id, name, said)
    if row is not None:
        appointments.say_outcome(session, row.id, said, now=asker.now)
    return f"记下了，{name}的结果：{words.plain(said, 60)}。"


def cancel(session: Session, asker: Asker, command: Command) -> str:
    """「取消预约 王女士」, with a reason if there is one."""
    if not command.numbers and not command.rest:
        raise UserError("取消哪位客户的预约？例如「取消预约 王女士」。")
    named, reason = ("", command.rest) if command.numbers else _first_word(command.rest)
    whom = Command(command.verb, command.numbers, named)
    contact_id, name = _whom(session, asker, whom, "取消预约")
    row = slots.live_of(session, contact_id)
    if row is None:
        raise UserError(f"{name}没有要取消的预约，写「约」看这一周约好的客户。")
    appointments.cancel(session, row.id, reason, by=asker.actor, now=asker.now)
    return f"好的，{name}的预约取消了。"


def _concluded(
    session: Session, asker: Asker, contact_id: int, name: str, said: str
) -> tuple[Appointment | None, str]:
    """The appointment a result is about, and its words; None: it is written beside the visit."""
    todays = slots.of_day(session, contact_id, asker.day)
    if len(todays) > 1:
        return _which(todays, said, asker, name)
    if todays:
        return todays[0], said
    guide_id = asker.guide.id
    if appointments.say_visit_outcome(session, contact_id, guide_id, said, now=asker.now):
        return None, said
    past = slots.last_before(session, contact_id, asker.day)
    if past is None:
        raise UserError(f"{name}还没有邀约，先写「约 {name} 周六 15:00」或「到店 {name}」。")
    return past, said


def _which(
    found: Sequence[Appointment], said: str, asker: Asker, name: str
) -> tuple[Appointment, str]:
    """The one of today whose hour is named; raises UserError that asks for it."""
    clock, rest = _first_word(said)
    hours = {one.slot_at or one.arrived_at or one.created_at: one for one in found}
    moment = parse_moment(clock, asker.day)
    if rest and moment in hours:
        return hours[moment], rest
    told = [f"{one.astimezone(SHANGHAI):%H:%M}" for one in sorted(hours)]
    raise UserError(
        f"{name}今天有 {len(found)} 个预约（{'、'.join(told)}），"
        f"请写上时间，例如「结果 {name} {told[0]} 成交」。"
    )


def _first_word(said: str) -> tuple[str, str]:
    named, _, rest = said.partition(" ")
    return named, rest.strip(" ，,")


def _whom(session: Session, asker: Asker, command: Command, verb: str) -> tuple[int, str]:
    """(customer, her name), by the number of today's list or by name."""
    if not command.numbers:
        hit = one_customer(session, asker, command.rest, verb)
        return hit.contact_id, hit.name
    views = tasks.today(session, asker.guide.id, asker.day, asker.now)
    view = next((one for one in views if one.number == command.numbers[0]), None)
    if view is None or len(command.numbers) > 1:
        raise UserError("请写今天清单里的一个编号，写「今日」看编号。")
    return view.contact_id, words.plain(view.contact_name, 20)


def _name_and_time(asker: Asker, said: str) -> tuple[str, str]:
    """「王 女士 周六 15:00」: the longest ending that is a moment, else all but the first word."""
    pieces = said.split()
    for place in range(1, len(pieces)):
        if parse_moment(" ".join(pieces[place:]), asker.day) is not None:
            return " ".join(pieces[:place]), " ".join(pieces[place:])
    return pieces[0], " ".join(pieces[1:])


def _intent(said: str) -> tuple[str, Intent | None]:
    for ending, intent in _INTENTS.items():
        if said.endswith(ending):
            return said.removesuffix(ending).strip(" ，,"), intent
    return said, None


def _coming(session: Session, asker: Asker) -> str:
    found = slots.coming(session, asker.guide.id, asker.day)
    if not found:
        return "这一周还没有约好的客户。想约谁可以写「约 王女士 周六 15:00」。"
    lines = [
        f"· {facts.spoken_moment(one.slot_at)} {words.plain(one.contact_name, 20)}"
        for one in found[:_MOST_LINES]
        if one.slot_at is not None
    ]
    return "\n".join([f"这一周约好 {len(found)} 位：", *lines])
