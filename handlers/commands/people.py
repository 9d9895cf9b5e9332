"""merge, unmerge and merges: who is whom, said by a person and written into the audit log."""

from __future__ import annotations

import argparse
from datetime import datetime

from bot.clock import SHANGHAI
from bot.crm import merge_desk
from bot.crm.models import ContactMerge
from bot.db import transaction
from bot.errors import UserError
from handlers.commands.office import Office, show
from handlers.commands.work import find_contact

_REASONS = {
    "identity": "同一个号码",
    "member_merged": "会员合并",
    "by_hand": "人工合并",
}


def merge_arguments(parser: argparse.ArgumentParser) -> None:
    """`merge CONTACT OTHER`."""
    parser.add_argument("contact", help="客户：会员号、手机号、external_userid 或编号")
    parser.add_argument("other", help="同一个人的另一份资料")


def merge(args: argparse.Namespace, office: Office) -> int:
    """`daogou merge`: two contacts become one; the number printed undoes it."""
    with transaction(office.bot.sessions) as session:
        key = office.settings.secret_key
        one, other = (find_contact(session, word, key) for word in (args.contact, args.other))
        now = office.bot.clock.now()
        made = merge_desk.merge(session, one, other, actor="system:merge", at=now)
    print(f"已合并到客户 {made.kept}；撤销：daogou unmerge {made.merge_id}")
    return 0


def unmerge_arguments(parser: argparse.ArgumentParser) -> None:
    """`unmerge ID`."""
    parser.add_argument("id", help="合并记录的编号，见 daogou merges")


def unmerge(args: argparse.Namespace, office: Office) -> int:
    """`daogou unmerge`: each of the two gets back what is hers."""
    # Ids are bigint; eighteen digits are always within it.
    if not (args.id.isascii() and args.id.isdecimal() and len(args.id) <= 18):
        raise UserError(f"合并编号“{args.id}”要是数字，见 daogou merges。")
    with transaction(office.bot.sessions) as session:
        now = office.bot.clock.now()
        trail = merge_desk.unmerge(session, int(args.id), actor="system:unmerge", at=now)
        kept, gone = trail.kept_contact_id, trail.gone_contact_id
    print(f"已撤销：客户 {kept} 和客户 {gone} 又是两位。")
    return 0


def merges_arguments(parser: argparse.ArgumentParser) -> None:
    """`merges CONTACT [--json]`."""
    parser.add_argument("contact", help="客户：会员号、手机号、external_userid 或编号")
    parser.add_argument("--json", action="store_true", help="输出 JSON")


def merges(args: argparse.Namespace, office: Office) -> int:
    """`daogou merges`: every merge a contact was part of, newest first."""
    with office.bot.sessions() as session:
        contact = find_contact(session, args.contact, office.settings.secret_key)
        rows = [_row(trail) for trail in merge_desk.of(session, contact.id)]
    lines = [
        f"{row['id']}  {row['merged_at']}  客户 {row['gone']} 并入 {row['kept']}（{row['reason']}）"
        + (f"，{row['undone_at']} 已撤销" if row["undone_at"] else "")
        for row in rows
    ]
    show(rows, as_json=args.json, lines=lines or ["这位客户没有合并过。"])
    return 0


def _row(trail: ContactMerge) -> dict[str, object]:
    return {
        "id": trail.id,
        "kept": trail.kept_contact_id,
        "gone": trail.gone_contact_id,
        "reason": _REASONS.get(trail.reason, trail.reason),
        "merged_at": _shown(trail.merged_at),
        "undone_at": trail.undone_at and _shown(trail.undone_at),
    }


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(SHANGHAI):%Y-%m-%d %H:%M}"
