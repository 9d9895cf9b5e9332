"""operator: HQ accounts; the first one is made here, the others in the console."""

from __future__ import annotations

import argparse
import getpass
import sys

from sqlalchemy.exc import IntegrityError

from bot.crm import operators
from bot.crm.models import OperatorRole
from bot.db import transaction
from bot.errors import UserError
from handlers.commands.office import Office


def arguments(parser: argparse.ArgumentParser) -> None:
    """`operator add USERNAME --name … --role …`."""
    sub = parser.add_subparsers(dest="action", required=True, metavar="动作")
    add = sub.add_parser("add", help="新增账号，或改已有账号的密码")
    add.add_argument("username", help="登录名")
    add.add_argument("--name", help="姓名，默认同登录名")
    add.add_argument("--role", choices=[role.value for role in OperatorRole], default="admin")
    add.add_argument("--userid", help="这个人在企业微信里的 userid，用于扫码登录")
    add.add_argument("--password-stdin", action="store_true", help="从标准输入读密码")


def run(args: argparse.Namespace, office: Office) -> int:
    """`daogou operator add`: asks for the password, never takes it as an argument."""
    password = _password(from_stdin=args.password_stdin)
    try:
        with transaction(office.bot.sessions) as session:
            operators.save(
                session,
                args.username,
                name=args.name or args.username,
                role=OperatorRole(args.role),
                password=password,
                userid=args.userid,
            )
    except IntegrityError:
        if args.userid is None:
            raise
        raise UserError(f"userid「{args.userid}」已经属于另一个账号") from None
    print(f"账号 {args.username} 已保存，登录：{office.settings.public_base_url}/console/")
    return 0


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        try:
            return sys.stdin.readline().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UserError("密码不是 UTF-8 文本") from None
    if not sys.stdin.isatty():
        raise UserError("这里没有终端可以输入密码，请加 --password-stdin，从标准输入读")
    try:
        return getpass.getpass("密码（至少 10 位）：")
    except EOFError:
        raise UserError("没有输入密码，也可以加 --password-stdin，从标准输入读") from None
