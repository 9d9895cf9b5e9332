"""How leads are called on pages and in the terminal (线索用语)."""

from __future__ import annotations

from sop.models import AssignedBy, LeadState

STATE_WORDS: dict[LeadState, str] = {
    LeadState.OPEN: "待分配",
    LeadState.ASSIGNED: "待联系",
    LeadState.TOUCHED: "已联系",
    LeadState.WON: "已成交",
    LeadState.LOST: "没有成",
    LeadState.EXPIRED: "已过期",
}
ASSIGNED_WORDS: dict[str, str] = {
    AssignedBy.RELATION: "原有好友",
    AssignedBy.STORE: "就近门店",
    AssignedBy.LOAD: "线索最少",
    AssignedBy.MANAGER: "转给店长",
    AssignedBy.PERSON: "总部指定",
}
