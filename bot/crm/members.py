"""Member data (会员资料): read from events, kept per field, whatever order the reports come in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import aliases, event_fields, mobiles
from bot.crm.receipts import Receipt
from bot.errors import DaogouError, UserError

Row = dict[str, Any]
#: What a field's value is compared by: the later (occurred_at, event id, source) is the one kept.
#: Ids are unique per source only, so without the source two tills would tie.
Version = tuple[str, str, str]

#: Each field an event may carry, with the columns that hold it.
FIELDS: dict[str, tuple[str, ...]] = {
    "member_no": ("member_no",),
    "name": ("name",),
    "mobile": ("mobile_sealed",),
    "level": ("level",),
    "points": ("points",),
    "birthday": ("birth_year", "birth_month", "birth_day", "birthday_is_lunar"),
    "wedding_day": ("wedding_year", "wedding_month", "wedding_day"),
    "registered_on": ("registered_on",),
    "home": ("home_latitude", "home_longitude"),
}
_EMPTY: Row = {"birthday_is_lunar": False}

_READ = text(
    "SELECT contact_id, to_jsonb(m) FROM member m WHERE contact_id = ANY(:ids) ORDER BY contact_id"
)
_COLUMNS = tuple(column for columns in FIELDS.values() for column in columns)
_WRITE = text(
    f"""
    INSERT INTO member (contact_id, {", ".join(_COLUMNS)}, field_versions)
    SELECT contact_id, {", ".join(_COLUMNS)}, field_versions
    FROM jsonb_populate_recordset(NULL::member, CAST(:rows AS jsonb)) ORDER BY contact_id
    ON CONFLICT (contact_id) DO UPDATE SET
    {", ".join(f"{c} = excluded.{c}" for c in (*_COLUMNS, "field_versions"))}
    """
)
# The newest members only: where nobody tells a number, nobody has to look through all of them.
_NEWEST_SEALED = text(
    """
    SELECT mobile_sealed FROM (
        SELECT mobile_sealed FROM member ORDER BY contact_id DESC LIMIT 1000) AS newest
    WHERE mobile_sealed IS NOT NULL LIMIT 1
    """
)
_DROP = text("DELETE FROM member WHERE contact_id = ANY(:ids)")


@dataclass(frozen=True)
class MemberReport:
    """What one event says of one contact's member data; `values` is keyed by field, then column."""

    contact_id: int
    version: Version
    values: Mapping[str, Row]


def version_of(occurred_at: datetime, event_id: str, source: str) -> Version:
    """The version of the values an event carries."""
    return (occurred_at.astimezone(UTC).isoformat(timespec="microseconds"), event_id, source)


def read(event: Mapping[str, Any], *, secret_key: str) -> dict[str, Row]:
    """The fields a `member` event carries; a field that is null is emptied, a missing one kept.

    Raises UserError naming the field that is malformed.
    """
    is_lunar = event_fields.flag(event, "birthday_is_lunar", default=False)
    values: dict[str, Row] = {
        "member_no": {"member_no": event_fields.short_text(event, "member_no", limit=128)}
    }
    for name, limit in (("name", 60), ("level", 40)):
        if name in event:
            values[name] = {name: event_fields.optional_text(event, name, limit=limit)}
    if "mobile" in event:
        values["mobile"] = {"mobile_sealed": _sealed(event, secret_key)}
    if "points" in event:
        values["points"] = {"points": _points(event)}
    if "birthday" in event:
        day = event_fields.optional_day_of_year(event, "birthday", is_lunar=is_lunar)
        values["birthday"] = _day_columns("birth", day) | {
            "birthday_is_lunar": is_lunar and day is not None
        }
    if "wedding_day" in event:
        day = event_fields.optional_day_of_year(event, "wedding_day")
        values["wedding_day"] = _day_columns("wedding", day)
    if "registered_on" in event:
        registered = event_fields.optional_date(event, "registered_on")
        values["registered_on"] = {"registered_on": registered and registered.isoformat()}
    if "home_latitude" in event or "home_longitude" in event:
        values["home"] = _home(event)
    return values


