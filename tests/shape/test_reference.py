"""The reference says what the tables say: every entry has a name, an example and a reading."""

from __future__ import annotations

import re

import pytest

from bot.crm import brand
from handlers.commands import reference
from sop.step_kinds import CARRIERS, GUIDE_KINDS, KINDS
from sop.steps import STEP_KEYS
from sop.triggers import TRIGGERS
from tagging import conditions
from tagging.condition_names import Lookup
from tagging.conditions import FIELDS
from tagging.fields.kinds import Words

CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_the_page_in_docs_is_the_page_of_the_tables() -> None:
    """`daogou reference --write` makes it."""
    assert reference.PAGE.read_text(encoding="utf-8") == reference.text()


@pytest.mark.parametrize("key", FIELDS)
def test_the_example_of_every_field_can_be_asked_and_reads_as_a_sentence(key: str) -> None:
    field = FIELDS[key]
    op, value = field.example
    leaf = {"field": key, "op": op, "value": value}
    names = {}
    if isinstance(field.kind, Words) and field.kind.names:
        names[field.kind.names] = frozenset(value if isinstance(value, list) else [value])
    conditions.check(leaf, Lookup(**names))
    assert CHINESE.search(conditions.sentence(leaf))
    assert reference.value_words(field)
    assert f"| `{key}` |" in reference.text()


@pytest.mark.parametrize("key", TRIGGERS)
def test_the_example_of_every_trigger_has_a_sentence(key: str) -> None:
    trigger = TRIGGERS[key]
    assert CHINESE.search(trigger.sentence(reference.example_of(trigger)))
    assert trigger.once_per
    assert f"| `{key}` |" in reference.text()


def test_every_step_key_and_kind_is_described() -> None:
    assert set(reference.STEP_WORDS) == set(STEP_KEYS)
    assert set(CARRIERS) | GUIDE_KINDS == set(KINDS)
    assert all(CHINESE.search(words) for words in reference.STEP_WORDS.values())


def test_every_setting_is_described_in_the_order_of_the_pack() -> None:
    assert list(brand.LABELS) == brand.setting_names()
    assert set(brand.BrandSettings.__dataclass_fields__) == set(brand.READERS)
    for name, words, said in brand.described():
        assert CHINESE.search(words), name
        assert said, name
