"""reference, tier and price as a terminal would run them."""

from __future__ import annotations

import json
from datetime import date

from sqlalchemy.orm import Session

from bot.crm import prices
from handlers.commands import reference
from tagging import scores
from tests.factories import TODAY, Make
from tests.handlers.commands.conftest import Run


def test_the_reference_is_printed_without_any_database(daogou: Run, monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://daogou@127.0.0.1:1/daogou")
    ended = daogou("reference")
    assert ended.status == 0
    assert ended.out == reference.text()


def test_the_reference_is_written_into_its_page(daogou: Run, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(reference, "PAGE", tmp_path / "reference.md")
    assert daogou("reference", "--write").out == "已写入 docs/reference.md。\n"
    assert (tmp_path / "reference.md").read_text(encoding="utf-8") == reference.text()
    monkeypatch.setattr(reference, "PAGE", tmp_path / "gone" / "reference.md")
    daogou("reference", "--write").refused("docs")


def test_a_tier_is_explained_part_by_part(daogou: Run, session: Session) -> None:
    make = Make(session)
    contact = make.contact(make.guide(), name="王女士")
    make.purchase(contact, amount_fen=3_000_000)
    scores.refresh(session, TODAY)
    session.commit()

    ended = daogou("tier", contact.external_userid)
    # Recency 5, frequency and monetary 1, the average order at its fullest: 20 + 4 + 6 + 15.
    assert ended.out.splitlines()[0] == "王女士：B 级，45 分"
    assert "平均每单得 100 分，占 15% → 15 分" in ended.out
    told = json.loads(daogou("tier", contact.external_userid, "--json").out)
    assert told["tier"] == "B"
    assert [part["points"] for part in told["parts"]] == [100, 20, 20, 100, 0, 0]


def test_nobody_and_who_was_never_rated_are_one_line(daogou: Run, session: Session) -> None:
    contact = Make(session).contact()
    session.commit()
    daogou("tier", "wm-nobody").refused("没有找到客户")
    daogou("tier", contact.external_userid).refused("还没有评级")


def test_a_price_is_kept_for_its_day_and_a_wrong_one_for_none(daogou: Run, session) -> None:
    ended = daogou("price", "金价", "62800", "--day", "2026-11-21")
    assert ended.out == "2026-11-21 金价 628.00 元\n"
    assert prices.of_day(session, "金价", date(2026, 11, 21)) == 62_800
    daogou("price", "金价", "0").refused("价格")
    daogou("price", "金价", "贵").refused("整数")
    daogou("price", " ", "1").refused("名称")
