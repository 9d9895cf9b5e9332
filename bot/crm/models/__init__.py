"""Tables of the customer book, one file a noun; import them from here."""

from bot.crm.models.acquisition import ChannelCode, ChannelCodeDay, ChannelCodeGuide
from bot.crm.models.book import (
    Contact,
    ContactIdentity,
    ContactMerge,
    FollowRelation,
    FollowState,
    IdentityKind,
    Member,
)
from bot.crm.models.conversation import KfAccount, KfMessage
from bot.crm.models.facts import (
    Purchase,
    PurchaseLine,
    Refund,
    SourceEvent,
    TimelineEntry,
)
from bot.crm.models.organisation import (
    AuditEntry,
    Brand,
    FestivalDay,
    Guide,
    Operator,
    OperatorRole,
    Region,
    Store,
)
from bot.crm.models.progress import ChangedContact, RosterSync

__all__ = [
    "AuditEntry",
    "Brand",
    "ChangedContact",
    "ChannelCode",
    "ChannelCodeDay",
    "ChannelCodeGuide",
    "Contact",
    "ContactIdentity",
    "ContactMerge",
    "FestivalDay",
    "FollowRelation",
    "FollowState",
    "Guide",
    "IdentityKind",
    "KfAccount",
    "KfMessage",
    "Member",
    "Operator",
    "OperatorRole",
    "Purchase",
    "PurchaseLine",
    "Refund",
    "Region",
    "RosterSync",
    "SourceEvent",
    "Store",
    "TimelineEntry",
]
