"""Leads (线索) as a guide writes of them: 「线索」, 「线索 2 已联系」, 「意向 王女士 定制」."""

from __future__ import annotations

from sqlalchemy.orm import Session

from bot.crm import brand
from bot.errors import UserError
from content_library import words
from handlers.guide_commands.asker import Asker, one_customer
from handlers.guide_commands.parsing import Command
from sop import lead_views, leads
from sop.lead_views import LeadView
from sop.models import LeadState

_MOST_LINES = 10
_TOUCHED = ("已联系", "联系了", "联系过了", "已跟进", "跟进了")
_LOST = ("没意向", "没有意向", "没成", "放弃", "无效", "不买了")
_EXAMPLE = "「线索 {0} 已联系」或「线索 {0} 没成 在别处买了」"


def answer(session: Session, asker: Asker, command: Command) -> str:
    """Her leads, or what became of one of them."""
    mine = lead_views.of_guide(session, asker.guide.id)
    if not command.numbers and not command.rest:
        return _listed(mine)
    named, _, said = command.rest.partition(" ")
    if len(command.numbers) == 1:
        found = [lead for lead in mine if lead.number == command.numbers[0]]
        named, said = str(command.numbers[0]), command.rest
    else:
        found = [lead for lead in mine if not command.numbers and lead.name == named]
    if len(command.numbers) > 1 or not said:
        raise UserError(f"请写一条线索和结果，例如{_example(mine)}。")
    if not found:
        many = f"您现在有 {len(mine)} 条" if mine else "您现在没有线索"
        raise UserError(f"没有「{words.plain(named, 20)}」的线索，{many}。写「线索」看编号。")
    if len(found) > 1:
        names = "、".join(words.plain(lead.name, 20) for lead in found)
        raise UserError(f"有 {len(found)} 条这样的线索（{names}），请写客户和结果。")
    return _said(session, asker, found[0], said)


def intend(session: Session, asker: Asker, command: Command) -> str:
    """A customer told her of an intention; it becomes a lead."""
    name, _, said = command.rest.partition(" ")
    intent = leads.intent_of(said, brand.settings(session).leads.intents)
    if not name or intent is None:
        raise UserError("请写上客户和想要什么，例如「意向 王女士 想定制婚戒」。")
    hit = one_customer(session, asker, name, "意向")
    key = f"guide:{asker.guide.id}:{hit.contact_id}:{intent}:{asker.day}"
    leads.raise_intent(
        session,
        hit.contact_id,
        intent,
        said,
        asker.now,
        dedupe_key=key,
        heard_by=asker.guide.id,
    )
    return f"记下了，{hit.name}有{intent}的意向。写「线索」看全部。"


def _said(session: Session, asker: Asker, lead: LeadView, said: str) -> str:
    name = words.plain(lead.name, 20)
    if said.startswith(_TOUCHED):
        leads.touch(session, lead.id, asker.now, guide_id=asker.guide.id)
        return f"好的，{name}已联系。成交会自动记上；没成时写「线索 … 没成 原因」。"
    for ending in _LOST:
        if said.startswith(ending):
            reason = said.removeprefix(ending).strip(" ，,。") or ending
            leads.lose(session, lead.id, reason, asker.now, guide_id=asker.guide.id)
            return f"好的，{name}这条线索结束了：{words.plain(reason, 60)}。"
    raise UserError(f"没看懂「{words.plain(said, 12)}」，可以写{_example([lead])}。")


def _example(mine: list[LeadView]) -> str:
    return _EXAMPLE.format(mine[0].number if mine else 2)


def _listed(mine: list[LeadView]) -> str:
    if not mine:
        return "现在没有等您跟进的线索。"
    lines = [_line(lead) for lead in mine[:_MOST_LINES]]
    if len(mine) > _MOST_LINES:
        lines.append(f"……还有 {len(mine) - _MOST_LINES} 条")
    return "\n".join([f"您有 {len(mine)} 条线索：", *lines, f"联系后写{_example(mine)}。"])


def _line(lead: LeadView) -> str:
    marks = "（意向强）" if lead.is_hot else ""
    if lead.state == LeadState.TOUCHED:
        marks += "（已联系）"
    return f"{lead.number}. {words.plain(lead.name, 20)}{marks}：{words.plain(lead.signals, 60)}"
