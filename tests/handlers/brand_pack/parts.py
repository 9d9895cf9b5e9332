"""Small packs, loaded into one session: `publishes`, `refusal`, `dumped`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import yaml
from sqlalchemy.orm import Session

from handlers import brand_pack
from tests.factories import NOON

HEAD = """\
brand: 星河珠宝
stores: [{code: SH001, name: 南京路店}]
guides: [{userid: wangfang, name: 王芳, store: SH001}]
tag_groups: [{name: 价值, tags: [高净值, 复购]}]
talking_points: [{name: 问候, variants: [您好]}]
"""
#: The line after HEAD.
NEXT = 6


def publishes(session: Session, text: str, now: datetime = NOON) -> int:
    """Load a pack; returns how many SOP versions it published."""
    loaded = brand_pack.load(session, text, by="总部", now=now)
    session.flush()
    session.expire_all()
    return loaded.published


def refusal(session: Session, text: str) -> str:
    """The sentence with which a pack is refused; nothing of it stays."""
    savepoint = session.begin_nested()
    with pytest.raises(brand_pack.PackError) as caught:
        brand_pack.load(session, text, by="总部", now=NOON)
    savepoint.rollback()
    return caught.value.message_zh


def dumped(session: Session) -> Any:
    return yaml.safe_load(brand_pack.dump(session))


def sops(*steps: str, trigger: str = "{kind: followed}", more: str = "") -> str:
    """HEAD and one SOP whose steps are given as flow mappings, one a line from line 9 on."""
    written = "".join(f"  - {step}\n" for step in steps)
    return f"{HEAD}sops:\n- name: 新客\n  trigger: {trigger}\n{more}  steps:\n{written}"
