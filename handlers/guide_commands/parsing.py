"""Read what a guide wrote: which command, which tasks, what else; forgiving about the form."""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from bot.crm import opt_outs


class Verb(StrEnum):
    """What a guide can ask for."""

    TODAY = "today"
    COMPLETE = "complete"
    SKIP = "skip"
    MOVE = "move"
    CONTACT = "contact"
    WORDS = "words"
    POINTS = "points"
    WEEK = "week"
    BOOK = "book"
    COME = "come"
    CONCLUDE = "conclude"
    CANCEL = "cancel"
    LEADS = "leads"
    INTENT = "intent"
    REST = "rest"
    WORK = "work"
    REFUSE = "refuse"
    ALLOW = "allow"
    HELP = "help"


@dataclass(frozen=True)
class Command:
    """A verb with its task numbers and the rest of the words (a note, a reason, a name …)."""

    verb: Verb
    numbers: tuple[int, ...] = ()
    rest: str = ""


@dataclass(frozen=True)
class Form:
    """How a command is written: its example for the help, what it does, and all its names."""

    verb: Verb
    example: str
    meaning: str
    names: tuple[str, ...]
    #: "": stands alone; "numbers": task numbers and more; "days": days; "words": free words.
    takes: str = ""


FORMS: tuple[Form, ...] = (
    Form(
        Verb.TODAY,
        "今日",
        "看今天的待办",
        (
            "今日待办",
            "今日任务",
            "今天任务",
            "今天待办",
            "我的任务",
            "今日",
            "今天",
            "待办",
            "任务",
            "清单",
        ),
    ),
    Form(
        Verb.COMPLETE,
        "完成 2",
        "第 2 项做完了",
        (
            "已经完成",
            "已完成",
            "完成了",
            "完成",
            "做完了",
            "做完",
            "搞定了",
            "搞定",
            "办完了",
            "做好了",
        ),
        "numbers",
    ),
    Form(
        Verb.SKIP,
        "跳过 2 客户出国了",
        "这次不做，写上原因",
        ("跳过", "略过", "忽略", "不做了", "先不做"),
        "numbers",
    ),
    Form(
        Verb.MOVE,
        "改期 2 周五",
        "挪到别的日子",
        ("改期", "改到", "推迟", "延期", "延后", "顺延", "改天"),
        "numbers",
    ),
    Form(
        Verb.CONTACT,
        "客户 王",
        "找自己的客户",
        ("查客户", "找客户", "搜客户", "客户", "顾客"),
        "words",
    ),
    Form(
        Verb.WORDS, "话术 求婚", "找话术", ("查话术", "找话术", "话术", "怎么说", "怎么回"), "words"
    ),
    Form(Verb.POINTS, "积分 王女士", "查客户积分", ("查积分", "积分"), "words"),
    Form(
        Verb.WEEK,
        "业绩",
        "看自己这一周",
        ("我的业绩", "本周业绩", "这周业绩", "业绩", "战绩", "本周", "这周"),
    ),
    Form(Verb.LEADS, "线索", "看等您跟进的线索", ("我的线索", "线索"), "numbers"),
    Form(Verb.INTENT, "意向 王女士 想定制", "记下客户的意向", ("意向",), "words"),
    Form(
        Verb.BOOK,
        "约 2 周六 15:00",
        "约第 2 项的客户到店",
        ("约好了", "约到店", "约客户", "约"),
        "numbers",
    ),
    Form(Verb.COME, "到店 王女士 意向强", "客户到店了", ("到店了", "到店", "来店了"), "numbers"),
    Form(Verb.CONCLUDE, "结果 王女士 成交", "记下到店的结果", ("结果",), "numbers"),
    Form(
        Verb.CANCEL,
        "取消预约 王女士",
        "客户不来了",
        ("取消预约", "取消到店", "取消约", "不来了"),
        "numbers",
    ),
    Form(Verb.REST, "休息 周五", "登记休息日", ("我休息", "休息", "请假"), "days"),
    Form(Verb.WORK, "上班 周五", "那天照常上班", ("取消休息", "上班"), "days"),
    Form(Verb.REFUSE, "退订 王女士", "客户不想再收群发", ("退订", "别打扰", "不要打扰"), "words"),
    Form(Verb.ALLOW, "恢复 王女士", "撤回登记的退订", ("取消退订", "恢复"), "words"),
    Form(
        Verb.HELP,
        "帮助",
        "看能写什么",
        ("帮助", "帮忙", "怎么用", "使用说明", "说明", "菜单", "命令", "口令", "help", "?"),
    ),
)

