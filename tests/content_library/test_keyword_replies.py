"""Keyword replies: which one answers."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from bot.errors import UserError
from content_library import keyword_replies
from content_library.models import KeywordReply


def _add(session: Session, name: str, match: list[str], how: str = "contains", **more: Any) -> None:
    session.add(KeywordReply(name=name, match=match, how=how, reply=f"回复{name}", **more))
    session.flush()


def _name(session: Session, text: str) -> str | None:
    found = keyword_replies.match(session, text)
    return found.name if found else None


def test_exact_goes_before_contains_and_longer_before_shorter(session: Session) -> None:
    _add(session, "积分", ["积分"])
    _add(session, "积分兑换", ["积分兑换"])
    _add(session, "积分怎么兑换", ["积分怎么用"], "exact")

    assert _name(session, "我的积分呢") == "积分"
    assert _name(session, "想问下积分兑换规则") == "积分兑换"
    assert _name(session, "积分怎么用") == "积分怎么兑换"
    assert _name(session, "请问积分怎么用呀") == "积分"


@pytest.mark.parametrize("text", ["ＶＩＰ", "vip", " V I P ？", "「VIP」！"])
def test_width_case_blanks_and_edges_do_not_matter(session: Session, text: str) -> None:
    _add(session, "会员", ["VIP"], "exact")

    assert _name(session, text) == "会员"


@pytest.mark.parametrize("text", ["", "？？", "今天天气", "\x00"])
def test_what_matches_nothing_gets_no_reply(session: Session, text: str) -> None:
    _add(session, "积分", ["积分"])

    assert _name(session, text) is None


def test_an_inactive_reply_is_silent(session: Session) -> None:
    _add(session, "积分", ["积分"], is_active=False)

    assert _name(session, "积分") is None
    assert keyword_replies.menu(session) == []


def test_the_menu_follows_hqs_order_and_names_each_word_once(session: Session) -> None:
    _add(session, "b", ["保养", "清洗"], position=2)
    _add(session, "a", ["积分"], position=1)
    _add(session, "c", ["积分"], position=3)

    assert keyword_replies.menu(session) == ["积分", "保养"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": " "}, "name"),
        ({"match": []}, "match"),
        ({"match": ["？"]}, "match"),
        ({"how": "regex"}, "how"),
        ({"reply": " "}, "reply"),
        ({"reply": "{积分}"}, "reply"),
        ({"reply": "长" * 700}, "reply"),
    ],
)
def test_a_reply_that_could_never_work_is_refused(given: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {
        "name": "积分",
        "match": ["积分"],
        "how": "contains",
        "reply": "{积分余额}分",
    }
    keyword_replies.check(**good)

    with pytest.raises(UserError) as caught:
        keyword_replies.check(**good | given)

    assert caught.value.field == field
