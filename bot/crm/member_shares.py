"""Whose member data is whose (会员资料归属): worked out again from the reports of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import members
from bot.errors import UserError

_REPORTS = text(
    """
    SELECT contact_id, kind, occurred_at, event_id, source, body FROM source_event
    WHERE contact_id = ANY(:ids) AND kind IN ('member', 'points') ORDER BY id
    """
)
_BEARERS = text(
    """
    SELECT value, contact_id FROM contact_identity
    WHERE kind = 'member_no' AND value = ANY(:numbers)
    """
)


@dataclass(frozen=True)
class Report:
    """What one event says of the member data of one contact; without the mobile number."""

    contact_id: int
    version: members.Version
    values: Mapping[str, members.Row]


def reports(session: Session, contact_ids: Iterable[int]) -> list[Report]:
    """Everything that was reported of these contacts."""
    return [
        Report(
            row.contact_id,
            members.version_of(row.occurred_at, row.event_id, row.source),
            _values(row.kind, row.body),
        )
        for row in session.execute(_REPORTS, {"ids": sorted(set(contact_ids))})
    ]


def part(session: Session, contact_ids: Iterable[int]) -> None:
    """After events moved among these contacts: each shows what was reported of her.

    What came through no report stays where it is.
    """
    ids = sorted(set(contact_ids))
    now = members.load(session, ids)
    told = reports(session, ids)
    owners = {report.version: report.contact_id for report in told}
    rows = {id: _unreported(id, now.get(id), owners) for id in ids}
    for report in told:
        for name, columns in report.values.items():
            members.put(rows[report.contact_id], name, columns, report.version)
    for row in now.values():
        give_mobile(rows, row, owners)
    store(session, rows)


def give_mobile(
    rows: Mapping[int, members.Row],
    held: members.Row,
    owners: Mapping[members.Version, int],
    otherwise: int | None = None,
) -> None:
    """Give the mobile in a row to whom it was reported of: only the row has it, sealed."""
    version = held["field_versions"].get("mobile")
    if version is not None:
        owner = owners.get(tuple(version), otherwise)
        if owner is not None:
            members.put(rows[owner], "mobile", {"mobile_sealed": held["mobile_sealed"]}, version)


def store(session: Session, rows: Mapping[int, members.Row]) -> None:
    """Write these rows instead of those there were; a member number is shown by who bears it."""
    numbers = sorted({row["member_no"] for row in rows.values() if row.get("member_no")})
    bearers: dict[str, int] = dict(session.execute(_BEARERS, {"numbers": numbers}).all())
    for contact_id, row in rows.items():
        if bearers.get(row.get("member_no") or "", contact_id) != contact_id:
            row["member_no"] = None
            row["field_versions"].pop("member_no", None)
    members.drop(session, rows)
    members.write(session, [row for row in rows.values() if _has_data(row)])


def _unreported(
    contact_id: int, held: members.Row | None, owners: Mapping[members.Version, int]
) -> members.Row:
    row = members.fresh(contact_id)
    for name, columns in members.FIELDS.items():
        version = held and held["field_versions"].get(name)
        if held is None or (version is not None and tuple(version) in owners):
            continue
        row |= {column: held[column] for column in columns}
        if version is not None:
            row["field_versions"][name] = version
    return row


def _values(kind: str, body: Mapping[str, Any]) -> dict[str, members.Row]:
    if kind == "points":
        balance = body.get("balance")
        return {} if balance is None else {"points": {"points": balance}}
    try:
        # The number itself was taken out of the event before it was stored.
        return members.read(body, secret_key="")
    except UserError:
        # Kept under rules of an earlier version that were laxer.
        return {}


def _has_data(row: members.Row) -> bool:
    columns: Sequence[str] = [one for many in members.FIELDS.values() for one in many]
    return any(row.get(column) not in (None, False) for column in columns)
