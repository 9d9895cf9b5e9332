"""Quiet hours (免打扰时段): no customer is written to inside them; steps move to their end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from sqlalchemy import Date, Time, case, cast, func, literal
from sqlalchemy.sql.elements import ColumnElement

from bot.clock import SHANGHAI
from bot.errors import UserError

_ZONE = "Asia/Shanghai"


@dataclass(frozen=True)
class QuietHours:
    """From `start` to `end` on the Shanghai wall clock; usually over midnight. Equal: none."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """Read "21:00-09:00"; raises UserError for anything else."""
        match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", text.strip())
        if match is None:
            raise UserError("免打扰时段要写成 21:00-09:00 这样", field="quiet_hours")
        hour, minute, end_hour, end_minute = (int(part) for part in match.groups())
        return cls(time(hour, minute), time(end_hour, end_minute))

    def covers(self, moment: time) -> bool:
        """Whether a wall-clock time is quiet; the end itself is not."""
        if self.start <= self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end

    def settle(self, moment: time) -> tuple[int, time]:
        """Where a wall-clock time ends up: (days later, time)."""
        if not self.covers(moment):
            return 0, moment
        return (1 if self.start > self.end and moment >= self.start else 0), self.end

    def covers_moment(self, moment: datetime) -> bool:
        """Whether an aware moment is quiet."""
        return self.covers(moment.astimezone(SHANGHAI).time())

    def settle_local(self, local: ColumnElement[Any]) -> ColumnElement[Any]:
        """`settle` in SQL: a Shanghai timestamp without zone, moved to the end of quiet hours."""
        clock, day = cast(local, Time), cast(local, Date)
        end = cast(literal(self.end), Time)
        if self.start == self.end:
            return local
        if self.start < self.end:
            return case(
                (clock.between(self.start, self.end) & (clock < end), day + end), else_=local
            )
        return case((clock >= self.start, day + 1 + end), (clock < end, day + end), else_=local)


def to_local(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    """A timestamptz as a Shanghai timestamp without zone, in SQL."""
    return func.timezone(_ZONE, moment)


def to_moment(local: ColumnElement[Any]) -> ColumnElement[Any]:
    """A Shanghai timestamp without zone as a timestamptz, in SQL."""
    return func.timezone(_ZONE, local)


def moment_of(day: date, clock: time) -> datetime:
    """The aware moment of a wall-clock time on a business day."""
    return datetime.combine(day, clock, tzinfo=SHANGHAI)
