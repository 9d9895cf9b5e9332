"""A wrong input is one Chinese line on stderr and status 2, whatever was wrong with it."""

from __future__ import annotations

import re

import pytest

from handlers.commands import COMMANDS
from tests.handlers.commands.conftest import Run, runner


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str]) -> Run:
    """Without any server: none of these may come so far as to want one."""
    return runner(capsys)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], ["缺少命令", "nightly", "deadletters"]),
        (["nigthly"], ["没有「nigthly」这个命令", "nightly", "deadletters"]),
        (["explain"], ["缺少 contact"]),
        (["tasks"], ["缺少 --guide"]),
        (["deadletters"], ["缺少动作", "list、retry"]),
        (["operator", "remove", "x"], ["没有「remove」这个动作", "add"]),
        (["operator", "add", "x", "--role", "king"], ["--role 不能是「king」", "admin"]),
        (["import", "orders", "a.csv"], ["「orders」", "members", "purchases"]),
        (["nightly", "--day"], ["--day 后面要写一个值"]),
        (["nightly", "--dya", "2026-11-21"], ["不认识「--dya 2026-11-21」"]),
        (["nightly", "--json=1"], ["--json 后面不写值"]),
        (["nightly", "--day", "tomorrow"], ["--day 日期应写成", "「tomorrow」"]),
        (["nightly", "--day", "a\nb"], ["「a b」"]),
        (["nigh\ntly"], ["这个命令"]),
        (["nightly", "--day", "2026-11-31"], ["日期应写成"]),
        (["nightly", "--day", "20261121"], ["日期应写成"]),
        (["nightly", "--day", "2026-W47-6"], ["日期应写成"]),
        (["nightly", "--day", "9999-12-31"], ["1990 年到 2100 年"]),
        (["morning", "--day", "0001-01-01"], ["1990 年到 2100 年"]),
        (["preview", "新客", "--days", "x"], ["--days 应为整数"]),
        (["sandbox", "--port", "70000"], ["1 到 65535"]),
        (["tasks", "--guide", "a\udcff"], ["无法识别的字符"]),
    ],
)
def test_a_wrong_argument_is_one_line(bare: Run, argv: list[str], said: list[str]) -> None:
    line = bare(*argv).refused(*said)
    # Our own names aside there is no English in it.
    assert re.search(r"argument|required|choice|usage|invalid|expected", line) is None


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_a_help(bare: Run, name: str) -> None:
    ended = bare(name, "--help")
    assert ended.status == 0
    assert f"daogou {name}" in ended.out
