"""Field (字段): one thing a condition can ask, with its label, operators, SQL and words.

A leaf `{field, op, value}` is either true or not, never unknown: a fact that is missing makes no
comparison true, neither `=` nor `!=` nor `<`. `not` is the plain opposite of what stands inside:
who does not match inside, for whatever reason, matches outside. So `member_level != 金卡` leaves
out people without a level, and `not: member_level = 金卡` takes them in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    cast,
    literal,
    not_,
    select,
    true,
)

from bot.crm.models import Contact
from tagging.fields import wording
from tagging.fields.kinds import NUMBER_WORDS, Flag, Kilometers, Kind, Number

#: Operators that are tested as the opposite of another one on fields that hold several things.
OPPOSITE = {"!=": "=", "not_in": "in"}


# Compared by identity: SQL expressions have an == of their own.
@dataclass(frozen=True, eq=False)
class Home:
    """Where the facts of a field live. `source` None: in the contact row itself.

    `is_single`: at most one row per contact, so several conditions on it are one look at that row.
    """

    source: FromClause | None = None
    joined: ColumnElement[bool] | None = None
    is_single: bool = True

    def holds(self, test: ColumnElement[bool]) -> ColumnElement[bool]:
        """`test` over the row of this contact; false, never NULL, when there is no such row."""
        if self.source is None or self.joined is None:
            return test
        return (
            select(literal(1))
            .select_from(self.source)
            .where(self.joined, test)
            .correlate(Contact)
            .exists()
        )

    def holds_beside(self, test: ColumnElement[bool]) -> ColumnElement[bool]:
        """`test` where `outer join source on joined` stands beside the contact; may be NULL."""
        if self.source is None:
            return test
        # Its own key tells a row from the empty one that an outer join makes up.
        return and_(next(iter(self.source.primary_key)).is_not(None), test)

    def read(self, fact: ColumnElement[Any]) -> ColumnElement[Any]:
        """The fact itself as a scalar, for explaining."""
        if self.source is None or self.joined is None:
            return fact
        wanted: Select[Any] = select(fact).select_from(self.source).where(self.joined)
        return wanted.correlate(Contact).scalar_subquery()


@dataclass(frozen=True, eq=False)
class Field:
    """One entry of `FIELDS`. Keys are stored in conditions: never renamed, never reused.

    `test(op, value, day)` is the comparison over the home's columns. `fact(day)` is what is
    compared, for explaining. `gap` says in words what a missing fact means. `is_many`: the field
    holds several things (tags, categories); `!=` then means "has none of it", which is true also
    for people with nothing.
    """

    key: str
    label: str
    kind: Kind
    home: Home
    test: Callable[[str, Any, date], ColumnElement[bool]]
    fact: Callable[[date], ColumnElement[Any]]
    gap: str = ""
    is_many: bool = False
    phrase: Callable[[str, Any], str] | None = None
    #: How the stored fact is shown where it is not of the value's own form.
    show: Callable[[Any], str] | None = None
    ops: tuple[str, ...] = ()
    #: The sentence for "= 0": nobody says that it is 0 days to her birthday.
    today: str = ""
    #: For explaining, where the fact depends on the value asked for.
    reads: Callable[[Any, date], ColumnElement[Any]] | None = None
    #: Whether the answer can become another one though nothing happened: days pass.
    moves_with_time: bool = False
    #: An operator and a value that can be asked, for the reference.
    example: tuple[str, Any] = ("=", None)

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators this field knows."""
        return self.ops or self.kind.ops

    def clause(
        self, op: str, value: Any, day: date, *, is_beside: bool = False
    ) -> ColumnElement[bool]:
        """One leaf over `contact`, true or not true for each.

        `is_beside`: the home's row stands beside the contact in the query, see `Home`.
        """
        is_opposite = self.is_opposite(op, value)
        test = self.test(OPPOSITE.get(op, op) if is_opposite else op, value, day)
        if is_beside:
            beside = self.home.holds_beside(test)
            return beside.is_not(true()) if is_opposite else beside
        return not_(self.home.holds(test)) if is_opposite else self.home.holds(test)

    def is_opposite(self, op: str, value: Any) -> bool:
        """Whether a leaf is tested as the opposite of another one: "has none of it"."""
        if isinstance(self.kind, Flag):
            return value is False
        return self.is_many and op in OPPOSITE

    def sentence(self, op: str, value: Any) -> str:
        """The leaf as HQ reads it."""
        return wording.tidy(self._words(op, value))

    def _words(self, op: str, value: Any) -> str:
        if self.today and op == "=" and value == 0:
            return self.today
        if self.phrase is not None:
            return self.phrase(op, value)
        if isinstance(self.kind, Flag):
            return self.kind.show(value)
        gap = f"（{self.gap}不算）" if self.gap and op in ("!=", "not_in") else ""
        if isinstance(self.kind, Number | Kilometers):
            return self._number_sentence(op, value) + gap
        names = [self.kind.show(one) for one in as_list(value)]
        if op in ("=", "in"):
            return f"{self.label}是{wording.either(names)}"
        of_them = "中的任何一个" if op == "not_in" else ""
        return f"{self.label}不是{wording.listed(names)}{of_them}{gap}"

    def _number_sentence(self, op: str, value: Any) -> str:
        if op == "between":
            low, high = (self.kind.show(one) for one in value)
            return f"{self.label}在 {low}到 {high}之间"
        return f"{self.label}{NUMBER_WORDS[op]} {self.kind.show(value)}"

    def actual(self, fact: Any) -> str:
        """What is known about this person, in words."""
        if fact is None or fact == []:
            return self.gap or "未知"
        if self.show is not None:
            return self.show(fact)
        return "、".join(self.kind.show(one) for one in as_list(fact))

    def now(self, fact: Any) -> str:
        """What is known, as the second half of a sentence: "现在是 0 次", "没有等级"."""
        words = self.actual(fact)
        if fact is None or fact == []:
            return re.sub("的(客户)?$", "", self.gap) or "现在未知"
        if isinstance(self.kind, Flag) or (self.reads is not None and self.is_many):
            return f"现在{words}"
        if self.phrase is not None and self.show is not None:
            return words
        if self.is_many:
            return f"{self.label}：{words}"
        return f"现在是 {words}" if words[0] in "-0123456789" else f"现在是{words}"


