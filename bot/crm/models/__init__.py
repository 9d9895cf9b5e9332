"""Tables of the customer book, one file a noun; import them from here."""

from bot.crm.models.acquisition import ChannelCode, ChannelCodeDay, ChannelCodeGuide
from bot.crm.models.book import (
    Contact,
    ContactIdentity,
    ContactMerge,
    FollowRelation,
    FollowState,
    IdentityClaim,
    IdentityKind,
    IdentityRuling,
    Member,
    MemberMerge,
)
from bot.crm.models.calendar import CalendarDay, FestivalDay, FestivalRule, GuideDayOff
from bot.crm.models.carts import Cart, CartChange, CartState
from bot.crm.models.conversation import KfAccount, KfMessage
from bot.crm.models.facts import (
    Purchase,
    PurchaseLine,
    PurchaseMove,
    Refund,
    SourceEvent,
    TimelineEntry,
)
from bot.crm.models.organisation import (
    AuditEntry,
    Brand,
    BrandPrice,
    Guide,
    Operator,
    OperatorRole,
    Region,
    Store,
)
from bot.crm.models.permissions import ChannelMiss, OptOut, OptOutChannel
from bot.crm.models.progress import ChangedContact, RosterSync
from bot.crm.models.rewards import Coupon, CouponState, PointsChange
from bot.crm.models.visits import ContactActivity, MaterialView, Visit

__all__ = [
    "AuditEntry",
    "Brand",
    "BrandPrice",
    "CalendarDay",
    "Cart",
    "CartChange",
    "CartState",
    "ChangedContact",
    "ChannelCode",
    "ChannelCodeDay",
    "ChannelCodeGuide",
    "ChannelMiss",
    "Contact",
    "ContactActivity",
    "ContactIdentity",
    "ContactMerge",
    "Coupon",
    "CouponState",
    "FestivalDay",
    "FestivalRule",
    "FollowRelation",
    "FollowState",
    "Guide",
    "GuideDayOff",
    "IdentityClaim",
    "IdentityKind",
    "IdentityRuling",
    "KfAccount",
    "KfMessage",
    "MaterialView",
    "Member",
    "MemberMerge",
    "Operator",
    "OperatorRole",
    "OptOut",
    "OptOutChannel",
    "PointsChange",
    "Purchase",
    "PurchaseLine",
    "PurchaseMove",
    "Refund",
    "Region",
    "RosterSync",
    "SourceEvent",
    "Store",
    "TimelineEntry",
    "Visit",
]
