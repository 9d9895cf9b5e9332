"""How a customer is addressed, and what becomes of hostile names."""

from __future__ import annotations

import pytest

from content_library import words


@pytest.mark.parametrize(
    ("remark", "member_name", "nickname", "gender", "said"),
    [
        ("王姐 对戒", None, "小鱼", 0, "王姐"),
        ("VIP 李总", None, "x", 1, "李总"),
        ("欧阳女士", None, "x", 2, "欧阳女士"),
        ("王芳", None, "小鱼", 2, "王女士"),
        (None, "李雷", "小鱼", 1, "李先生"),
        (None, "欧阳修", "小鱼", 1, "欧阳先生"),
        (None, "李雷", "小鱼", 0, "李雷"),
        (None, "Ann Lee", "小鱼", 2, "Ann Lee"),
        ("小鱼", None, "小鱼🐟", 2, "小鱼🐟"),
        (None, None, " 小  鱼 ", 0, "小 鱼"),
        (None, None, "♥♥♥", 0, None),
        (None, None, "", 0, None),
        (None, None, None, 0, None),
        ("向日葵", None, "向日葵", 2, "向日葵"),
        ("一个小姐", None, "小鱼", 2, "小鱼"),
    ],
)
def test_a_customer_is_addressed_the_way_the_guide_would(
    remark: str | None, member_name: str | None, nickname: str | None, gender: int, said: str | None
) -> None:
    assert (
        words.address(remark=remark, member_name=member_name, nickname=nickname, gender=gender)
        == said
    )


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("a$b\\1{手机号}%(x)s", "a$b\\1{手机号}%(x)s"),
        ("上\x00海", "上海"),
        ("\u202e反了\u202c", "反了"),
        ("换\n行\t了", "换 行 了"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("\ud83d坏", "坏"),
    ],
)
def test_a_name_loses_only_what_cannot_be_seen(raw: str, kept: str) -> None:
    assert words.clean(raw) == kept


def test_a_name_of_500_characters_is_cut_between_characters() -> None:
    cut = words.clean("𠮷" * 500, 20)

    assert cut == "𠮷" * 19 + "…"


def test_a_cut_does_not_end_in_a_joiner() -> None:
    assert words.clean("ab\u200dcdef", 4) == "ab…"


def test_markup_in_a_message_to_a_guide_is_only_letters() -> None:
    assert words.plain("<a href=x>点我</a>") == "＜a href=x＞点我＜/a＞"