def as_list(value: Any) -> list[Any]:
    """A list as it is, anything else as a list of one."""
    return value if isinstance(value, list) else [value]


def compare(column: Any, op: str, value: Any) -> ColumnElement[bool]:
    """A plain comparison; a NULL column compares true with nothing."""
    match op:
        case "=":
            return column == value  # type: ignore[no-any-return]
        case "!=":
            return column != value  # type: ignore[no-any-return]
        case ">":
            return column > value  # type: ignore[no-any-return]
        case ">=":
            return column >= value  # type: ignore[no-any-return]
        case "<":
            return column < value  # type: ignore[no-any-return]
        case "<=":
            return column <= value  # type: ignore[no-any-return]
        case "between":
            return column.between(value[0], value[1])  # type: ignore[no-any-return]
        case "in":
            return column.in_(value)  # type: ignore[no-any-return]
        case "not_in":
            return column.not_in(value)  # type: ignore[no-any-return]
    raise ValueError(f"no such operator: {op}")


_BACKWARDS = {"=": "=", "!=": "!=", ">": "<", ">=": "<=", "<": ">", "<=": ">="}


def days_since(column: Any) -> Callable[[str, Any, date], ColumnElement[bool]]:
    """`day - column <op> k` turned into `column <op'> day - k`: a point or range for an index."""

    def test(op: str, value: Any, day: date) -> ColumnElement[bool]:
        if op == "between":
            low, high = value
            return compare(column, op, [day - timedelta(days=high), day - timedelta(days=low)])
        return compare(column, _BACKWARDS[op], day - timedelta(days=value))

    return test


def bounds(op: str, value: Any) -> tuple[int, int | None]:
    """The least and the most whole number that a comparison takes in; None: no end."""
    match op:
        case "=":
            return value, value
        case ">":
            return value + 1, None
        case ">=":
            return value, None
        case "<":
            return 0, value - 1
        case "<=":
            return 0, value
        case "between":
            return value[0], value[1]
    raise ValueError(f"no range: {op}")


def days_left(column: Any) -> Callable[[str, Any, date], ColumnElement[bool]]:
    """`column - day <op> k` as a range of dates from the day on, for an index."""

    def test(op: str, value: Any, day: date) -> ColumnElement[bool]:
        least, most = bounds(op, value)
        begins = column >= day + timedelta(days=least)
        if most is None:
            return begins  # type: ignore[no-any-return]
        return and_(begins, column <= day + timedelta(days=most))

    return test


def days_fact(column: Any) -> Callable[[date], ColumnElement[Any]]:
    """The number of days from the column's date to the day."""
    return lambda day: cast(literal(day) - column, Integer)


def plain(column: Any) -> Callable[[str, Any, date], ColumnElement[bool]]:
    """A comparison of the column itself, whatever the day."""
    return lambda op, value, day: compare(column, op, value)


def bought_only(
    bought: ColumnElement[bool], test: Callable[[str, Any, date], ColumnElement[bool]]
) -> Callable[[str, Any, date], ColumnElement[bool]]:
    """The test, for buyers only: a zero that stands for "never" is no fact."""
    return lambda op, value, day: and_(bought, test(op, value, day))
