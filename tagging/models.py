"""Tables of tagging: tag groups, tags, assignments, rules and the score of each contact."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class LifecycleStage(StrEnum):
    """Where a contact stands (生命周期阶段)."""

    NEW = "new"
    ACTIVE = "active"
    LOYAL = "loyal"
    DORMANT = "dormant"
    CHURNED = "churned"


class Tier(StrEnum):
    """How much a contact is worth to the brand (客户等级), S first."""

    S = "S"
    A = "A"
    B = "B"
    C = "C"


class ChurnRisk(StrEnum):
    """Why a contact may be about to leave (流失预警)."""

    GAP = "gap"
    SPEND = "spend"
    DELETED = "deleted"


class TagSource(StrEnum):
    """Who set a tag. A person's tag (guide, wecom, import) is never taken away by a rule."""

    CHANNEL = "channel"
    RULE = "rule"
    GUIDE = "guide"
    WECOM = "wecom"
    IMPORT = "import"


class MarkState(StrEnum):
    """How far an assignment (or its removal) has come towards WeCom.

    PENDING: the next push takes it. QUEUED: calls are in the outbox. MARKED: every live relation
    of the contact has it. FAILED: a call ended badly, `mark_error` says how. WAITING: WeCom cannot
    have it yet (nobody follows, or WeCom does not know the tag); no push looks at it.
    """

    PENDING = "pending"
    QUEUED = "queued"
    MARKED = "marked"
    FAILED = "failed"
    WAITING = "waiting"


class TagGroup(Base):
    """A group of tags (标签组)."""

    __tablename__ = "tag_group"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    wecom_id: Mapped[str | None] = mapped_column(Text, unique=True)
    position: Mapped[int] = mapped_column(server_default="0")


