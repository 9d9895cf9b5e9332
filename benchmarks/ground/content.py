"""The brand of the night (品牌内容): 30 tag rules and 50 SOP steps on top of the sample's own."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import yaml
from sqlalchemy.orm import Session

from bot.clock import at
from handlers import brand_pack
from handlers.brand_pack import sample, starter

RULES = 30
STEPS = 50
_KEPT = ("brand", "settings", "tag_groups", "tag_rules", "materials", "talking_points", "sops")


def load(session: Session, *, guides: int, day: date, presets: bool = False) -> None:
    """Load the pack as HQ does, published two months before `day`; `presets`: the starter too."""
    texts = [yaml.safe_dump(pack(guides), allow_unicode=True, sort_keys=False)]
    if presets:
        texts.append(starter.pack_text())
    for text in texts:
        brand_pack.load(session, text, by="benchmark", now=at(day - timedelta(days=60), 12))


def pack(guides: int) -> dict[str, Any]:
    """The sample pack without its people, with more rules and plans, and `guides` guides."""
    whole = yaml.safe_load(sample.pack_text())
    made = {key: whole[key] for key in _KEPT if key in whole}
    stores = max(guides // 5, 1)
    made["regions"] = [{"code": f"R{n}", "name": f"大区{n}"} for n in range(1, 21)]
    made["stores"] = [
        {"code": f"S{n}", "name": f"门店{n}", "region": f"R{1 + n % 20}", "tier": "ABC"[n % 3]}
        for n in range(1, stores + 1)
    ]
    made["guides"] = [
        {"userid": f"guide{n:06}", "name": f"导购{n}", "store": f"S{1 + n % stores}"}
        for n in range(1, guides + 1)
    ]
    _add_rules(made)
    _add_plans(made)
    return made


def _add_rules(made: dict[str, Any]) -> None:
    rules = list(made["tag_rules"])[:RULES]
    names = [f"自动{n:02}" for n in range(RULES - len(rules))]
    made["tag_groups"] = [*made.get("tag_groups", []), {"name": "量测", "tags": names}]
    for number, name in enumerate(names):
        rules.append({"name": name, "tag": f"量测/{name}", "when": _condition(number)})
    made["tag_rules"] = rules


def _condition(number: int) -> dict[str, Any]:
    """One of ten kinds of condition, sharper with each round."""
    sharper = 1 + number // 10
    kinds: list[list[tuple[str, str, Any]]] = [
        [("total_spend_fen", ">=", 1_500_000 * sharper)],
        [("days_since_purchase", "<=", 10 * sharper)],
        [("purchase_count", ">=", 5 + sharper), ("days_since_purchase", ">=", 90)],
        [("bought_category", "=", "手链"), ("missing_category", "=", "项链")],
        [("birthday_in_days", "<=", 5 + sharper)],
        [("member_level", "=", "钻卡"), ("days_since_purchase", ">=", 180 * sharper)],
        [("followed_days", "<=", 30 * sharper)],
        [("recency", ">=", 4), ("monetary", ">=", 6 - sharper)],
        [("lifecycle_stage", "=", "loyal"), ("points_balance", ">=", 5000 * sharper)],
        [("store_tier", "=", "A"), ("average_order_fen", ">=", 700_000 * sharper)],
    ]
    leaves = kinds[number % len(kinds)]
    return {"all": [{"field": name, "op": op, "value": value} for name, op, value in leaves]}


def _add_plans(made: dict[str, Any]) -> None:
    plans = list(made["sops"])
    missing = STEPS - sum(len(plan["steps"]) for plan in plans)
    points = [point["name"] for point in made["talking_points"]]
    triggers: list[dict[str, Any]] = [
        {"kind": "followed"},
        {"kind": "purchased", "min_fen": 1_000_000},
        {"kind": "purchase_anniversary", "category": "对戒"},
        {"kind": "birthday"},
        {"kind": "stage_entered", "stage": "loyal"},
    ]
    for number in range(missing):
        plans.append(
            {
                "name": f"量测计划{number:02}",
                "trigger": triggers[number % len(triggers)],
                "audience": _condition(2 * number),
                "steps": [
                    {
                        "day": number % 15,
                        "at": "10:30",
                        "kind": "chat",
                        "title": f"量测步骤{number:02}",
                        "talking_point": points[number % len(points)],
                        "priority": 30 + number,
                    }
                ],
            }
        )
    made["sops"] = plans
