"""What stands open with one customer (客户近况): tier, warning, cart, coupon, lead, appointment …

Read by the chat, the guides' pages and the console, so that all of them say the same.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy.orm import Session

from bot.crm import opt_outs
from content_library import placeholders, words
from handlers.lead_words import STATE_WORDS
from sop import lead_views
from sop.anchors import RISK_LABELS
from sop.models import LIVE_LEADS
from tagging.models import ContactScore


def read(session: Session, contact_id: int, day: date) -> tuple[tuple[str, str], ...]:
    """Label and value of everything that is known; what is not stays unsaid."""
    score = session.get(ContactScore, contact_id)
    facts = placeholders.contact_facts(session, contact_id, None, day)
    live = [one for one in lead_views.of_contact(session, contact_id) if one.state in LIVE_LEADS]
    refused = [opt_outs.LABELS[one.channel] for one in opt_outs.of(session, contact_id)]
    coupon = f"{facts.coupon_value or '一张'}" + (
        f"，{facts.coupon_last_day}到期" if facts.coupon_last_day else ""
    )
    lead = [f"{STATE_WORDS[one.state]}：{words.plain(one.signals, 60)}" for one in live]
    risk = RISK_LABELS.get(score.risk or "", "") if score and score.at_risk_since else ""
    said = (
        ("客户等级", f"{score.tier}（{score.tier_score} 分）" if score and score.tier else ""),
        ("流失预警", risk),
        ("线索", lead[0] if lead else ""),
        ("预约", facts.slot or ""),
        ("购物车", facts.cart_item or ""),
        ("优惠券", coupon if facts.coupon_no else ""),
        (
            "到期积分",
            f"{facts.lapsing_points} 分，{facts.lapsing_day}到期" if facts.lapsing_points else "",
        ),
        ("已退订", "、".join(refused)),
    )
    return tuple((label, value) for label, value in said if value)
