"""reference: everything HQ can write, as one page made from the tables that the program uses."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bot.crm import brand
from bot.crm.event_kinds import KINDS as EVENTS
from bot.crm.identity import STRENGTH
from bot.errors import UserError
from content_library.placeholders import PLACEHOLDERS
from handlers.brand_pack import starter
from handlers.brand_pack.reading import plain, read
from handlers.commands.office import Office
from sop import triggers
from sop.step_kinds import CARRIERS, KINDS
from sop.steps import STEP_KEYS
from sop.triggers import TRIGGERS
from tagging import conditions
from tagging.fields.field import Field
from tagging.fields.kinds import Choice, DateSpan, Flag, Kilometers, Number, Words

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"

_DONE_BY = {"guide": "导购", "mass": "群发，导购确认一次", "machine": "系统"}
_FOR_GUIDES = "导购，一个日期一次"
_NAMES = {
    "tags": "标签，写成 组/名称",
    "stores": "门店编码",
    "regions": "区域编码",
    "channel_codes": "渠道活码的 state",
    "categories": "品类",
    "festivals": "节日",
    "sops": "SOP 名称",
}
#: What each key of a step means.
STEP_WORDS: dict[str, str] = {
    "key": "步骤的固定名称；不写就由程序取",
    "day": "第几天，基准日是 0；只有日期固定的触发条件能写负数",
    "at": '时间 "10:00"，或第 0 天的 "+2h"；不写由规则决定',
    "kind": "触达方式；也可以按客户等级或门店等级分别写",
    "title": "任务标题",
    "talking_point": "话术名称",
    "materials": "素材名称的列表",
    "priority": "优先级 0 到 100",
    "if_missed": "错过当天怎么办：late 补做，drop 不做，move 顺延到下一个能做的日子",
    "workdays": "true：只排在工作日",
    "template": "短信或公众号模板的名称",
    "coupon": "随任务发的券",
    "gift": "到店礼",
}
#: A value for each kind of input of a trigger, to show its sentence with.
_INPUTS: dict[str, Any] = {
    "category": "对戒",
    "fen": 100_000,
    "date": "2026-11-11",
    "stage": "dormant",
    "tag": "意向/结婚选款",
    "festival": "七夕",
    "store": "SH001",
    "words": "生日礼券",
    "number": 90,
    "weekday": 3,
    "years": [1, 3],
    "flag": True,
}

_OF_CONDITIONS = (
    "一项条件写成 `{field: 字段, op: 比较, value: 值}`，几项用 `all`（都满足）、`any`（满足一项）、"
    "`not`（不满足）合起来。`in`、`not_in` 的值是列表；`between` 写 [下限, 上限]，两头都算。"
    "缺少这项资料的客户，怎么比都不算满足，要算进来就用 `not`；品类、标签这类可以有几样的，"
    "`!=` 就是一样也没有。"
    "消费按净额算，整单退完的订单不算买过。"
    "品类按留下的商品算：一种商品（同一个 sku，没有 sku 看名称）"
    "退齐了件数或金额，就不再算买过；退款没有写明商品的，只减金额，不减品类。"
)
_OF_EVENTS = (
    "每条事件还要有 `id`（同一 `source` 里不重复）、`source`（来源系统）、`type`、"
    "`occurred_at`（发生时间，带时区）和 `who`（{who} 里至少一个；"
    "`member`、`member_merged` 可以不写）。"
    "同一个 `id` 发几次都只算一次，先后顺序不限；这里没有列出的字段不保存。"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """`reference --write`."""
    parser.add_argument("--write", action="store_true", help="写进 docs/reference.md")


def run(args: argparse.Namespace, office: Office) -> int:
    """`daogou reference`: the page on the screen, or into its file."""
    page = text()
    if not args.write:
        print(page, end="")
        return 0
    if not PAGE.parent.is_dir():
        raise UserError("这里没有 docs 文件夹，请在源码目录里运行。")
    PAGE.write_text(page, encoding="utf-8")
    print("已写入 docs/reference.md。")
    return 0


def text() -> str:
    """The whole page as Markdown; the same tables always give the same page."""
    parts = [
        "# 品牌包参考\n\n由 `daogou reference --write` 从程序自己的表生成，请不要手改。",
        _section("条件字段", _fields()),
        _section("触发条件", _triggers()),
        _section("触达方式", _kinds()),
        _section("步骤", _table(("写法", "含义"), STEP_WORDS.items(), of=STEP_KEYS)),
        _section("设置 settings", _settings()),
        _section("业务系统事件", _events()),
        _section("占位符", _placeholders()),
        _section("起步包里的 SOP", _presets()),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, of: Sequence[str] | None = None
) -> str:
    """A Markdown table; `of`: only rows whose first cell is one of these."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        if of is None or row[0] in of:
            cells = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in row)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _code(words: object) -> str:
    return f"`{words}`"


