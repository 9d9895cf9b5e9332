"""One step of an SOP as HQ writes it (步骤): checked against the names that exist, read back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm import brand
from bot.errors import UserError
from content_library import placeholders, talking_points
from content_library.models import (
    ChannelTemplate,
    CouponTemplate,
    Material,
    TalkingPoint,
    TalkingPointVariant,
)
from sop import step_kinds, times
from sop.models import IfMissed
from sop.quiet import QuietHours
from sop.step_kinds import GUIDE_KINDS, KINDS, MACHINE_KINDS, StepKinds
from sop.trigger_inputs import nearest
from sop.triggers import Trigger

#: What a step may say.
STEP_KEYS = (
    "key",
    "day",
    "at",
    "kind",
    "title",
    "talking_point",
    "materials",
    "priority",
    "if_missed",
    "workdays",
    "template",
    "coupon",
    "gift",
)
_MOST_MATERIALS = 9
_EARLIEST_DAY, _LATEST_DAY = -90, 3650
_TITLE_LENGTH = 40
_GIFT_LENGTH = 40
_KEY = re.compile(r"[a-z0-9_-]{1,40}")
_WITH_WORDS = ("chat", "mass_message", "moment", "group_message")
_FOR_MANY = ("mass_message", "moment", "group_message")
#: What a moment can show, with its word.
IN_MOMENTS = {"image": "图片", "video": "视频"}


@dataclass(frozen=True)
class Known:
    """The names that steps may use."""

    talking_points: dict[str, int]
    variants: dict[int, list[str]]
    materials: dict[str, int]
    #: Kind of each material, by its name, and those that have nothing to upload.
    material_kinds: dict[str, str]
    empty_materials: frozenset[str]
    #: Name → (id, channel).
    templates: dict[str, tuple[int, str]]
    coupons: dict[str, int]
    quiet: QuietHours

    @classmethod
    def read(cls, session: Session) -> Known:
        """What exists now."""
        variants: dict[int, list[str]] = {}
        for point_id, words in session.execute(
            select(TalkingPointVariant.talking_point_id, TalkingPointVariant.text)
        ):
            variants.setdefault(point_id, []).append(words)
        points = select(TalkingPoint.name, TalkingPoint.id).where(TalkingPoint.is_active)
        templates = select(ChannelTemplate.name, ChannelTemplate.id, ChannelTemplate.channel)
        coupons = select(CouponTemplate.name, CouponTemplate.id).where(CouponTemplate.is_active)
        shelf = session.execute(
            select(Material.name, Material.id, Material.kind, Material.content.is_(None))
        ).all()
        return cls(
            {row.name: row.id for row in session.execute(points)},
            variants,
            {name: id_ for name, id_, _, _ in shelf},
            {name: kind for name, _, kind, _ in shelf},
            frozenset(name for name, _, _, is_empty in shelf if is_empty),
            {
                name: (id_, channel)
                for name, id_, channel in session.execute(
                    templates.where(ChannelTemplate.is_active)
                )
            },
            {row.name: row.id for row in session.execute(coupons)},
            QuietHours.parse(brand.settings(session).quiet_hours),
        )


def normal(step: Mapping[str, Any]) -> dict[str, Any]:
    """A checked step without defaults and key: two that mean the same are equal."""
    kinds = step_kinds.read(step.get("kind"))
    plain: dict[str, Any] = {"day": step["day"]}
    if step.get("at"):
        plain["at"] = step["at"]
    plain |= {
        "kind": step_kinds.written(kinds.kind, kinds.channels),
        "title": step["title"].strip(),
    }
    if step.get("talking_point"):
        plain["talking_point"] = step["talking_point"]
    if step.get("materials"):
        plain["materials"] = list(step["materials"])
    if step.get("priority") is not None:
        plain["priority"] = step["priority"]
    if step.get("if_missed") not in (None, "", IfMissed.LATE):
        plain["if_missed"] = str(step["if_missed"])
    if step.get("workdays"):
        plain["workdays"] = True
    if step.get("template"):
        plain["template"] = _normal_template(step["template"])
    if step.get("coupon"):
        plain["coupon"] = step["coupon"]
    if step.get("gift"):
        plain["gift"] = step["gift"].strip()
    return plain


def checked(
    item: Any, place: int, entry: Trigger, known: Known, warnings: list[str]
) -> dict[str, Any]:
    """A step as stored; raises UserError with `field` `steps.<position>.<key>`."""
    if not isinstance(item, Mapping):
        raise UserError(f"第 {place} 步写得不对", field=f"steps.{place - 1}")
    for key in item:
        if key not in STEP_KEYS:
            close = nearest(str(key), STEP_KEYS)
            where = f"steps.{place - 1}"
            raise UserError(f"第 {place} 步里没有「{key}」这一项{close}", field=where)
    one = _Step(item, place, entry, known)
    kinds = one.kinds()
    return {
        "key": one.key(),
        "title": one.title(),
        "day": one.day(),
        "at": _time(item.get("at"), item.get("day"), place, entry, known.quiet, warnings),
        "kind": kinds.kind,
        "channels": kinds.channels,
        "talking_point_id": one.talking_point(kinds),
        "material_ids": one.materials(kinds),
        "priority": one.priority(),
        "if_missed": one.if_missed(),
        "workdays_only": one.flag("workdays"),
        "template_ids": one.templates(kinds),
        "coupon_template_id": one.coupon(kinds),
        "gift": one.gift(kinds),
    }


@dataclass(frozen=True)
class _Step:
    """What was written, and where."""

    item: Mapping[str, Any]
    place: int
    entry: Trigger
    known: Known

    def wrong(self, key: str, words: str) -> UserError:
        return UserError(f"第 {self.place} 步{words}", field=f"steps.{self.place - 1}.{key}")

    def kinds(self) -> StepKinds:
        try:
            kinds = step_kinds.read(self.item.get("kind"))
        except UserError as error:
            raise self.wrong("kind", error.message_zh) from error
        kind = kinds.kind
        if kind in GUIDE_KINDS and not self.entry.is_calendar:
            raise self.wrong("kind", f"的「{KINDS[kind]}」只能按日历来发，触发条件要是节日或日期")
        by_guide = next((one for one in sorted(kinds.all) if one not in MACHINE_KINDS), None)
        if self.entry.reaches_lost and by_guide is not None:
            words = f"不能用「{KINDS[by_guide]}」，已经没有导购能联系她，只能用短信或公众号消息"
            raise self.wrong("kind", words)
        return kinds

    def title(self) -> str:
        title = self.item.get("title")
        if not isinstance(title, str) or not 0 < len(title.strip()) <= _TITLE_LENGTH:
            raise self.wrong("title", f"要有标题，最多 {_TITLE_LENGTH} 个字")
        return title.strip()

    def day(self) -> int:
        day: Any = self.item.get("day")
        if not _is_int(day) or not _EARLIEST_DAY <= day <= _LATEST_DAY:
            raise self.wrong("day", f"的天数要是 {_EARLIEST_DAY} 到 {_LATEST_DAY} 的整数")
        if day < 0 and not self.entry.is_fixed:
            raise self.wrong("day", f"不能早于「{self.entry.label}」，这一天无法提前知道")
        return int(day)

    def priority(self) -> int | None:
        priority: Any = self.item.get("priority")
        if priority is not None and (not _is_int(priority) or not 0 <= priority <= 100):
            raise self.wrong("priority", "的优先级要是 0 到 100 的整数")
        return None if priority is None else int(priority)

    def key(self) -> str | None:
        key = self.item.get("key")
        if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
            raise self.wrong("key", "的 key 只能用小写字母、数字、- 和 _")
        return key

    def if_missed(self) -> str:
        value = self.item.get("if_missed")
        if value in (None, ""):
            return IfMissed.LATE.value
        if value not in list(IfMissed):
            raise self.wrong(
                "if_missed", "的 if_missed 要是 late（补做）、drop（不做）或 move（顺延）"
            )
        return str(value)

    def flag(self, key: str) -> bool:
        value = self.item.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, f"的 {key} 要写 true 或 false")
        return bool(value)

    def talking_point(self, kinds: StepKinds) -> int | None:
        name = self.item.get("talking_point")
        if name is None or name == "":
            if kinds.all & set(_WITH_WORDS):
                raise self.wrong("talking_point", "要选一条话术")
            return None
        if not isinstance(name, str):
            raise self.wrong("talking_point", "的话术要写名称")
        point_id = self.known.talking_points.get(name)
        if point_id is None:
            close = nearest(name, self.known.talking_points)
            raise self.wrong("talking_point", f"的话术「{name}」不存在{close}")
        variants = self.known.variants.get(point_id, [])
        try:
            talking_points.check_variants(variants, field="talking_point")
        except UserError as error:
            raise self.wrong("talking_point", f"的话术「{name}」：{error.message_zh}") from error
        many = next((kind for kind in _FOR_MANY if kind in kinds.all), None)
        if many is not None and any(placeholders.uses_own_facts(words) for words in variants):
            words = f"的话术「{name}」里有每位客户不同的内容，不能用于{KINDS[many]}"
            raise self.wrong("talking_point", words)
        return point_id

    def materials(self, kinds: StepKinds) -> list[int]:
        names = self.item.get("materials")
        if names is None:
            return []
        if not isinstance(names, list) or len(names) > _MOST_MATERIALS:
            raise self.wrong("materials", f"的素材要是列表，最多 {_MOST_MATERIALS} 个")
        for name in names:
            if not isinstance(name, str):
                raise self.wrong("materials", "的素材要写名称")
            if name not in self.known.materials:
                close = nearest(name, self.known.materials)
                raise self.wrong("materials", f"的素材「{name}」不存在{close}")
            if "moment" in kinds.all:
                self._check_for_moment(name)
        return [self.known.materials[name] for name in names]

    def _check_for_moment(self, name: str) -> None:
        """A moment shows pictures and films, which are uploaded for it from their own bytes."""
        kind = self.known.material_kinds[name]
        if kind not in IN_MOMENTS:
            words = f"的素材「{name}」不是图片或视频，朋友圈不能带"
            raise self.wrong("materials", words)
        if name in self.known.empty_materials:
            words = f"的素材「{name}」要先上传{IN_MOMENTS[kind]}文件，才能用于朋友圈"
            raise self.wrong("materials", words)

    def templates(self, kinds: StepKinds) -> dict[str, int]:
        """Kind → template; each kind a machine sends needs one of its own channel."""
        given, needed = self.item.get("template"), [k for k in MACHINE_KINDS if k in kinds.all]
        named = given
        if isinstance(given, str) and given:
            if len(needed) > 1:
                example = "{sms: …, template_message: …}"
                raise self.wrong("template", f"有两种方式，模板要分开写：{example}")
            named = {needed[0]: given} if needed else {"template": given}
        if named is not None and named != "" and not isinstance(named, Mapping):
            raise self.wrong("template", "的模板要写名称")
        named = dict(named or {})
        for kind in needed:
            if kind not in named:
                raise self.wrong("template", f"用{KINDS[kind]}，要选一个模板")
        return {kind: self._template(kind, name, needed) for kind, name in named.items()}

    def _template(self, kind: str, name: Any, needed: Sequence[str]) -> int:
        if kind not in needed:
            raise self.wrong("template", "没有用短信或公众号消息，不用写模板")
        if not isinstance(name, str) or name not in self.known.templates:
            fitting = [n for n, (_, of) in self.known.templates.items() if of == kind]
            close = nearest(str(name), fitting)
            raise self.wrong("template", f"的{KINDS[kind]}模板「{name}」不存在{close}")
        template_id, channel = self.known.templates[name]
        if channel != kind:
            words = f"的模板「{name}」是{KINDS.get(channel, channel)}的，不能用于{KINDS[kind]}"
            raise self.wrong("template", words)
        return template_id

    def coupon(self, kinds: StepKinds) -> int | None:
        name = self.item.get("coupon")
        if name is None or name == "":
            return None
        many = next((kind for kind in _FOR_MANY if kind in kinds.all), None)
        if many is not None:
            words = f"有{KINDS[many]}，发给每个人的话都一样，不能带优惠券"
            raise self.wrong("coupon", words)
        if not isinstance(name, str) or name not in self.known.coupons:
            close = nearest(str(name), self.known.coupons)
            raise self.wrong("coupon", f"的优惠券「{name}」不存在{close}")
        return self.known.coupons[name]

    def gift(self, kinds: StepKinds) -> str | None:
        gift = self.item.get("gift")
        if gift is None or gift == "":
            return None
        if not isinstance(gift, str) or not 0 < len(gift.strip()) <= _GIFT_LENGTH:
            raise self.wrong("gift", f"的到店礼要是文字，最多 {_GIFT_LENGTH} 个字")
        if "invite" not in kinds.all:
            raise self.wrong("gift", "不是邀约，不能写到店礼")
        return gift.strip()


def _time(
    at: Any, day: Any, place: int, entry: Trigger, hours: QuietHours, warnings: list[str]
) -> str | None:
    field = f"steps.{place - 1}.at"
    if at is None or at == "":
        return None
    if not isinstance(at, str):
        raise UserError(f'第 {place} 步的时间要加引号，写成 "10:00"', field=field)
    try:
        moment = times.parse(at)
    except UserError as error:
        raise UserError(f"第 {place} 步的{error.message_zh}", field=field) from error
    if isinstance(moment, timedelta):
        if day != 0:
            raise UserError(f"第 {place} 步的「{at}」只能用在第 0 天", field=field)
        if not entry.has_moment:
            raise UserError(
                f"第 {place} 步不能用「{at}」，「{entry.label}」没有具体时刻", field=field
            )
    elif moment is not None and hours.covers(moment):
        moved, end = hours.settle(moment)
        when = "第二天" if moved else "当天"
        warnings.append(f"第 {place} 步的 {at} 在免打扰时段内，会顺延到{when} {end:%H:%M}")
    return at


def _normal_template(given: Any) -> Any:
    if isinstance(given, Mapping) and len(given) == 1:
        return next(iter(given.values()))
    return dict(sorted(given.items())) if isinstance(given, Mapping) else given


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
