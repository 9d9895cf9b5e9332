"""load, dump and import: HQ's content and the facts of yesterday."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bot.crm import imports
from bot.db import transact
from bot.errors import UserError
from handlers import brand_pack
from handlers.brand_pack import starter
from handlers.commands.office import Office, read_text

_NAMES = {
    "regions": "区域",
    "stores": "门店",
    "guides": "导购",
    "festivals": "品牌节日",
    "workdays": "工作日",
    "tag_groups": "标签组",
    "materials": "素材",
    "welcome_messages": "欢迎语",
    "channel_codes": "渠道活码",
    "tag_rules": "打标规则",
    "keyword_replies": "关键词回复",
    "talking_points": "话术",
    "sms_templates": "短信模板",
    "wechat_templates": "公众号模板",
    "coupon_templates": "券模板",
    "sops": "SOP",
}


def load_arguments(parser: argparse.ArgumentParser) -> None:
    """`load FILE.yaml`."""
    parser.add_argument("file", help="品牌包 YAML 文件，- 为标准输入，starter 为自带的起步包")


def load(args: argparse.Namespace, office: Office) -> int:
    """`daogou load FILE.yaml`: all of it, or nothing."""
    text = starter.pack_text() if args.file == "starter" else read_text(args.file)
    now = office.bot.clock.now()
    # A worker writes what WeCom called a tag while the pack writes the tag: one of the two waits.
    loaded = transact(
        office.bot.sessions,
        lambda session: brand_pack.load(session, text, by="system:load", now=now),
    )
    counts = "，".join(f"{_NAMES[section]} {count}" for section, count in loaded.counts.items())
    print(f"已载入：{counts}；新发布 SOP 版本 {loaded.published} 个。")
    for warning in loaded.warnings:
        print(f"提醒：{warning}")
    return 0


def dump(args: argparse.Namespace, office: Office) -> int:
    """`daogou dump`: the pack on standard output."""
    with office.bot.sessions() as session:
        sys.stdout.write(brand_pack.dump(session))
    return 0


def import_arguments(parser: argparse.ArgumentParser) -> None:
    """`import members|purchases|coupons|points|visits|guides|days_off FILE.csv`."""
    parser.add_argument("kind", choices=sorted(imports.KINDS), help="导入什么")
    parser.add_argument("file", type=Path, help="CSV 文件（UTF-8 或 GB18030）")


def import_(args: argparse.Namespace, office: Office) -> int:
    """`daogou import`: progress on stderr, refused rows in FILE.rejected.csv."""
    if not args.file.is_file():
        raise UserError(f"没有这个文件：{args.file}")
    rejects = args.file.with_suffix(".rejected.csv")
    bot = office.bot
    try:
        result = imports.import_file(
            bot.sessions,
            args.kind,
            args.file,
            rejects,
            now=bot.clock.now(),
            secret_key=bot.settings.secret_key,
            progress=_progress,
        )
    except OSError as error:
        raise UserError(f"读写 {error.filename or args.file} 时出错：{error.strerror}") from None
    print(file=sys.stderr)
    print(f"导入 {result.accepted} 行，重复 {result.duplicate} 行，拒绝 {result.rejected} 行。")
    if result.rejected:
        print(f"被拒绝的行和原因：{rejects}")
    return 1 if result.rejected else 0


def _progress(done: int, total: int) -> None:
    share = done / total if total else 1.0
    bar = "█" * int(share * 30)
    print(f"\r{bar:<30} {share:4.0%}  {done}/{total} 行", end="", file=sys.stderr, flush=True)