def _fields() -> str:
    rows = []
    for key, field in conditions.FIELDS.items():
        op, value = field.example
        leaf = {"field": key, "op": op, "value": value}
        moves = "是" if field.moves_with_time else ""
        ops = " ".join(_code(one) for one in field.operators)
        said = conditions.sentence(leaf)
        rows.append((_code(key), field.label, ops, value_words(field), said, moves))
    head = ("字段", "名称", "比较", "值", "例子读作", "随日期变化")
    return f"{_OF_CONDITIONS}\n\n{_table(head, rows)}"


def value_words(field: Field) -> str:
    """What a field's value is, in words."""
    kind = field.kind
    match kind:
        case Choice():
            return "、".join(f"{_code(key)} {label}" for key, label in kind.options.items())
        case Words():
            return _NAMES.get(kind.names or "", "文字")
        case Flag():
            return f"`true` {kind.yes}、`false` {kind.no}"
        case DateSpan():
            return "[开始日期, 结束日期]"
        case Kilometers():
            return f"公里，0 到 {kind.most}，最多一位小数"
        case Number():
            if field.key.endswith("_fen"):
                return f"整数，分（人民币），从 {kind.least} 起"
            unit = kind.unit
            return f"整数，{kind.least} 到 {kind.most}" + (f"，{unit}" if unit else "")


def _triggers() -> str:
    rows = []
    for key, trigger in TRIGGERS.items():
        inputs = "；".join(
            f"{_code(one.key)} {one.label}" + ("" if one.is_required else "（可不写）")
            for one in trigger.fields
        )
        able = [
            *(["可用 +2h"] if trigger.has_moment else []),
            *(["可提前"] if trigger.is_fixed else []),
            *(["可发朋友圈和群消息"] if trigger.is_calendar else []),
            *(["无人跟进也能发短信"] if trigger.reaches_lost else []),
        ]
        said = trigger.sentence(example_of(trigger))
        rows.append((_code(key), trigger.label, inputs, said, trigger.once_per, "、".join(able)))
    return _table(("触发条件", "名称", "填写项", "例子读作", "一人一次，按", "步骤可以"), rows)


def example_of(trigger: triggers.Trigger) -> dict[str, Any]:
    """A trigger of this kind with what it cannot do without."""
    needed = (one for one in trigger.fields if one.is_required)
    return {"kind": trigger.key} | {
        one.key: next(iter(one.options)) if one.kind == "choice" else _INPUTS[one.kind]
        for one in needed
    }


def _kinds() -> str:
    rows = [
        (_code(key), label, _DONE_BY[CARRIERS[key]] if key in CARRIERS else _FOR_GUIDES)
        for key, label in KINDS.items()
    ]
    return _table(("kind", "名称", "谁来做"), rows)


def _settings() -> str:
    rows = [(_code(name), words, said) for name, words, said in brand.described()]
    return _table(("设置", "含义", "不写时"), rows)


def _events() -> str:
    rows = [
        (
            _code(key),
            kind.label,
            "；".join(
                f"{_code(one.name)} {one.words}" + ("（必填）" if one.is_required else "")
                for one in kind.fields
            ),
        )
        for key, kind in EVENTS.items()
    ]
    said = _OF_EVENTS.format(who="、".join(_code(one) for one in STRENGTH))
    return f"{said}\n\n{_table(('type', '事件', '字段'), rows)}"


def _placeholders() -> str:
    rows = [
        (_code(f"{{{name}}}"), one.description, one.sample, one.fallback)
        for name, one in PLACEHOLDERS.items()
    ]
    return _table(("占位符", "含义", "例子", "不知道时"), rows)


def _presets() -> str:
    rows = []
    for item in plain(read(starter.pack_text()))["sops"]:
        trigger = item["trigger"]
        said = TRIGGERS[trigger["kind"]].sentence(trigger)
        audience = conditions.sentence(item.get("audience"))
        days = "、".join(str(step["day"]) for step in item["steps"])
        rows.append((item["name"], said, audience, days))
    return _table(("SOP", "触发", "人群", "第几天"), rows)
