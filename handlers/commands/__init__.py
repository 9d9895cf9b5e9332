"""Door: the command line (`daogou`). COMMANDS is the list; each parses, calls one room, prints."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from psycopg import errors as postgres
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from bot.errors import DaogouError, UserError
from handlers.commands import (
    arguments,
    care,
    content,
    operators,
    people,
    processes,
    reference,
    sales,
    value,
    work,
)
from handlers.commands.office import Office, Roof

__all__ = ["COMMANDS", "Roof", "main"]


@dataclass(frozen=True)
class Command:
    """One command: its help line, what it takes, and what it does (returns the exit status)."""

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Office], int]


COMMANDS: dict[str, Command] = {
    "run": Command("一个终端里启动全部：数据库、网页、后台、时钟", processes.none, processes.run),
    "prepare": Command(
        "run 的一部分：数据库结构与示例品牌", processes.prepare_arguments, processes.prepare
    ),
    "web": Command("只启动网页", processes.none, processes.web),
    "worker": Command(
        "只启动后台（worker fast 为欢迎语专用）", processes.worker_arguments, processes.worker
    ),
    "clock": Command("只启动时钟", processes.none, processes.clock),
    "sandbox": Command("只启动沙箱平台", processes.sandbox_arguments, processes.sandbox),
    "migrate": Command("把数据库升级到最新结构", processes.none, processes.migrate),
    "load": Command("载入品牌包 YAML", content.load_arguments, content.load),
    "dump": Command("导出品牌包 YAML", processes.none, content.dump),
    "import": Command(
        "从 CSV 导入会员、消费、券、积分、到店、导购或休息日",
        content.import_arguments,
        content.import_,
    ),
    "merge": Command("两份客户资料是同一个人：合并", people.merge_arguments, people.merge),
    "unmerge": Command("撤销一次合并", people.unmerge_arguments, people.unmerge),
    "merges": Command("列出某位客户的合并记录", people.merges_arguments, people.merges),
    "sync": Command("从企业微信同步导购、客户与标签，可中断续传", work.json_only, work.sync),
    "nightly": Command("跑一次夜间计划", work.day_arguments, work.nightly),
    "morning": Command("发一次早报", work.day_arguments, work.morning),
    "preview": Command("预演一个 SOP，不写任何数据", work.preview_arguments, work.preview),
    "explain": Command(
        "解释某位客户某天为什么有、或没有任务", work.explain_arguments, work.explain
    ),
    "tasks": Command("列出某位导购某天的任务", work.tasks_arguments, work.tasks),
    "leads": Command("列出线索：谁可能要买，谁在跟", sales.leads_arguments, sales.leads),
    "lost": Command("列出流失的客户，分两个方向", sales.lost_arguments, sales.lost),
    "funnel": Command("邀约漏斗：邀约、到店、意向、成交", sales.funnel_arguments, sales.funnel),
    "coupons": Command("随任务发的券：给收银，或看核销", sales.coupons_arguments, sales.coupons),
    "tier": Command("说明某位客户的等级是怎么算的", value.tier_arguments, value.tier),
    "price": Command("写入某天的价格，例如金价", value.price_arguments, value.price),
    "reference": Command(
        "品牌包能写的全部内容：字段、触发、步骤、设置", reference.arguments, reference.run
    ),
    "doctor": Command("逐项检查设置与平台，给出下一步", work.json_only, care.doctor),
    "deadletters": Command("查看或重试失败的消息", care.deadletters_arguments, care.deadletters),
    "operator": Command("管理总部账号", operators.arguments, operators.run),
}


def main(argv: list[str], roof: Roof) -> int:
    """Run one command; a failure is one clear line on stderr and a non-zero status."""
    parser = arguments.Parser(prog="daogou", description="导购助手")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="命令")
    for name, command in COMMANDS.items():
        sub = subparsers.add_parser(name, help=command.help, description=command.help)
        command.arguments(sub)
    unreadable = arguments.refuse_unreadable(argv)
    if unreadable is not None:
        print(unreadable, file=sys.stderr)
        return 2
    args = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if args.command in processes.LONG_RUNNING else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    for chatty in ("apscheduler", "alembic", "rq"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        with Office(roof) as office:
            status = COMMANDS[args.command].run(args, office)
        sys.stdout.flush()
        return status
    except UserError as error:
        # A sentence may quote what was typed, line breaks and all.
        print(" ".join(error.message_zh.split()), file=sys.stderr)
    except DaogouError as error:
        print(error, file=sys.stderr)
    except SQLAlchemyError as error:
        print(_database_words(error), file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read has seen enough; the interpreter's last flush must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 2


def _database_words(error: SQLAlchemyError) -> str:
    """One line; the driver's own text may hold the address with its password, its class does not.

    Values that were being written are left out for the same reason.
    """
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, postgres.UndefinedTable | postgres.UndefinedColumn):
        return "数据库还没有升级，请先运行 daogou migrate"
    name = type(cause or error).__name__
    if isinstance(error, OperationalError):
        return f"数据库没有回应（{name}），请检查 DATABASE_URL。"
    return f"数据库没有接受这次操作（{name}），什么都没有改。"
