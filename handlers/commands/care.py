"""doctor and deadletters: is everything in order, and what needs a hand."""

from __future__ import annotations

import argparse
import dataclasses
import re

from bot import inbox, outbox
from bot.db import transaction
from bot.errors import UserError
from handlers import doctor as checkup
from handlers.commands.office import Office, show

_BOXES = {"in": inbox, "out": outbox}
# Ids are bigint; eighteen digits are always within it.
_ID = re.compile(r"(in|out):([0-9]{1,18})", re.ASCII)
_MARKS = {"ok": "✓", "warn": "!", "fail": "✗", "skip": "-"}


def doctor(args: argparse.Namespace, office: Office) -> int:
    """`daogou doctor`: every check with its next step; non-zero when one failed."""
    findings = checkup.examine(office.bot)
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.state]} {finding.name}：{finding.found}")
        if finding.next_step:
            lines.append(f"    下一步：{finding.next_step}")
    show([dataclasses.asdict(each) for each in findings], as_json=args.json, lines=lines)
    return 1 if any(each.state == "fail" for each in findings) else 0


def deadletters_arguments(parser: argparse.ArgumentParser) -> None:
    """`deadletters list`, `deadletters retry [IDS] [--reason R]`."""
    sub = parser.add_subparsers(dest="action", required=True, metavar="动作")
    listing = sub.add_parser("list", help="列出失败的消息和原因")
    listing.add_argument("--json", action="store_true", help="输出 JSON")
    retry = sub.add_parser("retry", help="重新处理")
    retry.add_argument("ids", nargs="*", help="编号，例如 in:12 out:7；不写则配合 --reason")
    retry.add_argument("--reason", help="重试这个原因的全部消息")


def deadletters(args: argparse.Namespace, office: Office) -> int:
    """`daogou deadletters`."""
    if args.action == "retry":
        return _retry(args, office)
    with office.bot.sessions() as session:
        messages, calls = inbox.dead_letters(session), outbox.dead_letters(session)
    rows = [
        {
            "id": f"in:{each.id}",
            "kind": each.kind,
            "attempts": each.attempts,
            "reason": each.last_error,
        }
        for each in messages
    ] + [
        {
            "id": f"out:{each.id}",
            "kind": each.kind,
            "attempts": each.attempts,
            "reason": each.last_error,
        }
        for each in calls
    ]
    lines = [
        f"{row['id']}  {row['kind']}  试过 {row['attempts']} 次  {row['reason']}" for row in rows
    ]
    show(rows, as_json=args.json, lines=lines or ["没有失败的消息。"])
    return 0


def _retry(args: argparse.Namespace, office: Office) -> int:
    """All of the named ones, or none."""
    chosen = list(dict.fromkeys(_id(text) for text in args.ids))
    if not chosen and not args.reason:
        raise UserError("请写出编号，或用 --reason 指定原因。")
    with transaction(office.bot.sessions) as session:
        count = 0
        for box, number in chosen:
            found = _BOXES[box].retry(session, [number], reason=args.reason)
            if not found:
                raise UserError(f"失败的消息里没有 {box}:{number}，一条都没有重试。")
            count += found
        if not chosen:
            count = sum(room.retry(session, reason=args.reason) for room in _BOXES.values())
    print(f"已重新排队 {count} 条。")
    return 0


def _id(text: str) -> tuple[str, int]:
    found = _ID.fullmatch(text)
    if found is None:
        raise UserError(f"编号应写成 in:12 或 out:7，收到「{text}」")
    return found[1], int(found[2])
