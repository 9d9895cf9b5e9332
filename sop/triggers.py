"""What puts a contact into an SOP (触发条件): one entry a trigger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from bot.errors import UserError
from sop import anchors, trigger_words
from sop.anchors import RISK_LABELS, STAGE_LABELS, Anchors, Params
from sop.lead_signals import BEHAVIORS
from sop.trigger_inputs import Field, Known, checked, nearest

__all__ = ["TRIGGERS", "Field", "Trigger", "check", "nearest", "of"]


@dataclass(frozen=True)
class Trigger:
    """A trigger: its words, its inputs and the SELECT that finds its anchor days.

    `due(first, last, params)` gives contact_id, guide_id (NULL: whoever is responsible),
    anchored_on, anchored_at (NULL: no moment) and the fact as a guide may read it.
    """

    key: str
    label: str
    fields: tuple[Field, ...]
    due: Callable[[date, date, Params], Anchors]
    sentence: Callable[[Params], str]
    #: What a countdown speaks of ("4 天后生日"); empty: the fact lies in the past, no countdown.
    noun: Callable[[Params], str]
    #: A contact meets it once for each of these.
    once_per: str
    #: The anchor has a moment, so steps may say "+2h".
    has_moment: bool = False
    #: The day is known beforehand and cannot move: steps may lie before it.
    is_fixed: bool = False
    #: Whether the anchor must still be found when a step comes due.
    is_rechecked: bool = True
    #: It finds people whom nobody follows any more: only a machine can write to them.
    reaches_lost: bool = False
    #: Its days without any contact, for moments and group messages; None: there are none.
    days: Callable[[Session, date, date, Params], list[date]] | None = None
    #: What the inputs must be together; raises UserError.
    verify: Callable[[Params], None] | None = None

    @property
    def is_calendar(self) -> bool:
        """Whether its days are those of the calendar, the same for everybody."""
        return self.days is not None


_CATEGORY = Field("category", "品类", "category", is_required=False)
_PAID = Field("min_fen", "实付金额不少于（分）", "fen", is_required=False)
_STORE = Field("store", "门店", "store", is_required=False)
_WHICH_YEARS = Field("years", "第几年", "years", is_required=False)
_TEMPLATE = Field("template", "券名称", "words", is_required=False)
_BEHAVIORS = {key: one.label for key, one in BEHAVIORS.items()}
_LEAST_POINTS = Field("min_points", "不少于多少分", "number", is_required=False, most=10**9)
_ALL = (
    Trigger(
        "followed",
        "新加好友",
        (),
        anchors.followed,
        lambda params: "客户加导购为好友",
        lambda params: "",
        "一天",
        has_moment=True,
        # A handed-over customer keeps her plan: planning looks at who is responsible now.
        is_rechecked=False,
    ),
    Trigger(
        "purchased",
        "购买",
        (_CATEGORY, _PAID, _STORE),
        anchors.purchased,
        trigger_words.bought_sentence,
        lambda params: "",
        "一天",
        has_moment=True,
    ),
    Trigger(
        "birthday",
        "生日",
        (),
        anchors.birthday,
        lambda params: "客户生日",
        lambda params: "生日",
        "一年",
        is_fixed=True,
    ),
    Trigger(
        "purchase_anniversary",
        "购买周年",
        (_CATEGORY, _WHICH_YEARS),
        anchors.purchase_anniversary,
        trigger_words.bought_again_sentence,
        lambda params: "购买周年",
        "一年",
        is_fixed=True,
    ),
    Trigger(
        "stage_entered",
        "进入生命周期阶段",
        (Field("stage", "阶段", "stage"),),
        anchors.stage_entered,
        lambda params: f"进入{STAGE_LABELS[params['stage']]}阶段",
        lambda params: "",
        "一天",
    ),
    Trigger(
        "tag_added",
        "打上标签",
        (Field("tag", "标签", "tag"),),
        anchors.tag_added,
        lambda params: f"打上标签「{params['tag']}」",
        lambda params: "",
        "一天",
        has_moment=True,
    ),
    Trigger(
        "festival",
        "节日",
        (Field("name", "节日", "festival"),),
        anchors.festival,
        trigger_words.festival_sentence,
        lambda params: str(params["name"]),
        "一个节日",
        is_fixed=True,
        days=anchors.festival_days,
    ),
    Trigger(
        "date",
        "指定日期",
        (Field("on", "日期", "date"),),
        anchors.fixed_date,
        trigger_words.day_sentence,
        trigger_words.day_label,
        "一个日期",
        is_fixed=True,
        days=anchors.fixed_date_days,
    ),
    Trigger(
        "wedding_anniversary",
        "结婚纪念日",
        (_WHICH_YEARS,),
        anchors.wedding_anniversary,
        lambda params: f"客户的结婚纪念日{trigger_words.years(params)}",
        lambda params: "结婚纪念日",
        "一年",
        is_fixed=True,
    ),
    Trigger(
        "member_anniversary",
        "入会周年",
        (_WHICH_YEARS,),
        anchors.member_anniversary,
        lambda params: f"客户入会满周年{trigger_words.years(params)}",
        lambda params: "入会周年",
        "一年",
        is_fixed=True,
    ),
    Trigger(
        "cart_open",
        "加购未买",
        (_CATEGORY, Field("min_fen", "购物车金额不少于（分）", "fen", is_required=False)),
        anchors.cart_open,
        trigger_words.cart_sentence,
        lambda params: "",
        "一天",
        has_moment=True,
    ),
    Trigger(
        "coupon_expiring",
        "优惠券到期",
        (_TEMPLATE,),
        anchors.coupon_expiring,
        lambda params: f"客户有{trigger_words.coupon(params)}到期",
        lambda params: "到期",
        "一个到期日",
        is_fixed=True,
    ),
    Trigger(
        "coupon_received",
        "收到优惠券",
        (_TEMPLATE,),
        anchors.coupon_received,
        lambda params: f"客户收到{trigger_words.coupon(params)}",
        lambda params: "",
        "一天",
        has_moment=True,
    ),
    Trigger(
        "points_expiring",
        "积分到期",
        (_LEAST_POINTS,),
        anchors.points_expiring,
        lambda params: f"客户有{trigger_words.points(params)}到期",
        lambda params: "到期",
        "一个到期日",
        is_fixed=True,
    ),
    Trigger(
        "points_received",
        "积分到账",
        (_LEAST_POINTS,),
        anchors.points_received,
        lambda params: f"客户有{trigger_words.points(params)}到账",
        lambda params: "",
        "一天",
        has_moment=True,
    ),
    Trigger(
        "idle",
        "多久没有再买",
        (Field("days", "多少天没有再买", "number", most=3650),),
        anchors.idle,
        lambda params: f"{params['days']} 天没有再买",
        lambda params: "",
        "一次购买",
    ),
    Trigger(
        "at_risk",
        "流失风险",
        (Field("reason", "原因", "choice", is_required=False, options=RISK_LABELS),),
        anchors.at_risk,
        trigger_words.risk_sentence,
        lambda params: "",
        "一次预警",
    ),
    Trigger(
        "lost",
        "客户流失",
        (),
        anchors.lost,
        lambda params: "客户删除了导购，已经没有导购跟进",
        lambda params: "",
        "一天",
        has_moment=True,
        reaches_lost=True,
    ),
    Trigger(
        "visited",
        "到店",
        (_STORE, Field("visit_kind", "到访方式", "words", is_required=False)),
        anchors.visited,
        trigger_words.visit_sentence,
        lambda params: "",
        "一天",
        has_moment=True,
    ),
    Trigger(
        "lead_raised",
        "出现线索",
        (
            Field("behavior", "行为", "choice", is_required=False, options=_BEHAVIORS),
            Field("hot", "只要高意向", "flag", is_required=False),
        ),
        anchors.lead_raised,
        trigger_words.lead_sentence,
        lambda params: "",
        "一天",
        has_moment=True,
    ),
    Trigger(
        "appointment",
        "预约到店",
        (),
        anchors.appointment,
        lambda params: "客户预约到店当天",
        lambda params: "预约到店",
        "一个预约日",
        is_fixed=True,
    ),
    Trigger(
        "every",
        "每天、每周、每月",
        (
            Field("each", "周期", "choice", options=trigger_words.EACH),
            Field(
                "weekday",
                "星期几",
                "weekday",
                is_required=False,
                most=7,
                needs=("each", "week"),
            ),
            Field(
                "month_day",
                "几号",
                "number",
                is_required=False,
                most=31,
                needs=("each", "month"),
            ),
            Field("from", "开始日期", "date", is_required=False),
            Field("until", "结束日期", "date", is_required=False),
        ),
        anchors.every,
        trigger_words.every_sentence,
        lambda params: "日",
        "一个日期",
        is_fixed=True,
        days=anchors.every_days,
        verify=trigger_words.verify_every,
    ),
)

#: Every trigger by its key. Keys are stored: never renamed, never reused.
TRIGGERS: dict[str, Trigger] = {trigger.key: trigger for trigger in _ALL}


def of(trigger: Params) -> Trigger:
    """The table entry of a stored trigger."""
    return TRIGGERS[trigger["kind"]]


def check(trigger: Any, known: Known) -> dict[str, Any]:
    """The trigger as stored (no empty inputs); raises UserError naming what is wrong with it.

    `known` holds the names that exist by kind of field (tag, festival, category, store); a brand
    that keeps no list of categories takes all.
    """
    if not isinstance(trigger, Mapping) or not isinstance(trigger.get("kind"), str):
        raise UserError("请选择触发条件", field="trigger")
    entry = TRIGGERS.get(trigger["kind"])
    if entry is None:
        raise UserError(
            f"没有「{trigger['kind']}」这个触发条件{nearest(trigger['kind'], TRIGGERS)}",
            field="trigger",
        )
    wanted = {field.key: field for field in entry.fields}
    for key in trigger:
        if key != "kind" and key not in wanted:
            raise UserError(
                f"触发条件「{entry.label}」没有「{key}」这一项{nearest(str(key), wanted)}",
                field="trigger",
            )
    kept: dict[str, Any] = {"kind": entry.key}
    for field in entry.fields:
        value = trigger.get(field.key)
        if value is None or value == "":
            if field.is_required:
                words = f"触发条件「{entry.label}」要填{field.label}"
                raise UserError(words, field=field.path)
            continue
        kept[field.key] = checked(field, value, known)
    if entry.verify is not None:
        entry.verify(kept)
    return kept