_LONGEST = 500
_NUMERALS = {c: n for n, c in enumerate("一二三四五六七八九", 1)} | {"两": 2}
_NUMBER = r"(?:[0-9]{1,3}|[一二三四五六七八九]?十[一二三四五六七八九]?|[一二两三四五六七八九])"
_RANGE = re.compile(rf"^({_NUMBER})\s*[-~到至]\s*({_NUMBER})(?=$|\s)")
_LEAD = re.compile(r"(?:第\s*)?([0-9]{4,12})(?:[个项条号]|(?![0-9]))")
_FIRST = re.compile(rf"^(?:第\s*)?({_NUMBER})(?:[个项条号](?![0-9]))?")
_NEXT = re.compile(rf"^(?:\s*[、,，和及]\s*|\s+)({_NUMBER})(?=$|[\s、,，。.!和及])")
_DAY = re.compile(r"[0-9今明后下这]|大后|周|星期|礼拜|[一二两三四五六七八九十]天")
# 「王女士周六15:00」: a name, and where the day or the hour begins.
_GLUED = re.compile(
    r"(\D+?)((?:今|明|大?后|下*周|下*星期|下*礼拜|这周|上午|下午|中午|晚上|[0-9]).*(?:[0-9]|点|半|分|时))"
)
# Width is folded for reading; what is kept of a sentence has its own marks again.
_MARKS = str.maketrans({",": "，", "?": "？", "!": "！", ";": "；"})
_MARK = re.compile(r"(?<=[一-鿿])[,?!;]")
_PADDING = " \t\n:,，。.、;!~-"


def parse(text: str) -> Command | None:
    """The command in `text`, or None. Width, case and missing blanks do not matter, and the
    number may stand first (「2 做完了」)."""
    said = unicodedata.normalize("NFKC", text[:_LONGEST]).strip(_PADDING)
    lowered = said.lower()
    for form in FORMS:
        for name in form.names:
            if lowered == name or (form.takes and lowered.startswith(name)):
                if form.verb is Verb.REFUSE and opt_outs.ABOUT_MONEY.match(said):
                    continue  # 「退订金」 is a question about money.
                command = _read(form, said[len(name) :].strip(_PADDING))
                if command is not None:
                    return _with_marks(command)
    first = _number_first(said)
    return None if first is None else _with_marks(first)


def nearest(text: str) -> Form | None:
    """The command that looks most like `text`, for a guide who mistyped."""
    said = unicodedata.normalize("NFKC", text[:20]).strip(_PADDING).lower()
    names = {name: form for form in FORMS for name in form.names}
    close = difflib.get_close_matches(said, names, n=1, cutoff=0.5)
    if not close:
        close = difflib.get_close_matches(said[:2], names, n=1, cutoff=0.5)
    return names[close[0]] if close else None


def _read(form: Form, rest: str) -> Command | None:
    if form.takes == "days" and rest and not _DAY.match(rest):
        return None  # 「上班时间」 is a question for the keyword table too.
    if form.verb is Verb.LEADS and (lead := _LEAD.match(rest)) is not None:
        return Command(form.verb, (int(lead[1]),), rest[lead.end() :].strip(_PADDING))
    if form.takes == "numbers":
        numbers, more = _numbers(rest)
        if form.verb is Verb.BOOK and more and not numbers and " " not in more:
            glued = _GLUED.fullmatch(more)
            if glued is None:
                return None  # 「约会」 is no customer with a time.
            more = f"{glued[1]} {glued[2]}"
        return Command(form.verb, numbers, more)
    if form.takes == "words" and not rest and form.verb is Verb.POINTS:
        return None  # A bare 「积分」 is a question for the keyword table.
    return Command(form.verb, (), rest)


def _with_marks(command: Command) -> Command:
    said = _MARK.sub(lambda mark: mark[0].translate(_MARKS), command.rest)
    return Command(command.verb, command.numbers, said)


def _number_first(said: str) -> Command | None:
    match = _FIRST.match(said)
    if match is None:
        return None
    numbers, rest = _numbers(said)
    for form in FORMS:
        if form.takes != "numbers":
            continue
        for name in form.names:
            if rest.lower().startswith(name):
                return Command(form.verb, numbers, rest[len(name) :].strip(_PADDING))
    return None


def _numbers(text: str) -> tuple[tuple[int, ...], str]:
    """Leading task numbers (2 · 1、3 · 1-3 · 第二个) and what follows them."""
    span = _RANGE.match(text)
    if span is not None:
        low, high = _value(span[1]), _value(span[2])
        if low <= high <= low + 50:
            return tuple(range(low, high + 1)), text[span.end() :].strip(_PADDING)
    match = _FIRST.match(text)
    if match is None:
        return (), text
    found, rest = [_value(match[1])], text[match.end() :]
    while (more := _NEXT.match(rest)) is not None:
        found.append(_value(more[1]))
        rest = rest[more.end() :]
    return tuple(dict.fromkeys(found)), rest.strip(_PADDING)


def _value(numeral: str) -> int:
    if numeral.isdigit():
        return int(numeral)
    tens, ten, ones = numeral.rpartition("十")
    if not ten:
        return _NUMERALS[numeral]
    return (_NUMERALS[tens] if tens else 1) * 10 + (_NUMERALS[ones] if ones else 0)