class Tag(Base):
    """A tag (标签); written `group/name` in packs and conditions."""

    __tablename__ = "tag"
    __table_args__ = (UniqueConstraint("group_id", "name"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("tag_group.id"))
    name: Mapped[str] = mapped_column(Text)
    wecom_id: Mapped[str | None] = mapped_column(Text, unique=True)
    position: Mapped[int] = mapped_column(server_default="0")
    #: Deleted in WeCom or by HQ; kept for history, never assigned again.
    is_active: Mapped[bool] = mapped_column(server_default="true")


class TagAssignment(Base):
    """A tag on a contact. `is_on` false: taken away here, not yet in WeCom (then the row goes)."""

    __tablename__ = "tag_assignment"
    __table_args__ = (
        Index("ix_tag_assignment_tag_id_assigned_on", "tag_id", "assigned_on"),
        Index(
            "ix_tag_assignment_unmarked",
            "contact_id",
            postgresql_where=text("mark_state = 'pending'"),
        ),
        # The removal of one tag's rules reads only what rules have set.
        Index(
            "ix_tag_assignment_by_rule",
            "tag_id",
            "contact_id",
            postgresql_where=text("source = 'rule' AND is_on"),
        ),
        # A tag that WeCom has just learned wakes the rows that waited for it.
        Index(
            "ix_tag_assignment_waiting",
            "tag_id",
            postgresql_where=text("mark_state = 'waiting'"),
        ),
    )

    contact_id: Mapped[int] = mapped_column(
        ForeignKey("contact.id", ondelete="CASCADE"), primary_key=True
    )
    #: Tags and rules are switched off and never deleted, and every writer reads them in the same
    #: statement: a night that gives millions of tags does not ask for each of them again.
    tag_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    rule_id: Mapped[int | None] = mapped_column(BigInteger)
    is_on: Mapped[bool] = mapped_column(server_default="true")
    assigned_at: Mapped[datetime]
    assigned_on: Mapped[date]
    mark_state: Mapped[str] = mapped_column(Text, server_default=MarkState.PENDING.value)
    mark_error: Mapped[str | None] = mapped_column(Text)
    #: Calls that have not ended yet; a contact with two guides has two.
    open_marks: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: How many live relations the last push went to; a guide who came later cannot have removed it.
    marked_for: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: Database time of the last finished mark: an older reading from WeCom cannot speak about it.
    marked_at: Mapped[datetime | None]


class TagRule(Base):
    """A rule that sets one tag (自动打标规则); `when` is the condition of its newest version."""

    __tablename__ = "tag_rule"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey("tag.id"))
    when: Mapped[dict[str, Any]] = mapped_column(JSONB)
    version: Mapped[int] = mapped_column(server_default="1")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TagRuleVersion(Base):
    """Every condition a rule ever had, so that a tag of last year can still be explained."""

    __tablename__ = "tag_rule_version"

    rule_id: Mapped[int] = mapped_column(
        ForeignKey("tag_rule.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    when: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ChannelTag(Base):
    """A tag that every customer of a channel code gets."""

    __tablename__ = "channel_tag"

    channel_code_id: Mapped[int] = mapped_column(
        ForeignKey("channel_code.id", ondelete="CASCADE"), primary_key=True
    )
    tag_id: Mapped[int] = mapped_column(ForeignKey("tag.id"), primary_key=True)
    position: Mapped[int] = mapped_column(server_default="0")


class ContactScore(Base):
    """What the purchases of a contact add up to; every contact has one row.

    Net amounts: refunds are taken off, and an order given back whole does not count.
    """

    __tablename__ = "contact_score"
    __table_args__ = (
        Index("ix_contact_score_last_purchased_on", "last_purchased_on"),
        Index("ix_contact_score_first_purchased_on", "first_purchased_on"),
        Index("ix_contact_score_total_spend_fen", "total_spend_fen"),
        Index("ix_contact_score_purchase_count", "purchase_count"),
        Index("ix_contact_score_stage", "stage", "stage_since_on"),
        Index(
            "ix_contact_score_bought_categories",
            "bought_categories",
            postgresql_using="gin",
        ),
        Index("ix_contact_score_tier", "tier"),
        Index(
            "ix_contact_score_at_risk_since",
            "at_risk_since",
            postgresql_where=text("at_risk_since IS NOT NULL"),
        ),
        # Grades change often and stand in no index: with room in the page no index is touched.
        {"postgresql_with": {"fillfactor": 85}},
    )

    contact_id: Mapped[int] = mapped_column(
        ForeignKey("contact.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    purchase_count: Mapped[int] = mapped_column(server_default="0")
    total_spend_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    average_order_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    first_purchased_on: Mapped[date | None]
    last_purchased_on: Mapped[date | None]
    bought_categories: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    favourite_category: Mapped[str | None] = mapped_column(Text)
    #: RFM, 1 (worst) to 5 (best); NULL for a contact who never bought.
    recency: Mapped[int | None] = mapped_column(SmallInteger)
    frequency: Mapped[int | None] = mapped_column(SmallInteger)
    monetary: Mapped[int | None] = mapped_column(SmallInteger)
    stage: Mapped[str] = mapped_column(Text, server_default=LifecycleStage.NEW.value)
    stage_since_on: Mapped[date | None]
    #: A `Tier` value, the score of 0 to 100 it stands on, and the points of each component in the
    #: order of `tagging.tier.COMPONENTS`.
    tier: Mapped[str | None] = mapped_column(Text)
    tier_score: Mapped[int | None] = mapped_column(SmallInteger)
    tier_parts: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default="{}")
    #: Her usual number of days between two purchases; NULL: too few to tell.
    rhythm_days: Mapped[int | None]
    #: Net purchases of the last 365 days, and of the 365 before.
    spent_year_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    spent_year_before_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    at_risk_since: Mapped[date | None]
    #: A `ChurnRisk` value while `at_risk_since` is set.
    risk: Mapped[str | None] = mapped_column(Text)


class ScoreBasis(Base):
    """What the scores of everybody stand on since the last night (评分基准); id is always 1.

    A night counts again only whom something happened to, as long as this still holds.
    """

    __tablename__ = "score_basis"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: The day as of which everybody's day-bound facts (stages, recency) stand.
    day: Mapped[date]
    #: The settings and the way of counting; others than these: everybody is counted anew.
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)


class RfmThreshold(Base):
    """Where one RFM score ends and the next begins, as measured last night.

    Kept so that one contact scored after an event gets the score the night would give.
    """

    __tablename__ = "rfm_threshold"

    #: `recency` (days), `frequency` (orders) or `monetary` (fen).
    measure: Mapped[str] = mapped_column(Text, primary_key=True)
    #: 1 to 4: the quintile that ends at `bound`.
    quintile: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    bound: Mapped[int] = mapped_column(BigInteger)
    computed_on: Mapped[date]
