"""The SELECTs behind the triggers: who gets which day 0 in a window of days (基准日)."""

from __future__ import annotations

from sop.anchors.calendar import (
    WEEKDAYS,
    every,
    every_days,
    festival,
    festival_days,
    fixed_date,
    fixed_date_days,
)
from sop.anchors.people import (
    RISK_LABELS,
    STAGE_LABELS,
    at_risk,
    birthday,
    followed,
    lost,
    member_anniversary,
    stage_entered,
    tag_added,
    visited,
    wedding_anniversary,
)
from sop.anchors.plans import appointment, lead_raised
from sop.anchors.purchases import cart_open, idle, purchase_anniversary, purchased
from sop.anchors.rewards import (
    coupon_expiring,
    coupon_received,
    points_expiring,
    points_received,
)
from sop.anchors.rows import Anchors, Params

__all__ = [
    "RISK_LABELS",
    "STAGE_LABELS",
    "WEEKDAYS",
    "Anchors",
    "Params",
    "appointment",
    "at_risk",
    "birthday",
    "cart_open",
    "coupon_expiring",
    "coupon_received",
    "every",
    "every_days",
    "festival",
    "festival_days",
    "fixed_date",
    "fixed_date_days",
    "followed",
    "idle",
    "lead_raised",
    "lost",
    "member_anniversary",
    "points_expiring",
    "points_received",
    "purchase_anniversary",
    "purchased",
    "stage_entered",
    "tag_added",
    "visited",
    "wedding_anniversary",
]
