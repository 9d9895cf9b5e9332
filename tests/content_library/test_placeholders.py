"""Placeholders: a closed table, one pass, no holes."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from bot.errors import UserError
from content_library import placeholders
from content_library.placeholders import PLACEHOLDERS, PlaceholderFacts, check, fill
from tests.factories import TODAY, Make
from tests.fixtures_db import counting

NOBODY = PlaceholderFacts()


def test_every_placeholder_says_what_it_is_and_never_leaves_a_hole() -> None:
    for name, placeholder in PLACEHOLDERS.items():
        assert placeholder.name == name
        assert placeholder.description
        assert placeholder.sample
        assert placeholder.fallback
        assert fill(f"前{{{name}}}后", NOBODY) != "前后"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{客户称呼}您好，我是小王", "您好，我是小王"),
        ("{客户称呼}，您好，我是小王", "您好，我是小王"),
        ("{客户称呼}，恭喜您", "您好，恭喜您"),
        ("{客户称呼}，周末愉快", "您好，周末愉快"),
        ("早上好！{客户称呼}，今天降温", "早上好！您好，今天降温"),
        ("想念{客户称呼}，来看看", "想念您，来看看"),
        ("{客户称呼}的戒指", "您的戒指"),
        ("距上次来已经{距上次购买天数}天了", "距上次来已经好些天了"),
        ("您{上次购买日期}买的{上次购买品名}还好吗", "您此前买的这件宝贝还好吗"),
        ("祝您{生日}快乐", "祝您生日快乐"),
        ("尊敬的{会员等级}", "尊敬的会员"),
        ("我是{门店名}的{导购名}", "我是我们店的您的专属导购"),
        ("您有{积分余额}积分", "您有若干积分"),
    ],
)
def test_a_missing_fact_leaves_a_sentence(text: str, said: str) -> None:
    assert fill(text, NOBODY) == said


def test_what_is_filled_in_is_never_read_again() -> None:
    hostile = PlaceholderFacts(address="{手机号}$1\\1{导购名}", guide_name="{客户称呼}")

    assert fill("{客户称呼}|{导购名}", hostile) == "{手机号}$1\\1{导购名}|{客户称呼}"


@pytest.mark.parametrize(
    "text", ["{{7*7}}", "${7*7}", "{0.__class__}", "%(x)s", "#{1}", "$1", "\\1", "{客户姓名}"]
)
def test_template_tricks_stay_letters(text: str) -> None:
    assert fill(text, PlaceholderFacts(address="王女士")) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{客户称乎}您好", "{客户称呼}"),
        ("{积分}", "{积分余额}"),
        ("{xyz}", "没有叫「{xyz}」的占位符"),
        ("{}", "没有叫"),
        ("{{客户称呼}}", "多余的花括号"),
        ("｛客户称呼｝您好", "多余的花括号"),
        ("{客户称呼您好", "多余的花括号"),
    ],
)
def test_words_that_cannot_be_filled_are_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        check(text, field="text")

    assert words in caught.value.message_zh
    assert caught.value.field == "text"


def test_blanks_inside_braces_do_not_matter() -> None:
    check("{ 客户称呼 }您好")
    assert fill("{ 客户称呼 }您好", PlaceholderFacts(address="王女士")) == "王女士您好"


def test_facts_come_from_the_customers_own_records(session: Session) -> None:
    make = Make(session)
    make.brand()
    guide = make.guide(make.store(name="南京路店"), name="张三")
    contact = make.contact(None, name="小鱼", gender=2)
    make.follow(guide, contact, followed_on=TODAY - timedelta(days=30), remark="王芳")
    make.member(
        contact,
        member_no="88001234",
        level="金卡会员",
        points=1280,
        birth_month=8,
        birth_day=15,
        birthday_is_lunar=True,
        wedding_month=5,
        wedding_day=20,
    )
    make.purchase(contact, on=TODAY - timedelta(days=400), name="旧项链")
    make.purchase(contact, on=TODAY - timedelta(days=49), name="星芒对戒")
    make.purchase(contact, on=TODAY - timedelta(days=2), name="退了的", refunded_fen=1_000_000)

    facts = placeholders.load_facts(session, [(contact.id, guide.id)], TODAY)

    said = fill(
        "{客户称呼}/{客户昵称}/{导购名}/{门店名}/{品牌名}/{上次购买品名}/{上次购买品类}/{上次购买日期}/"
        "{距上次购买天数}/{相识天数}/{生日}/{结婚纪念日}/{积分余额}/{会员等级}/{会员号}",
        facts[contact.id, guide.id],
    )
    assert said == (
        "王女士/小鱼/张三/南京路店/星河珠宝/星芒对戒/对戒/10月3日/"
        "49/30/农历八月十五/5月20日/1,280/金卡会员/****1234"
    )


def test_a_purchase_of_another_year_says_its_year(session: Session) -> None:
    make = Make(session)
    guide = make.guide()
    contact = make.contact(guide)
    make.purchase(contact, on=date(2024, 3, 1))

    facts = placeholders.contact_facts(session, contact.id, guide.id, TODAY)

    assert fill("{上次购买日期}", facts) == "2024年3月1日"


def test_facts_take_one_statement_for_a_hundred_pairs_as_for_two(
    session: Session, engine: Engine
) -> None:
    make = Make(session)
    guide = make.guide()
    pairs = [(make.contact(guide).id, guide.id) for _ in range(100)]

    for some in (pairs[:2], pairs):
        with counting(engine) as seen:
            assert len(placeholders.load_facts(session, some, TODAY)) == len(some)
        assert seen.count == 1


def test_a_stranger_still_hears_of_the_brand(session: Session) -> None:
    Make(session).brand()

    facts = placeholders.contact_facts(session, None, None, TODAY)

    assert fill("{客户称呼}您好，这里是{品牌名}", facts) == "您好，这里是星河珠宝"
