"""How names stand in a sentence (措辞): 对戒或钻戒; S、A 或 B, with blanks beside Latin letters."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LATIN = re.compile("[A-Za-z0-9]")
# A blank belongs between Chinese and Latin letters, not beside a mark or at the end.
_BESIDE_MARK = re.compile("(?<=[、，（）“”]) | (?=[、，（）“”])")


def named(name: str) -> str:
    """A name with blanks where Chinese around it would touch a Latin letter or a figure."""
    before = " " if _LATIN.match(name[:1]) else ""
    after = " " if _LATIN.match(name[-1:]) else ""
    return f"{before}{name}{after}"


def either(names: Sequence[str]) -> str:
    """A; A或B; A、B或C."""
    *first, last = [named(one) for one in names]
    return f"{'、'.join(first)}或{last}" if first else last


def listed(names: Sequence[str]) -> str:
    """A、B、C."""
    return "、".join(named(one) for one in names)


def tidy(sentence: str) -> str:
    """The finished sentence without blanks at its ends or beside a mark."""
    return _BESIDE_MARK.sub("", sentence).strip()
