"""Brand packs for the scenarios (品牌包): a small 星河珠宝, and what one scenario adds to it."""

from __future__ import annotations

from typing import Any

import yaml

SMALL: dict[str, Any] = {
    "brand": "星河珠宝",
    "settings": {"quiet_hours": "21:00-09:00", "morning": "08:47", "touch_gap_days": 0},
    "regions": [{"code": "east", "name": "华东"}],
    "stores": [
        {"code": "SH001", "name": "南京路店", "region": "east"},
        {"code": "HZ001", "name": "湖滨店", "region": "east"},
    ],
    "guides": [
        {"userid": "wangfang", "name": "王芳", "store": "SH001", "manager": True},
        {"userid": "liuyang", "name": "刘洋", "store": "SH001"},
        {"userid": "zhaomin", "name": "赵敏", "store": "HZ001"},
    ],
    "tag_groups": [
        {"name": "渠道", "tags": ["收银台", "小红书"]},
        {"name": "价值", "tags": ["高净值"]},
    ],
    "materials": [
        {"name": "保养手册", "kind": "link", "title": "保养手册", "url": "https://example.com/care"}
    ],
    "welcome_messages": [
        {"name": "默认欢迎", "default": True, "text": "您好，我是{门店名}的{导购名}。"},
        {
            "name": "收银台欢迎",
            "text": "{客户称呼}您好，感谢到店，我是{导购名}。",
            "materials": ["保养手册"],
        },
    ],
    "channel_codes": [
        {
            "name": "南京路收银台",
            "state": "sh001-cashier",
            "guides": ["wangfang"],
            "tags": ["渠道/收银台"],
            "welcome": "收银台欢迎",
            "skip_verify": True,
        }
    ],
    "talking_points": [
        {"name": "问候", "scene": "新客", "variants": ["{客户称呼}，我是{导购名}，有事找我。"]}
    ],
}


def pack(**sections: Any) -> str:
    """`SMALL` with some sections replaced (`settings` is merged), as YAML."""
    found = {**SMALL, **sections}
    found["settings"] = {**SMALL["settings"], **sections.get("settings", {})}
    return yaml.safe_dump(found, allow_unicode=True, sort_keys=False)


def sop(
    name: str = "新客首月",
    trigger: str | dict[str, Any] = "followed",
    *steps: dict[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """One SOP; without steps it has one on day 0, all day."""
    kind = {"kind": trigger} if isinstance(trigger, str) else trigger
    return {"name": name, "trigger": kind, "steps": list(steps) or [step()], **more}


def step(day: int = 0, title: str = "问候", **more: Any) -> dict[str, Any]:
    """One step with words."""
    return {"day": day, "kind": "chat", "title": title, "talking_point": "问候", **more}
