"""The contract's example with one value spoiled: a clear line, or a pack that loads as ever."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import yaml
from sqlalchemy.orm import Session

from bot.crm.models import Store
from handlers import brand_pack
from handlers.brand_pack import PackError
from tests.factories import NOON
from tests.handlers.brand_pack.parts import publishes
from tests.handlers.brand_pack.test_round_trip import EXAMPLE

_SPOILED: tuple[Any, ...] = (
    None, True, 0, -1, 10**17, 1.5, "", " ", "on", "10:00", "a\0b", "\ud800", "长" * 5000, "{没有}",
    "{", "=1+1", "a\nb", [], [None], [[]], ["收银台"], {}, {"kind": "followed"}, {"field": "x"},
    [{"day": 0}], "zhangsan", "价值/高净值", "保养手册",
)  # fmt: skip


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    pairs = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    found = [(node, key) for key, _ in pairs]
    for _, inner in pairs:
        if isinstance(inner, dict | list):
            found += _places(inner)
    return found


def _spoil(dice: random.Random) -> str:
    pack = copy.deepcopy(yaml.safe_load(EXAMPLE))
    node, key = dice.choice(_places(pack))
    kind = dice.choice(["replace", "replace", "replace", "remove", "double", "rename"])
    if kind == "replace":
        node[key] = dice.choice(_SPOILED)
    elif kind == "remove":
        del node[key]
    elif kind == "double" and isinstance(node, list):
        node.append(copy.deepcopy(node[key]))
    elif isinstance(node, dict):
        node[dice.choice(["<<", "nmae", "key", "on", "1"])] = node.pop(key)
    return yaml.safe_dump(pack, allow_unicode=True, sort_keys=False)


@pytest.mark.parametrize("seed", range(2))
def test_a_spoiled_pack_is_refused_in_one_sentence_or_loads_twice(
    session: Session, seed: int
) -> None:
    dice = random.Random(seed)
    refused: list[PackError] = []
    for _ in range(50):
        text = _spoil(dice)
        savepoint = session.begin_nested()
        try:
            brand_pack.load(session, text, by="总部", now=NOON)
        except PackError as error:
            refused.append(error)
        else:
            first = brand_pack.dump(session)
            assert publishes(session, text) == 0, text
            assert publishes(session, first) == 0, text
            assert brand_pack.dump(session) == first, text
        savepoint.rollback()
        session.expire_all()
    assert len(refused) > 10
    for error in refused:
        assert error.message_zh.startswith(f"第 {error.line} 行：")
        assert "\n" not in error.message_zh
        assert error.line > 0
    assert session.query(Store).count() == 0