def load(session: Session, contact_ids: Iterable[int]) -> dict[int, Row]:
    """Member rows as JSON objects by contact; the caller holds the contacts' locks."""
    found = session.execute(_READ, {"ids": sorted(set(contact_ids))})
    return dict(found.all())


def keep(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep the member data of events; their contacts are locked."""
    reports = [
        MemberReport(
            receipt.contact_id,
            version_of(receipt.fact.occurred_at, receipt.fact.event_id, receipt.fact.source),
            receipt.fact.detail,
        )
        for receipt in receipts
    ]
    apply(session, reports)
    # A till may go on using the number of a card that was merged.
    aliases.settle(session, (receipt.contact_id for receipt in receipts))
    return set()


def apply(session: Session, reports: Sequence[MemberReport]) -> None:
    """Keep the latest value of every field, in two statements for any number of reports.

    The caller holds the locks of these contacts (`identity.resolve_many`).
    """
    if not reports:
        return
    rows = load(session, (report.contact_id for report in reports))
    for report in reports:
        row = rows.setdefault(report.contact_id, fresh(report.contact_id))
        for name, columns in report.values.items():
            put(row, name, columns, report.version)
    write(session, rows.values())


def fresh(contact_id: int) -> Row:
    """An empty member row."""
    return {"contact_id": contact_id, "field_versions": {}} | _EMPTY


def put(row: Row, name: str, columns: Mapping[str, Any], version: Sequence[str]) -> None:
    """Set one field of a row unless the row holds a later value of it."""
    held = row["field_versions"].get(name)
    if held is None or tuple(held) <= tuple(version):
        row.update(columns)
        row["field_versions"][name] = list(version)


def fold(kept: Row, gone: Row) -> Row:
    """One person's row out of two: each field's later value; unversioned ones fill gaps."""
    result = kept | {"field_versions": dict(kept["field_versions"])}
    for name, columns in FIELDS.items():
        theirs = {column: gone.get(column) for column in columns}
        version = gone["field_versions"].get(name)
        if version is not None:
            put(result, name, theirs, version)
        elif name not in result["field_versions"] and all(
            result.get(column) in (None, False) for column in columns
        ):
            result.update({c: v if v is not None else _EMPTY.get(c) for c, v in theirs.items()})
    return result


def write(session: Session, rows: Iterable[Row]) -> None:
    """Store rows as `load` gave them, one statement."""
    listed = list(rows)
    if listed:
        session.execute(_WRITE, {"rows": json.dumps(listed, ensure_ascii=False)})


def drop(session: Session, contact_ids: Iterable[int]) -> None:
    """Take the member data off these contacts."""
    session.execute(_DROP, {"ids": sorted(set(contact_ids))})


def opens_with(session: Session, secret_key: str) -> bool | None:
    """Whether the mobile numbers there are were sealed with this key; None: there are none."""
    sealed = session.scalar(_NEWEST_SEALED)
    if sealed is None:
        return None
    try:
        mobiles.open_mobile(sealed, secret_key)
    except DaogouError:
        return False
    return True


def _sealed(event: Mapping[str, Any], secret_key: str) -> str | None:
    mobile = event_fields.optional_text(event, "mobile", limit=40)
    if mobile is None:
        return None
    # PostgreSQL reads this notation as bytes, also inside JSON.
    return "\\x" + mobiles.seal_mobile(mobiles.normalize(mobile), secret_key).hex()


def _points(event: Mapping[str, Any]) -> int | None:
    if event["points"] is None:
        return None
    return event_fields.whole(event, "points", low=-(2**31), high=2**31 - 1)


def _day_columns(prefix: str, day: tuple[int | None, int, int] | None) -> Row:
    year, month, number = day or (None, None, None)
    return {f"{prefix}_year": year, f"{prefix}_month": month, f"{prefix}_day": number}


def _home(event: Mapping[str, Any]) -> Row:
    latitude = event_fields.optional_number(event, "home_latitude", low=-90, high=90)
    longitude = event_fields.optional_number(event, "home_longitude", low=-180, high=180)
    if (latitude is None) != (longitude is None):
        raise UserError("home_latitude 和 home_longitude 要一起写。", field="home_latitude")
    return {"home_latitude": latitude, "home_longitude": longitude}
