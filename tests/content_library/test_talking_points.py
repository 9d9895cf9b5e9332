"""Finding the words for a situation."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from bot.errors import UserError
from content_library import talking_points
from tests.factories import Make


@pytest.fixture
def library(session: Session) -> Session:
    make = Make(session)
    make.talking_point("选钻戒看这三点", name="求婚钻戒推荐", scene="求婚")
    make.talking_point("{客户称呼}，首饰用软布擦拭", "第二种说法", name="日常保养", scene="售后")
    make.talking_point("这款很适合求婚", name="周年礼物", scene="纪念日")
    make.talking_point("折扣 100% 真实", name="价格说明", scene="异议")
    make.talking_point("旧的", name="求婚旧版", scene="求婚", is_active=False)
    return session


def _names(session: Session, query: str) -> list[str]:
    return [found.name for found in talking_points.search(session, query)]


def test_the_name_goes_before_the_scene_and_the_text(library: Session) -> None:
    assert _names(library, "求婚") == ["求婚钻戒推荐", "周年礼物"]


def test_a_synonym_finds_it_too(library: Session) -> None:
    assert _names(library, "清洗") == ["日常保养"]
    assert _names(library, "太贵") == ["价格说明"]


def test_all_words_must_fit_somewhere(library: Session) -> None:
    assert _names(library, "求婚 推荐") == ["求婚钻戒推荐"]


def test_a_part_of_a_long_question_still_finds_it(library: Session) -> None:
    assert "日常保养" in _names(library, "客人问日常怎么弄")


def test_variants_come_in_order(library: Session) -> None:
    [found] = talking_points.search(library, "日常保养")

    assert found.variants == ("{客户称呼}，首饰用软布擦拭", "第二种说法")


@pytest.mark.parametrize("query", ["", "  ", "%", "_", "' OR 1=1 --", "\\"])
def test_signs_of_sql_are_only_letters(library: Session, query: str) -> None:
    assert set(_names(library, query)) <= {"价格说明"}


@pytest.mark.parametrize("variants", [[], [" "], ["{客户}"]])
def test_a_talking_point_without_good_words_is_refused(variants: list[str]) -> None:
    with pytest.raises(UserError):
        talking_points.check_variants(variants)
