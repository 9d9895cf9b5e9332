"""sync, nightly, morning, preview, explain, tasks: the daily work, by hand."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.clock import SHANGHAI
from bot.crm import identity
from bot.crm import sync as roster_sync
from bot.crm.models import Contact, Guide
from bot.errors import UserError
from handlers import timetable
from handlers.commands import wording
from handlers.commands.arguments import day_of, whole_number
from handlers.commands.office import Office, show
from sop import explain as explaining
from sop import preview as previewing
from sop import tasks as task_book
from sop import versions
from tagging import corp_tags


def json_only(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="输出 JSON")


def day_arguments(parser: argparse.ArgumentParser) -> None:
    """`--day D --json`."""
    parser.add_argument("--day", type=day_of, help="日期，默认今天（上海时间）")
    json_only(parser)


def sync(args: argparse.Namespace, office: Office) -> int:
    """`daogou sync`: resumable; progress on stderr."""
    bot = office.bot
    counts = roster_sync.sync(
        bot.gateway,
        bot.sessions,
        bot.clock,
        secret_key=bot.settings.secret_key,
        progress=lambda text: print(text, file=sys.stderr),
    )
    groups = bot.gateway.corp_tags()
    with bot.sessions.begin() as session:
        corp_tags.adopt_corp_tags(session, groups)
    found = dataclasses.asdict(counts)
    lines = [f"导购 {counts.guides}，客户 {counts.contacts}，跟进关系 {counts.relations}。"]
    show(found, as_json=args.json, lines=lines)
    return 0


def nightly(args: argparse.Namespace, office: Office) -> int:
    """`daogou nightly --day D`."""
    day = args.day or office.today()
    opened = timetable.run_now(office.bot, "nightly", day)
    show({"day": day, "opened": opened}, as_json=args.json, lines=[f"{day} 新增任务 {opened} 项。"])
    return 0


def morning(args: argparse.Namespace, office: Office) -> int:
    """`daogou morning --day D`."""
    day = args.day or office.today()
    count = timetable.run_now(office.bot, "morning", day)
    why = "" if count else "：没有待办，或者早报的时间已经过了"
    show({"day": day, "digests": count}, as_json=args.json, lines=[f"{day} 早报 {count} 份{why}。"])
    return 0


def preview_arguments(parser: argparse.ArgumentParser) -> None:
    """`preview SOP --days N`."""
    parser.add_argument("sop", help="SOP 名称")
    parser.add_argument("--days", type=whole_number, default=7, help="看几天，默认 7")
    day_arguments(parser)


def preview(args: argparse.Namespace, office: Office) -> int:
    """`daogou preview`: the same SQL as the night, rolled back."""
    with office.bot.sessions() as session:
        version_id = versions.newest(session, args.sop)
        found = previewing.preview(session, version_id, args.day or office.today(), args.days)
    show(dataclasses.asdict(found), as_json=args.json, lines=wording.preview(found))
    return 0


def explain_arguments(parser: argparse.ArgumentParser) -> None:
    """`explain CONTACT --day D`."""
    parser.add_argument("contact", help="external_userid、会员号、手机号或客户编号")
    day_arguments(parser)


def explain(args: argparse.Namespace, office: Office) -> int:
    """`daogou explain`: why each task exists, and why each other SOP gave none."""
    with office.bot.sessions() as session:
        contact = find_contact(session, args.contact, office.settings.secret_key)
        today = office.today()
        found = explaining.explain(session, contact.id, args.day or today, today=today)
    show(dataclasses.asdict(found), as_json=args.json, lines=wording.explanation(found))
    return 0


def find_contact(session: Session, wanted: str, secret_key: str) -> Contact:
    """A contact by external_userid, member number, mobile, unionid or our own id."""
    contact = identity.find(session, wanted, secret_key=secret_key)
    if contact is None:
        raise UserError(f"没有找到客户：{wanted}")
    return contact


def tasks_arguments(parser: argparse.ArgumentParser) -> None:
    """`tasks --guide USERID --day D`."""
    parser.add_argument("--guide", required=True, help="导购的 userid")
    day_arguments(parser)


def tasks(args: argparse.Namespace, office: Office) -> int:
    """`daogou tasks`: what this guide has to do, with the words."""
    day = args.day or office.today()
    with office.bot.sessions() as session:
        guide = session.scalar(select(Guide).where(func.lower(Guide.userid) == args.guide.lower()))
        if guide is None:
            raise UserError(f"没有这位导购：{args.guide}")
        found = task_book.today(session, guide.id, day, office.bot.clock.now())
    lines = [f"{guide.name} {day} 共 {len(found)} 项"]
    for view in found:
        due = view.due_at.astimezone(SHANGHAI).strftime("%H:%M ") if view.due_at else ""
        state = wording.STATES[view.state]
        lines.append(f"{view.number}. {due}{view.contact_name} · {view.title}（{state}）")
        lines.append(f"   {view.why_line}")
        if view.words:
            lines.append(f"   {view.words}")
    show([dataclasses.asdict(view) for view in found], as_json=args.json, lines=lines)
    return 0
