"""Calendar of the model (日历): festivals and lunar days from published tables, written out."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache

#: Lunar months of a year, as almanacs print them: bits 15–4 are months 1–12 (1: 30 days), the last
#: four bits the leap month, bit 16 its length.
_MONTHS = {
    2020: 0x07954, 2021: 0x06AA0, 2022: 0x0AD50, 2023: 0x05B52, 2024: 0x04B60,
    2025: 0x0A6E6, 2026: 0x0A4E0, 2027: 0x0D260, 2028: 0x0EA65, 2029: 0x0D530,
    2030: 0x05AA0,
}  # fmt: skip
_FIRST_YEAR, _FIRST_DAY = 2020, date(2020, 1, 25)
#: First days of the year, and three festivals, as the almanac prints them: the table is checked.
PRINTED = {
    "春节": ("2022-02-01", "2023-01-22", "2024-02-10", "2025-01-29", "2026-02-17", "2027-02-06",
             "2028-01-26", "2029-02-13", "2030-02-03"),
    "端午": ("2022-06-03", "2023-06-22", "2024-06-10", "2025-05-31", "2026-06-19", "2027-06-09",
             "2028-05-28"),
    "七夕": ("2022-08-04", "2023-08-22", "2024-08-10", "2025-08-29", "2026-08-19", "2027-08-08",
             "2028-08-26"),
    "中秋": ("2022-09-10", "2023-09-29", "2024-09-17", "2025-10-06", "2026-09-25", "2027-09-15",
             "2028-10-03"),
}  # fmt: skip
_LUNAR = {"春节": (1, 1), "元宵": (1, 15), "端午": (5, 5), "七夕": (7, 7), "中秋": (8, 15)}
_SOLAR = {"情人节": (2, 14), "三八": (3, 8), "520": (5, 20), "国庆": (10, 1), "双十一": (11, 11),
          "圣诞": (12, 25)}  # fmt: skip
#: The notice of the State Council for 2026: days off, and weekends that are worked.
_OFF_2026 = (
    ("01-01", "01-03"), ("02-15", "02-23"), ("04-04", "04-06"), ("05-01", "05-05"),
    ("06-19", "06-21"), ("09-25", "09-27"), ("10-01", "10-07"),
)  # fmt: skip
_WORKED_2026 = ("01-04", "02-14", "02-28", "05-09", "09-20", "10-10")


@cache
def lunar_year(year: int) -> dict[tuple[int, int], date]:
    """The solar date of each lunar (month, day); a leap month keeps nothing."""
    begins = _FIRST_DAY
    for earlier in range(_FIRST_YEAR, year):
        begins += timedelta(days=sum(_lengths(earlier)))
    found: dict[tuple[int, int], date] = {}
    leap = _MONTHS[year] & 15
    for place, length in enumerate(_lengths(year)):
        is_leap = bool(leap) and place == leap
        month = place + 1 if not leap or place < leap else place
        for day in range(1, length + 1):
            if not is_leap:
                found[(month, day)] = begins + timedelta(days=day - 1)
        if not is_leap and length == 29:
            # Who was born on a 30th keeps the last day of a short month.
            found[(month, 30)] = begins + timedelta(days=28)
        begins += timedelta(days=length)
    return found


def _lengths(year: int) -> list[int]:
    code = _MONTHS[year]
    months = [30 if code & (0x10000 >> month) else 29 for month in range(1, 13)]
    leap = code & 15
    if leap:
        months.insert(leap, 30 if code & 0x10000 else 29)
    return months


@cache
def festival(name: str, year: int, own: tuple[tuple[str, int, int], ...] = ()) -> date:
    """The day of a festival in a (lunar, for lunar ones) year; `own` are the pack's days."""
    for rule, month, day in own:
        if rule == name:
            return date(year, month, day)
    if name in _LUNAR:
        return lunar_year(year)[_LUNAR[name]]
    if name == "母亲节":
        may = date(year, 5, 1)
        return may + timedelta(days=(6 - may.weekday()) % 7 + 7)
    return date(year, *_SOLAR[name])


def kept_on(month: int, day: int, *, is_lunar: bool, year: int) -> date:
    """When a day of the year is kept in a (lunar) year."""
    if is_lunar:
        return lunar_year(year)[(month, day)]
    if (month, day) == (2, 29) and not isleap(year):
        return date(year, 2, 28)
    return date(year, month, day)


def is_workday(day: date, said: Mapping[date, bool]) -> bool:
    """As HQ said of this day, by the notice of 2026, in other years Monday to Friday."""
    if day in said:
        return said[day]
    if day.year == 2026:
        short = f"{day:%m-%d}"
        if short in _WORKED_2026:
            return True
        if any(first <= short <= last for first, last in _OFF_2026):
            return False
    return day.isoweekday() <= 5
