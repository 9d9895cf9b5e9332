"""What is typed after `daogou` (命令行参数): its types, and one Chinese line for a wrong one."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import NoReturn

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1990, 2100


class Parser(argparse.ArgumentParser):
    """Reports a wrong input as one Chinese line on stderr and exits with 2."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **{**options, "allow_abbrev": False})  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Say what argparse found, in the reader's words."""
        self.exit(2, f"{' '.join(self._said(message).split())}\n")

    def _said(self, message: str) -> str:
        for pattern, say in _SAYINGS:
            found = pattern.fullmatch(message)
            if found:
                return say(found, self._choices()) + f"（{self.prog} --help 看用法）"
        return f"命令写得不对（{self.prog} --help 看用法）"

    def _choices(self) -> str:
        """The commands (or actions) there are, where one must be chosen."""
        chosen = (each for each in self._actions if isinstance(each, argparse._SubParsersAction))
        return "、".join(name for each in chosen for name in each.choices)


def _missing(found: re.Match[str], choices: str) -> str:
    names = found[1].replace(", ", " 和 ")
    blank = " " if names[0].isascii() else ""
    return f"缺少{blank}{names}" + (f"，可用的有：{choices}" if choices else "")


def _not_a_choice(found: re.Match[str], choices: str) -> str:
    given = found[2].strip("'\"")
    if choices:
        return f"没有「{given}」这个{found[1]}，可用的有：{choices}"
    return f"{found[1]} 不能是「{given}」，可用的有：{found[3].replace(chr(39), '')}"


#: What argparse says in English -> what a person reads.
_SAYINGS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], str]], ...] = tuple(
    (re.compile(pattern, re.DOTALL), say)
    for pattern, say in (
        (r"the following arguments are required: (.+)", _missing),
        (r"argument (.+?): invalid choice: (.*) \(choose from (.*)\).*", _not_a_choice),
        (
            r"argument (.+?): expected (?:one|at least one) argument",
            lambda found, _: f"{found[1]} 后面要写一个值",
        ),
        (
            r"argument (.+?): ignored explicit argument (.*)",
            lambda found, _: f"{found[1]} 后面不写值",
        ),
        (r"unrecognized arguments: (.*)", lambda found, _: f"不认识「{found[1]}」"),
        # The sentences of the types below.
        (r"argument (.+?): (.*[\u4e00-\u9fff].*)", lambda found, _: f"{found[1]} {found[2]}"),
    )
)


def refuse_unreadable(argv: Sequence[str]) -> str | None:
    """The sentence against arguments that no terminal should send; None: they are in order."""
    if any("\0" in text or any("\ud800" <= one <= "\udfff" for one in text) for text in argv):
        return "参数里有无法识别的字符，请用 UTF-8 终端"
    return None


def day_of(text: str) -> date:
    """A date argument; argparse shows the sentence."""
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise argparse.ArgumentTypeError(f"日期应写成 2026-11-21，收到「{text}」")
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise argparse.ArgumentTypeError(
            f"日期应在 {_FIRST_YEAR} 年到 {_LAST_YEAR} 年之间，收到「{text}」"
        )
    return day


def whole_number(text: str) -> int:
    """A number; which ones make sense is said by whoever uses it."""
    if not re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"应为整数，收到「{text}」")
    return int(text)


def port_of(text: str) -> int:
    """A TCP port."""
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"应为 1 到 65535 的端口，收到「{text}」")
    return int(text)
