"""CSV import: every row is kept once or comes back with its reason."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.crm import imports
from bot.crm.models import (
    Coupon,
    Guide,
    GuideDayOff,
    Member,
    PointsChange,
    Purchase,
    PurchaseLine,
    Visit,
)
from bot.errors import UserError
from tests.factories import Make

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
KEY = "a secret key of the tests"


@pytest.fixture
def load(sessions, tmp_path: Path):
    def run(kind: str, words: str, encoding: str = "utf-8"):
        path, rejects = tmp_path / "file.csv", tmp_path / "file.rejected.csv"
        path.write_bytes(words.encode(encoding))
        result = imports.import_file(
            sessions, kind, path, rejects, now=NOW, secret_key=KEY, progress=steps.append2
        )
        rows = []
        if rejects.exists():
            rows = list(csv.reader(rejects.read_text("utf-8-sig").splitlines()))
        return result, rows

    class Steps(list):
        def append2(self, done: int, total: int) -> None:
            self.append((done, total))

    steps = Steps()
    run.steps = steps
    return run


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_members_come_in_whatever_encoding_and_only_once(load, session, encoding):
    words = (
        "会员号,姓名,手机号,会员等级,积分,生日,=1+1\r\n"
        'M1,王芳,13800001234,金卡,"1,200",1990/5/20,x\r\n'
        "M2,=cmd,12,银卡,1,05-20,y\r\n"
        "\r\n"
        "M3,李雷,,银卡,一百,5月20日,z\r\n"
        "M4,韩梅,,银卡,3,5月20日,z\r\n"
    )
    result, rejected = load("members", words, encoding)
    assert (result.accepted, result.duplicate, result.rejected) == (2, 0, 2)
    assert rejected[0][-3:] == ["'=1+1", "行号", "原因"]
    assert [row[-2] for row in rejected[1:]] == ["5", "3"] or [row[-2] for row in rejected[1:]] == [
        "3",
        "5",
    ]
    assert any("mobile" in row[-1] for row in rejected)
    assert any("积分" in row[-1] for row in rejected)
    assert any(row[1] == "'=cmd" for row in rejected)
    people = {m.member_no: m for m in session.scalars(select(Member))}
    assert (people["M1"].points, people["M1"].birth_year, people["M1"].birth_day) == (
        1200,
        1990,
        20,
    )
    assert (people["M4"].birth_year, people["M4"].birth_month) == (None, 5)
    again, _ = load("members", words, encoding)
    assert (again.accepted, again.duplicate, again.rejected) == (0, 2, 2)


def test_orders_of_several_rows_are_one_order_to_the_fen(load, session):
    words = (
        "订单号,购买时间,会员号,门店,商品名称,品类,商品金额,订单金额\n"
        'O1,2026-11-01 10:00,M1,S1,对戒,对戒,"12,800.10",\n'
        "O1,2026-11-01 10:00,M1,S1,项链,项链,¥99,\n"
        "O2,2026/11/02,M1,S1,手镯,黄金,1,0.5\n"
        "O1,2026-11-01 10:00,M1,S1,耳钉,耳饰,1,\n"
        "O3,昨天,M1,S1,手镯,黄金,1,\n"
        "O4,2026-11-02,M1,S1,手镯,黄金,1.005,\n"
        "O5,2026-11-02,,S1,手镯,黄金,1,\n"
    )
    result, rejected = load("purchases", words)
    assert (result.accepted, result.rejected) == (3, 4)
    orders = {p.order_no: p for p in session.scalars(select(Purchase))}
    assert {n: p.amount_fen for n, p in orders.items()} == {"O1": 1_289_910, "O2": 50}
    assert orders["O1"].purchased_at == datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
    assert len(session.scalars(select(PurchaseLine)).all()) == 3
    reasons = {row[0]: row[-1] for row in rejected[1:]}
    assert "放在一起" in reasons["O1"]
    assert "昨天" in reasons["O3"]
    assert "金额" in reasons["O4"]
    assert "who" in reasons["O5"]
    again, _ = load("purchases", words)
    assert (again.accepted, again.duplicate) == (0, 3)


def test_guides_are_kept_by_their_account_and_need_a_known_store(load, session):
    Make(session).store(code="S1")
    session.commit()
    words = (
        "账号,姓名,门店编码,店长\n"
        "zhangsan,张三,S1,是\n"
        "ZhangSan,张三丰,S1,否\n"
        "lisi,李四,S9,\n"
        "wang wu,王五,S1,\n"
        "zhaoliu,赵六,S1,也许\n"
    )
    result, rejected = load("guides", words)
    assert (result.accepted, result.rejected) == (2, 3)
    [guide] = session.scalars(select(Guide)).all()
    assert (guide.name, guide.is_manager) == ("张三丰", False)
    assert any("S9" in row[-1] for row in rejected)


def test_a_long_file_goes_in_chunks_with_progress(load):
    words = "member_no,name\n" + "".join(f"M{n},客户{n}\n" for n in range(2500))
    result, _ = load("members", words)
    assert result.accepted == 2500
    assert load.steps == [(1000, 2500), (2000, 2500), (2500, 2500), (2500, 2500)]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("姓名\n王芳\n", "会员号"),
        ("", "会员号"),
        ("会员号,会员卡号\n1,2\n", "两列"),
        ("会员号\n\x00\n", "CSV"),
    ],
)
def test_a_file_that_cannot_be_read_gets_one_sentence(load, words, named):
    with pytest.raises(UserError, match=named):
        load("members", words)


def test_coupons_points_and_visits_come_once_with_their_times(load, session):
    files = {
        "coupons": (
            "会员号,券号,券名,状态,面额,到期日,时间,订单号\n"
            "M1,K1,生日礼券,已发放,50.00,2026/12/31,2026-11-01 10:00,\n"
            "M1,K1,,已核销,,,2026-11-05 10:00,O7\n"
            "M1,K2,,丢失,,,2026-11-05 10:00,\n"
        ),
        "points": (
            "会员号,积分变动,积分余额,到期日,原因,时间\n"
            'M1,"1,200",1200,2026-12-31,消费,2026-11-01\n'
            "M1,-200,1000,,兑换,2026-11-02\n"
            "M1,一百,,,,2026-11-02\n"
        ),
        "visits": (
            "手机号,门店,类型,时间\n"
            "13800001234,S1,,2026-11-03 15:00\n"
            "13800001234,S1,活动,2026-11-04 15:00\n"
            "13800001234,S1,活动,某天\n"
        ),
    }
    for _ in range(2):
        for kind, words in files.items():
            result, rejected = load(kind, words)
            assert (result.accepted + result.duplicate, result.rejected) == (2, 1)
            assert len(rejected) == 2
    assert (result.accepted, result.duplicate) == (0, 2)
    coupon = session.scalars(select(Coupon)).one()
    assert (coupon.state, coupon.value_fen, coupon.order_no) == ("redeemed", 5_000, "O7")
    assert (coupon.issuer, coupon.issued_on.day, coupon.redeemed_on.day) == ("pos", 1, 5)
    left = select(PointsChange.remaining).where(PointsChange.delta > 0)
    assert (session.scalar(left), session.scalar(select(Member.points))) == (1_000, 1_000)
    kinds = session.scalars(select(Visit.kind).order_by(Visit.visited_at)).all()
    assert kinds == ["到店", "活动"]


def test_days_off_are_kept_once_for_guides_that_are_known(load, session):
    make = Make(session)
    guide = make.guide(userid="WangFang")
    session.commit()
    words = (
        "账号,休息日\nwangfang,2026-11-27\nWangFang,11月27日\nwangfang,2026/11/27\n"
        "nobody,2026-11-27\nwangfang,2026-11-28\n"
    )
    result, rejected = load("days_off", words)
    assert (result.accepted, result.duplicate, result.rejected) == (2, 1, 2)
    assert {row[-1] for row in rejected[1:]} == {
        "没有导购“nobody”。",
        "休息日“11月27日”不是日期，例如 2026-11-21。",
    }
    kept = session.scalars(select(GuideDayOff.day).where(GuideDayOff.guide_id == guide.id)).all()
    assert sorted(day.day for day in kept) == [27, 28]


def test_a_level_that_a_later_file_changed_can_be_changed_back_by_the_first_file(
    sessions, session, tmp_path
):
    def load(level, hours):
        path = tmp_path / "file.csv"
        path.write_text(f"会员号,会员等级\nM1,{level}\nM2,银卡\n", encoding="utf-8")
        now = NOW + timedelta(hours=hours)
        rejects = tmp_path / "rejects.csv"
        result = imports.import_file(sessions, "members", path, rejects, now=now, secret_key=KEY)
        session.expire_all()
        held = session.scalars(select(Member.level).where(Member.member_no == "M1")).one()
        session.rollback()
        return held, result.accepted, result.duplicate

    told = [("金卡", 2), ("银卡", 1), ("金卡", 1), ("金卡", 0), ("银卡", 1), ("银卡", 0)]
    for hours, (level, accepted) in enumerate(told):
        assert load(level, hours) == (level, accepted, 2 - accepted)
