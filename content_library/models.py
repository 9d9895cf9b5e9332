"""Tables of the content library: talking points, materials, welcomes, replies, templates."""

from __future__ import annotations

from datetime import datetime, time
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bot.db import Base


class TalkingPoint(Base):
    """Words a guide may use (话术); each has one or more variants."""

    __tablename__ = "talking_point"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    scene: Mapped[str] = mapped_column(Text, server_default="")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TalkingPointVariant(Base):
    """One wording of a talking point, with placeholders."""

    __tablename__ = "talking_point_variant"

    talking_point_id: Mapped[int] = mapped_column(
        ForeignKey("talking_point.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class Material(Base):
    """A picture, link, file, video or mini-program page (素材) that goes with words."""

    __tablename__ = "material"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    #: A key of `bot.wecom.messages.MESSAGES`: image, link, miniprogram, video, file.
    kind: Mapped[str] = mapped_column(Text)
    title: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    url: Mapped[str | None] = mapped_column(Text)
    picture_url: Mapped[str | None] = mapped_column(Text)
    appid: Mapped[str | None] = mapped_column(Text)
    page: Mapped[str | None] = mapped_column(Text)
    #: The bytes of an image, video or file, and the name customers see.
    filename: Mapped[str | None] = mapped_column(Text)
    content: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    #: WeCom keeps a media_id three days; it is renewed after two.
    media_id: Mapped[str | None] = mapped_column(Text)
    media_expires_at: Mapped[datetime | None]
    #: Why the last upload failed, for HQ; NULL when it went well.
    media_error: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WelcomeMessage(Base):
    """What a new customer reads first (欢迎语). Exactly one is the brand's default."""

    __tablename__ = "welcome_message"
    __table_args__ = (
        Index(
            "uq_welcome_message_default",
            "is_default",
            unique=True,
            postgresql_where=text("is_default"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    text: Mapped[str] = mapped_column(Text)
    is_default: Mapped[bool] = mapped_column(server_default="false")
    #: Only for customers of this store, when set.
    store_id: Mapped[int | None] = mapped_column(ForeignKey("store.id"))
    #: Only between these Shanghai wall-clock times, when set; may run over midnight.
    from_time: Mapped[time | None]
    until_time: Mapped[time | None]


class WelcomeMaterial(Base):
    """A material sent with a welcome message, in order; at most nine (document 92137)."""

    __tablename__ = "welcome_material"

    welcome_message_id: Mapped[int] = mapped_column(
        ForeignKey("welcome_message.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    material_id: Mapped[int] = mapped_column(ForeignKey("material.id"))


class ChannelWelcome(Base):
    """The welcome message of a channel code."""

    __tablename__ = "channel_welcome"

    channel_code_id: Mapped[int] = mapped_column(
        ForeignKey("channel_code.id", ondelete="CASCADE"), primary_key=True
    )
    welcome_message_id: Mapped[int] = mapped_column(ForeignKey("welcome_message.id"))


class WelcomeState(StrEnum):
    """How far the welcome of one add has come. SKIPPED: there was nothing to send it with."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    SKIPPED = "skipped"


class WelcomeSend(Base):
    """The one welcome of one add: a relation that begins again may be welcomed again."""

    __tablename__ = "welcome_send"
    __table_args__ = (
        UniqueConstraint("relation_id", "relation_no"),
        Index("ix_welcome_send_event_at", "event_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    relation_id: Mapped[int] = mapped_column(ForeignKey("follow_relation.id", ondelete="CASCADE"))
    relation_no: Mapped[int]
    welcome_message_id: Mapped[int | None] = mapped_column(
        ForeignKey("welcome_message.id", ondelete="SET NULL")
    )
    state: Mapped[str] = mapped_column(Text)
    #: A key of `content_library.welcome_sends.REASONS` when it was not sent.
    reason: Mapped[str | None] = mapped_column(Text)
    #: The filled words, ready to be sent by hand.
    words: Mapped[str] = mapped_column(Text)
    #: Names of materials left out because their upload was missing or too old.
    left_out: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    #: When the customer was added, as WeCom says; the code dies 20 seconds later.
    event_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    lag_ms: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class KeywordReply(Base):
    """The answer to a keyword (关键词回复), for customers in 微信客服 and guides in the app."""

    __tablename__ = "keyword_reply"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    match: Mapped[list[str]] = mapped_column(ARRAY(Text))
    #: `exact` or `contains`.
    how: Mapped[str] = mapped_column(Text)
    reply: Mapped[str] = mapped_column(Text)
    #: After the reply a person takes over.
    hand_over: Mapped[bool] = mapped_column(server_default="false")
    position: Mapped[int] = mapped_column(server_default="0")
    is_active: Mapped[bool] = mapped_column(server_default="true")


class ChannelTemplate(Base):
    """A wording approved by a provider: an SMS (短信模板) or a 公众号 message (模板消息)."""

    __tablename__ = "channel_template"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    #: `sms` or `template_message`.
    channel: Mapped[str] = mapped_column(Text)
    #: The template's id at the provider.
    code: Mapped[str] = mapped_column(Text)
    #: SMS only: the sender's name in 【】.
    signature: Mapped[str | None] = mapped_column(Text)
    #: The wording as approved, with placeholders; what guides and previews see.
    text: Mapped[str] = mapped_column(Text, server_default="")
    #: Name of a variable at the provider -> wording with placeholders.
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    #: 公众号 only: the page a tap opens.
    url: Mapped[str | None] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(server_default="true")


class CouponTemplate(Base):
    """What a coupon (优惠券) is worth and how long it is good for."""

    __tablename__ = "coupon_template"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    #: What the customer reads.
    title: Mapped[str] = mapped_column(Text)
    value_fen: Mapped[int] = mapped_column(BigInteger)
    #: Good for orders of at least this much.
    least_spend_fen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    valid_days: Mapped[int]
    is_active: Mapped[bool] = mapped_column(server_default="true")
