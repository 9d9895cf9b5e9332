"""tier, price: what a customer is worth and why, and the prices of a day."""

from __future__ import annotations

import argparse
import dataclasses

from bot.crm import prices
from handlers.commands.arguments import day_of, whole_number
from handlers.commands.office import Office, show
from handlers.commands.work import find_contact, json_only
from tagging import tier as tiers


def tier_arguments(parser: argparse.ArgumentParser) -> None:
    """`tier CONTACT --json`."""
    parser.add_argument("contact", help="external_userid、会员号、手机号或客户编号")
    json_only(parser)


def tier(args: argparse.Namespace, office: Office) -> int:
    """`daogou tier`: the tier, and each component as it was counted."""
    with office.bot.sessions() as session:
        contact = find_contact(session, args.contact, office.settings.secret_key)
        found = tiers.explain(session, contact.id)
        name = contact.name or args.contact
    lines = [f"{name}：{found.tier} 级，{found.score} 分"]
    lines += [f"  {part.words}" for part in found.parts]
    show(dataclasses.asdict(found), as_json=args.json, lines=lines)
    return 0


def price_arguments(parser: argparse.ArgumentParser) -> None:
    """`price NAME FEN --day D`."""
    parser.add_argument("name", help="名称，例如 金价")
    parser.add_argument("fen", type=whole_number, help="价格，单位分；金价按每克")
    parser.add_argument("--day", type=day_of, help="日期，默认今天（上海时间）")


def price(args: argparse.Namespace, office: Office) -> int:
    """`daogou price`: run each morning from the ERP; words name it on that day only."""
    day = args.day or office.today()
    with office.bot.sessions.begin() as session:
        prices.write(session, args.name, day, args.fen, office.bot.clock.now())
    print(f"{day} {args.name.strip()} {args.fen / 100:,.2f} 元")
    return 0
