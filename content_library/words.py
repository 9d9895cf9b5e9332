"""Clean text that came from people, and say how a customer is addressed (称呼).

Nothing here looks inside the text: a nickname may hold `$`, `\\`, braces or markup and stays what
it is. Only what cannot be seen (control and direction characters) is taken out.
"""

from __future__ import annotations

import re
import unicodedata

#: Longest form of address, in characters; a nickname of 500 characters is cut to this.
ADDRESS_LIMIT = 20

_SPACES = re.compile(r"\s+")
_ZERO_WIDTH_JOINER = "\u200d"
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})

# The hundred most frequent surnames and the usual double ones cover about 90 % of people; a name
# outside the list is used whole, which is always polite enough.
_SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林郑谢罗梁宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江"
    "尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤傅俞尤施章鲁葛倪殷齐樊庄柳纪柯翁庞舒"
)
_DOUBLE_SURNAMES = (
    "欧阳",
    "上官",
    "司马",
    "诸葛",
    "东方",
    "皇甫",
    "尉迟",
    "公孙",
    "慕容",
    "令狐",
    "司徒",
    "南宫",
    "夏侯",
)
_HONORIFIC = re.compile(
    r"^[^\u4e00-\u9fff]*([\u4e00-\u9fff]{1,2}?)(先生|女士|小姐|太太|老师|医生|总|姐|哥|阿姨|叔叔)"
)
_HAN_NAME = re.compile(r"[\u4e00-\u9fff]{2,4}")
_BY_GENDER = {1: "先生", 2: "女士"}


def clean(text: str | None, limit: int = 40) -> str:
    """One line without invisible characters, at most `limit` characters (then it ends in …)."""
    if not text:
        return ""
    if text.isprintable() and "  " not in text:
        # Nearly all text: nothing invisible, no space but the plain one. A night cleans millions.
        kept = text.strip(" ")
    else:
        kept = "".join(c for c in _SPACES.sub(" ", text) if _is_visible(c))
        kept = _SPACES.sub(" ", kept).strip(" " + _ZERO_WIDTH_JOINER)
    if len(kept) <= limit:
        return kept
    return _without_loose_end(kept[: limit - 1]) + "…"


def address(
    *, remark: str | None, member_name: str | None, nickname: str | None, gender: int
) -> str | None:
    """How to call this customer, or None if nothing usable is known.

    In this order: the address in the guide's remark (王姐, 李总), the surname of the remark or of
    the member name with 先生/女士 by gender, the member name, the nickname.
    """
    note = clean(remark, ADDRESS_LIMIT)
    in_remark = _honorific(note)
    if in_remark:
        return in_remark
    # WeCom fills a new remark with the nickname, and 向日葵 is no Mrs. 向.
    own_note = "" if note == clean(nickname, ADDRESS_LIMIT) else note
    for candidate in (own_note, clean(member_name, ADDRESS_LIMIT)):
        polite = _polite_name(candidate, gender)
        if polite:
            return polite
    for raw in (member_name, nickname):
        name = clean(raw, ADDRESS_LIMIT)
        # A name made of signs only (a row of hearts) cannot be spoken.
        if any(unicodedata.category(c)[0] in "LN" for c in name):
            return name
    return None


def plain(text: str | None, limit: int = 40, *, keep_lines: bool = False) -> str:
    """For a message to a guide, where WeCom makes links of `<a href>`: angle brackets go wide."""
    lines = (text or "").splitlines() if keep_lines else [text or ""]
    kept = "\n".join(clean(line, limit) for line in lines)
    return kept.replace("<", "＜").replace(">", "＞")


def _honorific(note: str) -> str | None:
    match = _HONORIFIC.match(note)
    if match is None:
        return None
    surname = match[1]
    if surname in _DOUBLE_SURNAMES or surname in _SURNAMES:
        return surname + match[2]
    return None


def _polite_name(name: str, gender: int) -> str | None:
    if not _HAN_NAME.fullmatch(name):
        return None
    surname = name[:2] if name[:2] in _DOUBLE_SURNAMES else name[0]
    if surname not in _DOUBLE_SURNAMES and surname not in _SURNAMES:
        return None
    if len(surname) == len(name):
        return None
    title = _BY_GENDER.get(gender)
    return surname + title if title else name


def _is_visible(character: str) -> bool:
    if character == _ZERO_WIDTH_JOINER:  # It holds one emoji together.
        return True
    return unicodedata.category(character) not in _INVISIBLE


def _without_loose_end(text: str) -> str:
    """Drop a joiner, variation sign or combining mark whose character was cut away after it."""
    while text and (text[-1] == _ZERO_WIDTH_JOINER or unicodedata.category(text[-1]) == "Zs"):
        text = text[:-1]
    return text
