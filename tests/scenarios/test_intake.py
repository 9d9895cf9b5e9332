"""What comes in bulk: CSV files with their rejects, and the first sync, killed and gone on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bot.crm import imports, sync
from bot.crm.models import Contact, FollowRelation, Member, Purchase
from bot.errors import WeComError
from bot.sandbox import knobs
from tests.scenarios.packs import pack
from tests.world import World

MEMBERS = """会员号,姓名,等级,积分,生日
M1,林悦,金卡,880,1990-05-20
M2,王小雨,银卡,很多,1991-01-01
M3,=cmd,银卡,1,02-30
M4,陈晨,普通,5,12-01
"""


def _import(world: World, kind: str, path: Path) -> imports.ImportResult:
    return imports.import_file(
        world.bot.sessions,
        kind,
        path,
        path.with_suffix(".rejected.csv"),
        now=world.now(),
        secret_key=world.bot.settings.secret_key,
    )


def test_good_rows_are_kept_and_bad_ones_are_given_back_with_the_reason(
    world: World, tmp_path: Path
) -> None:
    world.load(pack())
    path = tmp_path / "members.csv"
    path.write_text(MEMBERS, encoding="utf-8")
    found = _import(world, "members", path)
    assert (found.accepted, found.rejected) == (2, 2)
    assert sorted(world.scalars(select(Member.member_no))) == ["M1", "M4"]
    with path.with_suffix(".rejected.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [(row["会员号"], row["行号"]) for row in rows] == [("M2", "3"), ("M3", "4")]
    assert all(row["原因"].endswith("。") for row in rows)
    assert not rows[1]["姓名"].startswith("=")


def test_the_same_file_twice_is_once(world: World, tmp_path: Path) -> None:
    world.load(pack())
    path = tmp_path / "purchases.csv"
    path.write_text(
        "会员号,订单号,购买时间,门店,商品,品类,订单金额\n"
        "M1,O1,2029-03-04 15:00,SH001,星芒对戒,对戒,12800\n",
        encoding="gb18030",
    )
    first, again = _import(world, "purchases", path), _import(world, "purchases", path)
    assert (first.accepted, first.rejected) == (1, 0)
    assert (again.accepted, again.duplicate) == (0, 1)
    assert world.scalars(select(Purchase.amount_fen)) == [1_280_000]


def test_imported_members_are_joined_when_they_become_friends(world: World, tmp_path: Path) -> None:
    world.load(pack())
    path = tmp_path / "members.csv"
    path.write_text("会员号,unionid,等级\nM9,oLin,黑卡\n", encoding="utf-8")
    assert _import(world, "members", path).accepted == 1
    person = world.person("林悦", unionid="oLin")
    person.adds()
    rows = world.rows(
        select(Contact.external_userid, Member.level)
        .join(Member, Member.contact_id == Contact.id)
        .where(Contact.merged_into_id.is_(None))
    )
    assert rows == [(person.id, "黑卡")]


def _sync(world: World) -> sync.SyncCounts:
    bot = world.bot
    return sync.sync(bot.gateway, bot.sessions, bot.clock, secret_key=bot.settings.secret_key)


def test_a_sync_that_broke_goes_on_where_it_was(world: World) -> None:
    world.load(pack())
    for number in range(5):
        person = world.person(f"老客{number}")
        for userid in ("wangfang", "liuyang"):
            world.town.befriend(userid, person.id)
    api = "externalcontact/batch/get_by_user"
    knobs.add_fault(world.town, api, "errcode", 48002, times=None)
    with pytest.raises(WeComError):
        _sync(world)
    knobs.clear_faults(world.town)
    found = _sync(world)
    assert (found.contacts, found.relations) == (5, 10)
    assert _sync(world) == found
    assert world.scalars(select(func.count()).select_from(FollowRelation)) == [10]
    assert world.effects("welcome_sent") == []
    assert world.guide.messages() == []
