"""leads, lost, funnel, coupons: who may buy, who left, what invitations and coupons brought."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.crm import csv_rows
from bot.crm import lost as lost_customers
from bot.crm.lost import Direction, Lost
from bot.crm.models import Store
from bot.errors import UserError
from handlers.alerts import yuan
from handlers.commands.arguments import day_of
from handlers.commands.office import Office, show
from handlers.commands.work import json_only
from handlers.lead_words import STATE_WORDS
from sop import funnel as funnels
from sop import lead_views, results
from sop.models import LIVE_LEADS, LeadState, Sop

_DIRECTIONS = {"customer": "客户删除了导购", "guide": "导购删除了客户"}
_MOST = 200


def leads_arguments(parser: argparse.ArgumentParser) -> None:
    """`leads --state live|won|lost|expired --since D --json`."""
    choices = ("live", *(one.value for one in LeadState))
    parser.add_argument("--state", choices=choices, default="live", help="默认 live：还在跟进的")
    parser.add_argument("--since", type=day_of, help="从哪天起")
    json_only(parser)


def leads(args: argparse.Namespace, office: Office) -> int:
    """`daogou leads`: the newest leads, at most two hundred."""
    states = LIVE_LEADS if args.state == "live" else (LeadState(args.state),)
    with office.bot.sessions() as session:
        found = lead_views.page(session, states=states, since=args.since, limit=_MOST)
    lines = [
        f"{one.id}. {one.name}（{one.guide_name or '还没有导购'}）{one.score} 分 "
        f"{STATE_WORDS[one.state]}{'：' + one.outcome if one.outcome else ''}  {one.signals}"
        for one in found
    ]
    show(
        [dataclasses.asdict(one) for one in found],
        as_json=args.json,
        lines=lines or ["没有这样的线索。"],
    )
    return 0


def lost_arguments(parser: argparse.ArgumentParser) -> None:
    """`lost --since D --direction customer|guide --json`."""
    parser.add_argument("--since", type=day_of, help="从哪天起，默认 30 天前")
    parser.add_argument(
        "--direction", choices=tuple(_DIRECTIONS), help="customer 客户删的，guide 导购删的"
    )
    json_only(parser)


def lost(args: argparse.Namespace, office: Office) -> int:
    """`daogou lost`: every relation that ended since a day, the newest first."""
    last = office.today()
    first = args.since or last - timedelta(days=30)
    rows: list[Lost] = []
    with office.bot.sessions() as session:
        cursor = None
        while True:
            page = lost_customers.page(
                session,
                first=first,
                last=last,
                direction=Direction(args.direction) if args.direction else None,
                cursor=cursor,
                limit=_MOST,
            )
            rows += page.rows
            cursor = page.cursor
            if cursor is None:
                break
    lines = [
        f"{one.ended_on}  {one.name}  {_DIRECTIONS[one.direction]}  {one.guide_name}"
        f"（{one.store_name or '未分门店'}）  好友 {one.followed_days} 天"
        f"  累计 {yuan(one.spent_fen)}"
        for one in rows
    ]
    show(
        [dataclasses.asdict(one) for one in rows],
        as_json=args.json,
        lines=[*lines, f"{first} 起共 {len(rows)} 位。"],
    )
    return 0


def funnel_arguments(parser: argparse.ArgumentParser) -> None:
    """`funnel --since D --until D --store CODE --sop NAME --json`."""
    parser.add_argument("--since", type=day_of, help="邀约从哪天起，默认 30 天前")
    parser.add_argument("--until", type=day_of, help="邀约到哪天止，默认今天")
    parser.add_argument("--store", help="门店编号")
    parser.add_argument("--sop", help="SOP 名称")
    json_only(parser)


def funnel(args: argparse.Namespace, office: Office) -> int:
    """`daogou funnel`: how far those came who were invited in these days."""
    last = args.until or office.today()
    first = args.since or last - timedelta(days=30)
    if last < first:
        raise UserError("--until 不能早于 --since")
    with office.bot.sessions() as session:
        store_id = _store(session, args.store) if args.store else None
        sop_id = _sop(session, args.sop) if args.sop else None
        found = funnels.funnel(session, first, last, store_id=store_id, sop_id=sop_id)
    lines = [
        f"{first} 到 {last} 的邀约",
        f"邀约 {found.invited} → 约好 {found.booked} → 到店 {found.arrived}"
        f" → 有意向 {found.intended} → 成交 {found.bought}",
        f"其中首次购买 {found.new_buyers} 位，成交金额 {yuan(found.money_fen)}（到店后 14 天内）",
    ]
    show(
        {"since": first, "until": last, **dataclasses.asdict(found)},
        as_json=args.json,
        lines=lines,
    )
    return 0


def coupons_arguments(parser: argparse.ArgumentParser) -> None:
    """`coupons --issued-since D [--csv | --results | --json]`."""
    parser.add_argument("--issued-since", type=day_of, help="从哪天发的起，默认今天")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--csv", action="store_true", help="输出 CSV，交给收银系统")
    how.add_argument("--results", action="store_true", help="看核销与成交金额")
    json_only(parser)


def coupons(args: argparse.Namespace, office: Office) -> int:
    """`daogou coupons`: our numbers for the till, or what they brought."""
    since, today = args.issued_since or office.today(), office.today()
    with office.bot.sessions() as session:
        if args.results:
            return _show_results(results.of_all(session, since, max(since, today)), args.json)
        numbers = results.numbers(session, since)
    rows = [dataclasses.asdict(one) for one in numbers]
    if args.csv:
        # Excel takes a file without this mark for another encoding.
        sys.stdout.write("\ufeff")
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(field.name for field in dataclasses.fields(results.Number))
        for row in rows:
            cells = row.values()
            writer.writerow(csv_rows.defused(x) if isinstance(x, str) else x for x in cells)
        return 0
    lines = [
        f"{one.coupon_no}  {one.template}  {yuan(one.value_fen or 0)}  {one.expires_on} 到期"
        f"  {_COUPON_STATES.get(one.state, one.state)}"
        for one in numbers
    ]
    show(rows, as_json=args.json, lines=lines or [f"{since} 起没有发过券。"])
    return 0


_COUPON_STATES = {"issued": "未用", "redeemed": "已核销", "expired": "已失效"}


def _show_results(found: list[results.Result], as_json: bool) -> int:
    lines = [
        f"{one.sop} · {one.title}：发 {one.issued} 张，核销 {one.redeemed} 张，"
        f"带来 {yuan(one.money_fen)}"
        for one in found
    ]
    rows = [dataclasses.asdict(one) for one in found]
    show(rows, as_json=as_json, lines=lines or ["还没有随任务发过券。"])
    return 0


def _store(session: Session, code: str) -> int:
    found = session.scalar(select(Store.id).where(Store.code == code))
    if found is None:
        raise UserError(f"没有这家门店：{code}")
    return found


def _sop(session: Session, name: str) -> int:
    found = session.scalar(select(Sop.id).where(Sop.name == name))
    if found is None:
        raise UserError(f"没有这个 SOP：{name}")
    return found
