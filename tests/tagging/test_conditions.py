"""What a condition may say, what it means for missing facts, and how it reads."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from bot.crm.models import Contact
from bot.errors import UserError
from tagging import conditions
from tests.factories import TODAY, Make
from tests.fixtures_db import counting

LOOKUP = conditions.Lookup(
    tags={"渠道/收银台", "价值/高净值"},
    stores={"SH001"},
    regions={"east"},
    channel_codes={"sh001-cashier"},
    categories={"对戒", "项链"},
)


def leaf(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


def matching(session: Session, condition: Any, day: date = TODAY) -> set[int]:
    return set(session.scalars(select(Contact.id).where(conditions.clause(condition, day))))


GOOD = leaf("purchase_count", ">=", 1)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({}, "不能为空"),
        ([], "不能为空"),
        ("all", "不能为空"),
        ({"all": []}, "“all”里至少要有一个条件"),
        ({"any": []}, "“any”里至少要有一个条件"),
        ({"not": []}, "“not”里至少要有一个条件"),
        ({"not": {}}, "不能为空"),
        ({"all": GOOD}, "“all”里至少要有一个条件"),
        ({"all": [GOOD], "any": [GOOD]}, "看不懂"),
        ({"none": [GOOD]}, "看不懂"),
        ({"all": [GOOD, {}]}, "不能为空"),
        (leaf("total_spent", ">", 1), "total_spend_fen"),
        ({"field": ["x"], "op": "=", "value": 1}, "条件字段"),
        (leaf("purchase_count", "in", [1]), "“消费次数”不能用"),
        (leaf("has_tag", "in", ["渠道/收银台"]), "“标签”不能用"),
        (leaf("missing_category", "!=", "项链"), "可以用 =、in"),
        (leaf("purchase_count", None, 1), "不能用"),
        ({"field": "purchase_count", "op": "="}, "缺少 value"),
        ({**GOOD, "extra": 1}, "看不懂“extra”"),
        (leaf("total_spend_fen", ">", "5000"), "“累计消费”的值须是整数"),
        (leaf("total_spend_fen", ">", 5.5), "须是整数"),
        (leaf("total_spend_fen", ">", True), "须是整数"),
        (leaf("total_spend_fen", ">", None), "须是整数"),
        (leaf("total_spend_fen", ">", 10**20), "之间"),
        (leaf("days_since_purchase", "<", -1), "之间"),
        (leaf("days_since_purchase", "<", 10**9), "之间"),
        (leaf("recency", ">", 6), "之间"),
        (leaf("purchase_count", "between", 3), "[下限, 上限]"),
        (leaf("purchase_count", "between", [3]), "[下限, 上限]"),
        (leaf("purchase_count", "between", [3, 1]), "下限 3 大于上限 1"),
        (leaf("member_level", "=", 3), "“会员等级”的值须是文字"),
        (leaf("member_level", "=", "  "), "1 到 100 个字"),
        (leaf("member_level", "=", "a\x00b"), "1 到 100 个字"),
        (leaf("member_level", "=", "\ud800"), "1 到 100 个字"),
        (leaf("member_level", "in", "金卡"), "不为空的列表"),
        (leaf("member_level", "in", []), "不为空的列表"),
        (leaf("lifecycle_stage", "=", "dorment"), "是不是“dormant”"),
        (leaf("gender", "=", "女"), "没有“女”这个选项"),
        (leaf("has_tag", "=", "渠道/收银"), "是不是“渠道/收银台”"),
        (leaf("store", "=", "SH01"), "是不是“SH001”"),
        (leaf("store", "in", ["SH001", "BJ999"]), "没有“BJ999”这个门店"),
        (leaf("region", "=", "eest"), "是不是“east”"),
        (leaf("channel_code", "=", "sh001-cashie"), "是不是“sh001-cashier”"),
        (leaf("bought_category", "=", "项连"), "是不是“项链”"),
    ],
)
def test_a_wrong_condition_is_refused_in_one_clear_sentence(condition, words) -> None:
    with pytest.raises(UserError) as refused:
        conditions.check(condition, LOOKUP)
    assert words in refused.value.message_zh
    assert refused.value.message_zh.endswith("。")


def test_conditions_nested_without_end_are_refused() -> None:
    deep: Any = GOOD
    for _ in range(2000):
        deep = {"not": deep}
    with pytest.raises(UserError, match="嵌套"):
        conditions.check(deep, LOOKUP)
    with pytest.raises(UserError, match="最多写"):
        conditions.check({"any": [GOOD] * 101}, LOOKUP)


def test_sql_is_not_made_of_a_condition_that_check_would_refuse() -> None:
    for empty in ({}, {"all": []}, {"not": []}):
        with pytest.raises(UserError):
            conditions.clause(empty, TODAY)


def test_a_brand_without_a_category_list_takes_any_category() -> None:
    conditions.check(leaf("bought_category", "=", "金条"), conditions.Lookup())


def test_every_name_known_in_the_database_is_accepted(session: Session) -> None:
    make = Make(session)
    store = make.store(code="SH001", region_id=make.region(code="east").id)
    make.channel_code(make.guide(store), state="cashier")
    make.tag("渠道/收银台")
    make.tag("渠道/旧", is_active=False)
    lookup = conditions.load_lookup(session)
    conditions.check(
        {
            "all": [
                leaf("store", "=", "SH001"),
                leaf("region", "=", "east"),
                leaf("channel_code", "=", "cashier"),
                leaf("has_tag", "=", "渠道/收银台"),
            ]
        },
        lookup,
    )
    with pytest.raises(UserError, match="旧"):
        conditions.check(leaf("has_tag", "=", "渠道/旧"), lookup)


def test_text_from_hq_is_a_bound_parameter_and_never_sql(session: Session) -> None:
    evil = "x') OR 1=1 --"
    contact = Make(session).contact()
    for field in ("member_level", "bought_category", "store", "has_tag", "channel_code"):
        made = conditions.clause(leaf(field, "=", evil), TODAY)
        assert "1=1" not in str(made.compile(dialect=postgresql.dialect()))
        assert matching(session, leaf(field, "=", evil)) == set()
    assert matching(session, leaf("has_tag", "!=", evil)) == {contact.id}


def test_not_bought_includes_people_who_never_bought_and_missing_does_not(
    session: Session,
) -> None:
    make = Make(session)
    never, ring, necklace = make.contact(), make.contact(), make.contact()
    make.score(ring, purchase_count=1, bought_categories=["对戒"])
    make.score(necklace, purchase_count=1, bought_categories=["项链"])

    assert matching(session, leaf("bought_category", "!=", "项链")) == {never.id, ring.id}
    assert matching(session, {"not": leaf("bought_category", "=", "项链")}) == {never.id, ring.id}
    assert matching(session, leaf("missing_category", "=", "项链")) == {ring.id}


def test_a_missing_fact_matches_no_comparison_but_matches_its_negation(session: Session) -> None:
    make = Make(session)
    gold, none = make.contact(), make.contact()
    make.member(gold, level="金卡")

    assert matching(session, leaf("member_level", "!=", "银卡")) == {gold.id}
    assert matching(session, leaf("member_level", "not_in", ["银卡"])) == {gold.id}
    assert matching(session, {"not": leaf("member_level", "=", "金卡")}) == {none.id}
    assert matching(session, {"not": leaf("gender", "=", "female")}) == {gold.id, none.id}
    assert matching(session, leaf("gender", "!=", "female")) == set()


def test_a_birthday_on_the_29th_of_february_is_kept_on_the_28th_in_common_years(
    session: Session,
) -> None:
    make = Make(session)
    leap, lunar = make.contact(), make.contact()
    make.member(leap, birth_month=2, birth_day=29)
    make.member(lunar, birth_month=8, birth_day=15, birthday_is_lunar=True)

    today = leaf("birthday_in_days", "=", 0)
    assert matching(session, today, date(2027, 2, 28)) == {leap.id}
    assert matching(session, today, date(2027, 3, 1)) == set()
    assert matching(session, today, date(2028, 2, 28)) == set()
    assert matching(session, today, date(2028, 2, 29)) == {leap.id}
    # 中秋 2026 and 2027.
    assert matching(session, today, date(2026, 9, 25)) == {lunar.id}
    assert matching(session, leaf("birthday_in_days", "<=", 7), date(2027, 9, 8)) == {lunar.id}


def test_days_are_compared_as_dates_that_an_index_can_use() -> None:
    made = conditions.clause(leaf("days_since_purchase", ">", 365), TODAY)
    compiled = made.compile(dialect=postgresql.dialect())
    assert "contact_score.last_purchased_on < " in str(compiled)
    assert TODAY - timedelta(days=365) in compiled.params.values()


def test_conditions_on_the_same_row_are_one_look_at_it() -> None:
    condition = {
        "all": [
            leaf("total_spend_fen", ">=", 1),
            leaf("days_since_purchase", "<", 365),
            {"any": [leaf("purchase_count", ">", 3), leaf("monetary", "=", 5)]},
            leaf("member_level", "=", "金卡"),
        ]
    }
    text = str(conditions.clause(condition, TODAY).compile(dialect=postgresql.dialect()))
    assert text.count("FROM contact_score") == 1
    assert text.count("FROM member") == 1


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (None, "所有客户"),
        (leaf("total_spend_fen", ">=", 5_000_000), "累计消费不少于 5 万元"),
        (leaf("total_spend_fen", ">=", 128_050), "累计消费不少于 1,280.50 元"),
        (leaf("days_since_purchase", "<", 365), "距上次消费少于 365 天"),
        (leaf("purchase_count", "between", [1, 3]), "消费次数在 1 次到 3 次之间"),
        (leaf("has_tag", "=", "渠道/收银台"), "有标签“渠道/收银台”"),
        (leaf("has_tag", "!=", "渠道/收银台"), "没有标签“渠道/收银台”"),
        (leaf("bought_category", "!=", "项链"), "没有买过项链（含从未消费的客户）"),
        (leaf("missing_category", "=", "项链"), "消费过，但没有买过项链"),
        (leaf("member_level", "!=", "金卡"), "会员等级不是金卡（没有等级的不算）"),
        (leaf("lifecycle_stage", "in", ["active", "loyal"]), "生命周期是活跃或忠诚"),
        (
            {
                "all": [
                    leaf("total_spend_fen", ">=", 5_000_000),
                    {"any": [leaf("recency", "=", 5), leaf("gender", "=", "female")]},
                    {"not": leaf("has_tag", "=", "渠道/收银台")},
                ]
            },
            "累计消费不少于 5 万元，且（最近消费评分为 5 分，或性别是女），且没有标签“渠道/收银台”",
        ),
        ({"not": leaf("member_level", "=", "金卡")}, "并非“会员等级是金卡”"),
        (
            {"not": {"all": [leaf("has_tag", "=", "渠道/收银台"), leaf("refunded", "=", True)]}},
            "并非“有标签‘渠道/收银台’，且有过退款”",
        ),
    ],
)
def test_a_condition_reads_as_hq_would_say_it(condition, words) -> None:
    assert conditions.sentence(condition) == words


def test_readings_say_what_is_known_about_a_person(session: Session) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    make.score(
        contact,
        purchase_count=2,
        total_spend_fen=3_000_000,
        last_purchased_on=TODAY - timedelta(days=40),
        bought_categories=["对戒"],
    )
    make.member(contact, birth_month=11, birth_day=25)
    parts = conditions.readings(
        session,
        {
            "all": [
                leaf("total_spend_fen", ">=", 5_000_000),
                leaf("days_since_purchase", "<=", 60),
                leaf("birthday_in_days", "<=", 7),
                leaf("has_tag", "=", "渠道/收银台"),
                leaf("missing_category", "=", "项链"),
                {"any": [leaf("member_level", "=", "金卡"), leaf("purchase_count", ">", 1)]},
            ]
        },
        contact.id,
        TODAY,
    )
    assert [(one.label, one.actual, one.holds) for one in parts] == [
        ("累计消费", "3 万元", False),
        ("距上次消费", "40 天", True),
        ("距下次生日", "11 月 25 日，还有 4 天", True),
        ("标签", "没有", False),
        ("还没买过的品类", "买过对戒", True),
        ("会员等级、消费次数", "会员等级：没有等级的；消费次数：2 次", True),
    ]
    assert conditions.readings(session, GOOD, 10**9, TODAY) == []


def test_what_is_known_ends_the_sentence_of_what_is_wanted(session: Session) -> None:
    make = Make(session)
    contact = make.contact(make.guide())
    make.score(contact, purchase_count=2, bought_categories=["对戒"])
    make.member(contact, birth_month=11, birth_day=25, points=-30)
    parts = conditions.readings(
        session,
        {
            "all": [
                leaf("purchase_count", ">=", 3),
                leaf("points_balance", ">", 0),
                leaf("member_level", "=", "金卡"),
                leaf("days_since_purchase", "<=", 60),
                leaf("has_tag", "=", "渠道/收银台"),
                leaf("missing_category", "=", "对戒"),
                leaf("refunded", "=", True),
                leaf("sop_active", "=", "新客"),
                {"any": [leaf("member_level", "=", "金卡"), leaf("purchase_count", ">", 5)]},
            ]
        },
        contact.id,
        TODAY,
    )
    assert [f"{one.wanted}，{one.now}" for one in parts] == [
        "消费次数不少于 3 次，现在是 2 次",
        "积分余额超过 0 分，现在是 -30 分",
        "会员等级是金卡，没有等级",
        "距上次消费不超过 60 天，从未消费",
        "有标签“渠道/收银台”，现在没有",
        "消费过，但没有买过对戒，买过对戒",
        "有过退款，现在没有退款",
        "正在“新客”里，不在任何 SOP 里",
        "会员等级是金卡，或消费次数超过 5 次，现在会员等级：没有等级的；消费次数：2 次",
    ]


def test_every_field_has_its_words_operators_and_gap() -> None:
    for key, field in conditions.FIELDS.items():
        assert field.key == key
        assert field.label
        assert field.operators


SHOPS = {"all": [leaf("store", "=", "SH001"), leaf("region", "in", ["east", "west"])]}


def test_a_sentence_says_the_stores_name_and_not_its_code(session: Session) -> None:
    make = Make(session)
    make.store(code="SH001", name="南京路店")
    make.region(code="east", name="华东")
    make.region(code="south", name="华南")
    make.channel_code(state="sh001-cashier", name="南京路收银台")
    labels = {key: conditions.FIELDS[key].label for key in ("store", "region")}
    told = f"{labels['store']}是南京路店，且{labels['region']}是华东或 west"
    assert conditions.sentence(SHOPS, conditions.load_lookup(session)) == told
    assert conditions.sentence(SHOPS, conditions.names_of(session, None, SHOPS)) == told
    code = leaf("channel_code", "!=", "sh001-cashier")
    assert "南京路收银台" in conditions.sentence({"not": code}, conditions.names_of(session, code))
    assert "SH001" in conditions.sentence(SHOPS)


def test_names_are_asked_for_only_where_a_condition_mentions_a_code(engine, session) -> None:
    with counting(engine) as seen:
        conditions.names_of(session, None, GOOD, {"field": "gone", "op": "=", "value": 1})
    assert seen.count == 0
    with counting(engine) as seen:
        conditions.names_of(session, SHOPS, SHOPS)
    assert seen.count == 2


def test_readings_say_names_for_what_is_wanted_and_for_what_is_known(session: Session) -> None:
    make = Make(session)
    wanted, own = make.store(code="SH001", name="南京路店"), make.store(code="SH002", name="徐汇店")
    assert wanted.id
    contact = make.contact(make.guide(own))
    either = leaf("store", "in", ["SH001", "SH002"])
    (one,) = conditions.readings(session, {"not": either}, contact.id, TODAY)
    assert "南京路店或徐汇店" in one.wanted
    assert "徐汇店" in one.actual
    assert "SH00" not in one.wanted + one.actual
