"""Fields over what a contact has bought (消费), all read from `contact_score`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, case, not_

from bot.crm.models import Contact
from tagging.fields import wording
from tagging.fields.field import (
    Field,
    Home,
    as_list,
    bought_only,
    days_fact,
    days_since,
    plain,
)
from tagging.fields.kinds import COUNT, DAYS, FEN, GRADE, Choice, Flag, Words
from tagging.models import ContactScore, LifecycleStage, Tier

SCORE = Home(ContactScore.__table__, ContactScore.contact_id == Contact.id)

STAGE_LABELS = {
    LifecycleStage.NEW.value: "新客",
    LifecycleStage.ACTIVE.value: "活跃",
    LifecycleStage.LOYAL.value: "忠诚",
    LifecycleStage.DORMANT.value: "沉睡",
    LifecycleStage.CHURNED.value: "流失",
}

TIER_LABELS = {tier.value: tier.value for tier in Tier}

_BOUGHT = ContactScore.purchase_count > 0
_NEVER = "从未消费的客户"


def _bought_words(op: str, value: Any) -> str:
    """ "没有买过" includes who never bought anything; the sentence says so."""
    if op in ("=", "in"):
        return f"买过{wording.either(as_list(value))}"
    of_them = "中的任何一类" if op == "not_in" else ""
    return f"没有买过{wording.listed(as_list(value))}{of_them}（含从未消费的客户）"


def _missing_words(op: str, value: Any) -> str:
    if op == "in":
        return f"消费过，但{wording.listed(as_list(value))}中至少有一类没有买过"
    return f"消费过，但没有买过{wording.named(value)}"


def _grade(key: str, label: str, column: Any) -> Field:
    return Field(
        key,
        label,
        GRADE,
        SCORE,
        plain(column),
        lambda day: column.expression,
        gap=_NEVER,
        moves_with_time=True,
        example=(">=", 4),
    )


FIELDS = (
    Field(
        "total_spend_fen",
        "累计消费",
        FEN,
        SCORE,
        plain(ContactScore.total_spend_fen),
        lambda day: ContactScore.total_spend_fen.expression,
        example=(">=", 5_000_000),
    ),
    Field(
        "purchase_count",
        "消费次数",
        COUNT,
        SCORE,
        plain(ContactScore.purchase_count),
        lambda day: ContactScore.purchase_count.expression,
        example=(">=", 2),
    ),
    Field(
        "average_order_fen",
        "平均每单",
        FEN,
        SCORE,
        bought_only(_BOUGHT, plain(ContactScore.average_order_fen)),
        lambda day: case((_BOUGHT, ContactScore.average_order_fen), else_=None),
        gap=_NEVER,
        example=(">=", 1_000_000),
    ),
    Field(
        "days_since_purchase",
        "距上次消费",
        DAYS,
        SCORE,
        days_since(ContactScore.last_purchased_on),
        days_fact(ContactScore.last_purchased_on),
        gap=_NEVER,
        today="今天消费过",
        moves_with_time=True,
        example=(">=", 90),
    ),
    Field(
        "days_since_first_purchase",
        "距首次消费",
        DAYS,
        SCORE,
        days_since(ContactScore.first_purchased_on),
        days_fact(ContactScore.first_purchased_on),
        gap=_NEVER,
        today="今天首次消费",
        moves_with_time=True,
        example=("<=", 365),
    ),
    # A set: who bought nothing has the empty set, not an unknown one, so "!=" takes them in.
    Field(
        "bought_category",
        "买过的品类",
        Words("categories"),
        SCORE,
        lambda op, value, day: ContactScore.bought_categories.overlap(as_list(value)),
        lambda day: ContactScore.bought_categories.expression,
        gap="从未消费",
        is_many=True,
        phrase=_bought_words,
        example=("=", "对戒"),
    ),
    # What to offer next: only buyers miss something. Several values: at least one is missing.
    Field(
        "missing_category",
        "还没买过的品类",
        Words("categories"),
        SCORE,
        lambda op, value, day: and_(
            _BOUGHT, not_(ContactScore.bought_categories.contains(as_list(value)))
        ),
        lambda day: ContactScore.bought_categories.expression,
        gap="从未消费",
        phrase=_missing_words,
        show=lambda bought: "买过" + "、".join(bought),
        ops=("=", "in"),
        example=("=", "项链"),
    ),
    Field(
        "favourite_category",
        "最常消费的品类",
        Words("categories"),
        SCORE,
        plain(ContactScore.favourite_category),
        lambda day: ContactScore.favourite_category.expression,
        gap=_NEVER,
        example=("=", "钻戒"),
    ),
    Field(
        "lifecycle_stage",
        "生命周期",
        Choice(STAGE_LABELS),
        SCORE,
        plain(ContactScore.stage),
        lambda day: ContactScore.stage.expression,
        moves_with_time=True,
        example=("in", ["active", "loyal"]),
    ),
    _grade("recency", "最近消费评分", ContactScore.recency),
    _grade("frequency", "消费频次评分", ContactScore.frequency),
    _grade("monetary", "消费金额评分", ContactScore.monetary),
    Field(
        "tier",
        "客户等级",
        Choice(TIER_LABELS),
        SCORE,
        plain(ContactScore.tier),
        lambda day: ContactScore.tier.expression,
        gap="还没有评级的",
        moves_with_time=True,
        example=("in", ["S", "A"]),
    ),
    Field(
        "at_risk",
        "流失预警",
        Flag("有流失风险", "没有流失风险"),
        SCORE,
        lambda op, value, day: ContactScore.at_risk_since.is_not(None),
        lambda day: ContactScore.at_risk_since.is_not(None),
        gap="没有流失风险",
        moves_with_time=True,
        example=("=", True),
    ),
)
