"""People: contacts, their member data, their identities, and who follows whom."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class FollowState(StrEnum):
    """Where a guide and a contact stand. HALF: chatting, not yet confirmed by the guide."""

    HALF = "half"
    ACTIVE = "active"
    ENDED = "ended"


class IdentityKind(StrEnum):
    """What kind of number a person is known by. Stored; never renamed."""

    EXTERNAL_USERID = "external_userid"
    UNIONID = "unionid"
    MEMBER_NO = "member_no"
    #: An account of a mall, `source:id`: two malls may count alike.
    MALL_ID = "mall_id"
    #: A reader of the brand's official account (公众号).
    OPENID = "openid"
    MOBILE = "mobile"


class Contact(Base):
    """A person in the customer book (客户).

    `external_userid` is NULL while the person is known from POS or mall only. `guide_id` is the
    guide who is responsible now (the primary of the live follow relations); NULL means nobody
    follows this person, so no SOP and no tag reaches them.
    """

    __tablename__ = "contact"
    __table_args__ = (
        Index("ix_contact_guide_id_followed_on", "guide_id", "followed_on"),
        Index(
            "ix_contact_followed_on",
            "followed_on",
            postgresql_where=text("guide_id IS NOT NULL"),
        ),
        Index("ix_contact_created_at", "created_at"),
        Index(
            "ix_contact_merged_into_id",
            "merged_into_id",
            postgresql_where=text("merged_into_id IS NOT NULL"),
        ),
        # HQ finds people by the beginning of a name.
        Index("ix_contact_name_prefix", "name", postgresql_ops={"name": "text_pattern_ops"}),
        Index(
            "ix_contact_refresh_after",
            "refresh_after",
            postgresql_where=text("refresh_after IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    external_userid: Mapped[str | None] = mapped_column(Text, unique=True)
    unionid: Mapped[str | None] = mapped_column(Text, index=True)
    name: Mapped[str] = mapped_column(Text, server_default="")
    avatar_url: Mapped[str | None] = mapped_column(Text)
    #: 0 unknown, 1 male, 2 female (WeCom's numbers).
    gender: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: 1 WeChat user, 2 WeCom user (WeCom's numbers).
    kind: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    guide_id: Mapped[int | None] = mapped_column(ForeignKey("guide.id"))
    #: Business day on which the primary relation began.
    followed_on: Mapped[date | None]
    channel_code_id: Mapped[int | None] = mapped_column(ForeignKey("channel_code.id"), index=True)
    #: Set when this row was merged into another; all its facts moved there.
    merged_into_id: Mapped[int | None] = mapped_column(ForeignKey("contact.id"))
    #: When the details were last read from WeCom; NULL: never.
    fetched_at: Mapped[datetime | None]
    #: A nudge to read the details again (edits, ties in event time).
    refresh_after: Mapped[datetime | None]
    #: Somebody reads them right now, until then at the latest.
    refresh_leased_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Member(Base):
    """Loyalty data of one contact (会员资料); absent for a contact who is no member."""

    __tablename__ = "member"
    __table_args__ = (
        Index("ix_member_birthday", "birth_month", "birth_day"),
        Index("ix_member_wedding", "wedding_month", "wedding_day"),
        Index("ix_member_level", "level"),
        Index("ix_member_registered_on", "registered_on"),
        Index("ix_member_name_prefix", "name", postgresql_ops={"name": "text_pattern_ops"}),
    )

    contact_id: Mapped[int] = mapped_column(
        ForeignKey("contact.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    member_no: Mapped[str | None] = mapped_column(Text, unique=True)
    name: Mapped[str | None] = mapped_column(Text)
    #: AES-GCM; shown as 138****1234. The blind index is an identity row of kind `mobile`.
    mobile_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    level: Mapped[str | None] = mapped_column(Text)
    points: Mapped[int | None]
    #: The year of birth is often unknown; month and day are what plans need.
    birth_year: Mapped[int | None] = mapped_column(SmallInteger)
    birth_month: Mapped[int | None] = mapped_column(SmallInteger)
    birth_day: Mapped[int | None] = mapped_column(SmallInteger)
    birthday_is_lunar: Mapped[bool] = mapped_column(server_default="false")
    wedding_year: Mapped[int | None] = mapped_column(SmallInteger)
    wedding_month: Mapped[int | None] = mapped_column(SmallInteger)
    wedding_day: Mapped[int | None] = mapped_column(SmallInteger)
    registered_on: Mapped[date | None]
    home_latitude: Mapped[float | None]
    home_longitude: Mapped[float | None]
    #: Per field: [occurred_at, event id, source] of the value kept, so that the order of arrival
    #: does not matter.
    field_versions: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")


class ContactIdentity(Base):
    """One number by which a person is known. Mobiles are kept as a keyed hash (blind index)."""

    __tablename__ = "contact_identity"
    __table_args__ = (UniqueConstraint("kind", "value"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    value: Mapped[str] = mapped_column(Text)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ContactMerge(Base):
    """The trail of two rows that proved to be one person, with what moved, so it can be undone."""

    __tablename__ = "contact_merge"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kept_contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"), index=True)
    gone_contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"), index=True)
    reason: Mapped[str] = mapped_column(Text)
    moved: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    merged_at: Mapped[datetime] = mapped_column(server_default=func.now())
    undone_at: Mapped[datetime | None]


class IdentityClaim(Base):
    """Two numbers that one report named together (同名), by the earliest report that did.

    Who is whom is worked out from all of them: see `bot.crm.identity_partition`. Written once and
    lowered only, so a pair that is told every day costs nothing.
    """

    __tablename__ = "identity_claim"

    #: The lower of the two ids.
    one_id: Mapped[int] = mapped_column(
        ForeignKey("contact_identity.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    other_id: Mapped[int] = mapped_column(
        ForeignKey("contact_identity.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        index=True,
    )
    said_at: Mapped[datetime]
    event_id: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    #: Which pair of its report it is: the stronger numbers come first.
    place: Mapped[int] = mapped_column(SmallInteger)


class IdentityRuling(Base):
    """What a person said of two numbers; it stands above all reports. Kept both ways round."""

    __tablename__ = "identity_ruling"

    one_id: Mapped[int] = mapped_column(
        ForeignKey("contact_identity.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    other_id: Mapped[int] = mapped_column(
        ForeignKey("contact_identity.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        index=True,
    )
    #: They are one person, or they are two.
    is_one: Mapped[bool]
    #: The merge by which, or by whose undoing, it was said.
    merge_id: Mapped[int] = mapped_column(
        ForeignKey("contact_merge.id", ondelete="CASCADE"), index=True
    )


class MemberMerge(Base):
    """Two member numbers of one person: `gone_no` is another name of `kept_no` now.

    It no longer holds once the merge of contacts that followed from it was undone.
    """

    __tablename__ = "member_merge"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    #: NULL: an operator said so.
    source_event_id: Mapped[int | None] = mapped_column(ForeignKey("source_event.id"), unique=True)
    kept_no: Mapped[str] = mapped_column(Text, index=True)
    gone_no: Mapped[str] = mapped_column(Text, index=True)
    merged_at: Mapped[datetime]
    event_id: Mapped[str] = mapped_column(Text)
    #: The merge of two contacts that followed from it; NULL: there was one contact only.
    contact_merge_id: Mapped[int | None] = mapped_column(ForeignKey("contact_merge.id"))


class FollowRelation(Base):
    """One guide following one contact (跟进关系)."""

    __tablename__ = "follow_relation"
    __table_args__ = (
        UniqueConstraint("guide_id", "contact_id"),
        Index("ix_follow_relation_contact_id", "contact_id"),
        Index(
            "ix_follow_relation_live",
            "guide_id",
            "followed_at",
            postgresql_where=text("state <> 'ended'"),
        ),
        Index("ix_follow_relation_followed_on", "followed_on"),
        Index(
            "ix_follow_relation_ended_on",
            "ended_on",
            postgresql_where=text("state = 'ended'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    guide_id: Mapped[int] = mapped_column(ForeignKey("guide.id"))
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"))
    state: Mapped[str] = mapped_column(Text)
    #: Counts the times these two began: a customer who comes back starts relation 2.
    relation_no: Mapped[int] = mapped_column(server_default="1")
    followed_at: Mapped[datetime]
    followed_on: Mapped[date]
    ended_at: Mapped[datetime | None]
    ended_on: Mapped[date | None]
    #: `guide` deleted the customer, `customer` deleted the guide, `transfer`.
    ended_by: Mapped[str | None] = mapped_column(Text)
    add_way: Mapped[int | None] = mapped_column(SmallInteger)
    channel_code_id: Mapped[int | None] = mapped_column(ForeignKey("channel_code.id"), index=True)
    state_text: Mapped[str | None] = mapped_column(Text)
    remark: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    #: The newest event or reading that shaped this row; an older one never overwrites it.
    changed_at: Mapped[datetime]
    #: Every known beginning and end, [milliseconds, kind, state]; the columns above are its fold,
    #: so the order in which callbacks arrive cannot matter. See `bot.crm.relation_story`.
    history: Mapped[list[Any]] = mapped_column(JSONB, server_default="[]")
    #: Beginning of the newest relation of which the guide was told; NULL: never.
    announced_at: Mapped[datetime | None]
    #: Beginning of the newest relation whose channel code has given its tags; NULL: of none.
    code_tagged_at: Mapped[datetime | None]
    #: Beginning of the newest relation for whose guide the customer's tags were marked.
    tags_marked_at: Mapped[datetime | None]
