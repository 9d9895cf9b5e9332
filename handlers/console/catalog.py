"""Everything the SOP editor may offer (可选项), from the closed tables and the brand's records.

The editor's script knows no trigger, field or operator of its own; a new one in the tables is in
the form by itself.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm import brand
from bot.crm.models import Store
from handlers.console import field_catalog, record_catalog, step_words
from sop import step_kinds, triggers
from sop.anchors import WEEKDAYS
from sop.models import Carrier
from tagging.models import Tier


def read(session: Session) -> dict[str, Any]:
    """The whole catalog, ready to be written into the page as JSON."""
    return {
        "triggers": [_trigger(one) for one in triggers.TRIGGERS.values()],
        "fields": field_catalog.fields(),
        "kinds": [_kind(key, label) for key, label in step_kinds.KINDS.items()],
        "ways": _ways(session),
        "ifMissed": [{"key": key, "label": label} for key, label in step_words.IF_MISSED.items()],
        "quiet": brand.settings(session).quiet_hours,
        **record_catalog.read(session),
    }


def _trigger(entry: triggers.Trigger) -> dict[str, Any]:
    return {
        "key": entry.key,
        "label": entry.label,
        "hasMoment": entry.has_moment,
        "isFixed": entry.is_fixed,
        "fields": [
            {
                "key": field.key,
                # The editor takes money as people write it; the record keeps fen.
                "label": field.label.replace("（分）", ""),
                "kind": field.kind,
                "isRequired": field.is_required,
                "options": _options(field),
                "needs": list(field.needs) if field.needs else None,
            }
            for field in entry.fields
        ],
    }


def _options(field: triggers.Field) -> list[dict[str, Any]]:
    if field.kind == "weekday":
        return [
            {"key": str(place), "label": f"周{name}"}
            for place, name in enumerate(WEEKDAYS, start=1)
        ]
    return [{"key": key, "label": label} for key, label in field.options.items()]


def _kind(key: str, label: str) -> dict[str, Any]:
    who = step_kinds.CARRIERS.get(key)
    return {
        "key": key,
        "label": label,
        "isMachine": who == Carrier.MACHINE,
        # One text for all: nothing in it can be one customer's own.
        "isForMany": who in (None, Carrier.MASS),
        "needsWords": who != Carrier.MACHINE and key not in step_kinds.ASKS,
        "hasGift": key == "invite",
        # Moments and group messages go to everybody, so no tier has its own.
        "isForAll": key in step_kinds.GUIDE_KINDS,
        # After what a guide does by hand nothing else can be tried.
        "mayBeFollowed": who in (Carrier.MACHINE, Carrier.MASS),
    }


def _ways(session: Session) -> list[dict[str, Any]]:
    """What the kind of a step may depend on, with the cases there are."""
    in_use = session.scalars(select(Store.tier).where(Store.tier.is_not(None)).distinct())
    cases = {"tier": list(Tier), "store_tier": [*in_use]}
    return [
        {
            "key": by,
            "label": label,
            "cases": [case for case, _ in step_kinds.by_rank(dict.fromkeys(cases[by]))],
        }
        for by, label in step_kinds.BY.items()
    ]
