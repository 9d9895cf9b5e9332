"""CSV import (导入): facts, guides and days off, in chunks, with a file of the rows refused.

Facts go through `intake` as events whose ids come from their content, so the same file imported
twice changes nothing.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from bot.crm import csv_events, csv_rewards, csv_rows, intake, mobiles, purchase_moves
from bot.crm.csv_rows import Line, Table
from bot.db import transact
from bot.errors import UserError

CHUNK = 1000

Progress = Callable[[int, int], None]
#: A unit of import: the rows it came from, and the event (or guide) they make, or why not.
Item = tuple[list[Line], dict[str, Any] | str]


@dataclass(frozen=True)
class ImportResult:
    """Rows of the file, by what became of them."""

    accepted: int
    duplicate: int
    rejected: int


@dataclass(frozen=True)
class Kind:
    """One kind of file: its heads, the columns it must have, how rows become units."""

    names: dict[str, str]
    required: tuple[str, ...]
    items: Callable[[Iterable[Line], datetime], Iterator[Item]]
    keep: Callable[[Session, list[dict[str, Any]], datetime, str], list[str | None]]


def _keep_events(
    session: Session, events: list[dict[str, Any]], now: datetime, secret_key: str
) -> list[str | None]:
    """For each event "" (kept), None (known already) or the reason against it."""
    # A row may hold a mobile number, and whoever knows the rest could try all there are.
    events = [event | {"id": _sealed(event["id"], secret_key)} for event in events]
    given = _ids_of(events)
    taken_back = set(session.scalars(_TAKEN_BACK, given))
    if taken_back:
        # What a later file had changed is said again: that is news, and needs an id of its own.
        again = f"{now:%Y%m%d%H%M%S%f}"
        events = [
            event | {"id": f"{event['id']}:{again}"} if event["id"] in taken_back else event
            for event in events
        ]
        given = _ids_of(events)
    before = set(session.scalars(_KNOWN, given))
    result = intake.receive(session, events, now=now, secret_key=secret_key)
    errors = {one.index: one.error for one in result.rejected}
    seen = set(before)
    outcome: list[str | None] = []
    for index, event in enumerate(events):
        outcome.append(errors.get(index, None if event["id"] in seen else ""))
        seen.add(event["id"])
    return outcome


def _sealed(event_id: str, secret_key: str) -> str:
    kind, _, digest = event_id.rpartition(":")
    return f"{kind}:{mobiles.row_digest(digest, secret_key)}"


def _ids_of(events: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    sources = sorted({event["source"] for event in events})
    return {"ids": [event["id"] for event in events], "sources": sources}


def _keep_guides(
    session: Session, guides: list[dict[str, Any]], now: datetime, secret_key: str
) -> list[str | None]:
    rows = [guide | {"n": index} for index, guide in enumerate(guides)]
    given = {"rows": json.dumps(rows, ensure_ascii=False)}
    unknown = set(session.scalars(_STORELESS, given))
    kept = {"rows": json.dumps([r for r in rows if r["n"] not in unknown], ensure_ascii=False)}
    session.execute(_GUIDES, kept)
    # Orders of a guide who was not known when they came find her now.
    purchase_moves.adopt_guides(session)
    return [
        f"没有门店“{guide['store']}”，请先导入门店。" if index in unknown else ""
        for index, guide in enumerate(guides)
    ]


def _keep_days_off(
    session: Session, days: list[dict[str, Any]], now: datetime, secret_key: str
) -> list[str | None]:
    """For each day "" (kept), None (known already) or the reason against it."""
    given = {"rows": json.dumps([day | {"n": n} for n, day in enumerate(days)])}
    known = set(session.scalars(_GUIDES_NAMED, given))
    written = {(row.userid, row.day.isoformat()) for row in session.execute(_DAYS_OFF, given)}
    outcome: list[str | None] = []
    for index, day in enumerate(days):
        key = (day["userid"].lower(), day["day"])
        if index not in known:
            outcome.append(f"没有导购“{day['userid']}”。")
        else:
            outcome.append("" if key in written else None)
            written.discard(key)
    return outcome


#: Every kind of file `daogou import` takes.
KINDS: dict[str, Kind] = {
    "members": Kind(csv_events.MEMBER_HEADS, ("member_no",), csv_events.members, _keep_events),
    "purchases": Kind(
        csv_events.PURCHASE_HEADS,
        ("order_no", "purchased_at"),
        csv_events.purchases,
        _keep_events,
    ),
    "coupons": Kind(
        csv_rewards.COUPON_HEADS,
        ("coupon_no", "occurred_at"),
        csv_rewards.coupons,
        _keep_events,
    ),
    "points": Kind(
        csv_rewards.POINTS_HEADS, ("delta", "occurred_at"), csv_rewards.points, _keep_events
    ),
    "visits": Kind(
        csv_rewards.VISIT_HEADS, ("store", "occurred_at"), csv_rewards.visits, _keep_events
    ),
    "days_off": Kind(
        csv_rewards.DAY_OFF_HEADS, ("userid", "day"), csv_rewards.days_off, _keep_days_off
    ),
    "guides": Kind(csv_events.GUIDE_HEADS, ("userid", "name"), csv_events.guides, _keep_guides),
}

# Ids made from content are the same in every source, so the id alone tells.
_KNOWN = text(
    "SELECT event_id FROM source_event WHERE event_id = ANY(:ids) AND source = ANY(:sources)"
)
# Rows about members bear no date, so their ids are the same however often they are said. One is
# taken back by a later file that says something else of the same card.
_TAKEN_BACK = text(
    """
    SELECT e.event_id FROM source_event e CROSS JOIN LATERAL (
        SELECT max(n.occurred_at) AS newest, max(n.occurred_at) FILTER (
            WHERE n.event_id = e.event_id OR starts_with(n.event_id, e.event_id || ':')) AS same
        FROM source_event n
        WHERE n.contact_id = e.contact_id AND n.source = e.source AND n.kind = 'member'
          AND n.body ->> 'member_no' = e.body ->> 'member_no'
    ) AS said
    WHERE e.event_id = ANY(:ids) AND e.source = ANY(:sources) AND e.kind = 'member'
      AND said.newest > said.same
    """
)
_ROWS = """
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        n integer, userid text, name text, store text, is_manager boolean)
"""
_STORELESS = text(
    f"""
    SELECT r.n FROM ({_ROWS}) AS r
    WHERE r.store IS NOT NULL AND NOT EXISTS (SELECT FROM store s WHERE s.code = r.store)
    """
)
# Of two rows about one guide the lower one in the file holds.
_GUIDES = text(
    f"""
    WITH last AS (
        SELECT DISTINCT ON (lower(r.userid)) r.*, s.id AS store_id
        FROM ({_ROWS}) AS r LEFT JOIN store s ON s.code = r.store
        ORDER BY lower(r.userid), r.n DESC
    )
    INSERT INTO guide AS g (userid, name, store_id, is_manager)
    SELECT userid, name, store_id, is_manager FROM last ORDER BY lower(userid)
    ON CONFLICT ((lower(userid))) DO UPDATE SET name = excluded.name,
        store_id = COALESCE(excluded.store_id, g.store_id), is_manager = excluded.is_manager
    """
)

_DAY_ROWS = """
    SELECT r.n, g.id AS guide_id, lower(r.userid) AS userid, r.day
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (n integer, userid text, day date)
    JOIN guide g ON lower(g.userid) = lower(r.userid)
"""
_GUIDES_NAMED = text(f"SELECT n FROM ({_DAY_ROWS}) AS named")
_DAYS_OFF = text(
    f"""
    WITH given AS ({_DAY_ROWS}), written AS (
        INSERT INTO guide_day_off (guide_id, day)
        SELECT DISTINCT guide_id, day FROM given ORDER BY guide_id, day
        ON CONFLICT DO NOTHING
        RETURNING guide_id, day
    )
    SELECT DISTINCT g.userid, g.day FROM given g JOIN written w USING (guide_id, day)
    """
)


def import_file(
    sessions: sessionmaker[Session],
    kind: str,
    path: Path,
    rejects: Path,
    *,
    now: datetime,
    secret_key: str,
    progress: Progress = lambda done, total: None,
) -> ImportResult:
    """Import a CSV file; rows that are refused go to `rejects` with the reason, and only they.

    Each chunk is one transaction: a killed import is simply started again. UserError when the file
    as a whole cannot be read.
    """
    rules = KINDS.get(kind)
    if rules is None:
        raise UserError(f"不能导入“{kind}”，可以用：{'、'.join(KINDS)}。", field="kind")
    table = csv_rows.open_table(path, rules.names, rules.required)
    accepted = duplicate = rejected = 0
    rejects.unlink(missing_ok=True)
    with _Rejects(table, rejects) as refused:
        items = rules.items(table.lines(), now)
        while chunk := list(itertools.islice(items, CHUNK)):
            for lines, outcome in _keep(sessions, rules, chunk, now, secret_key):
                accepted += len(lines) if outcome == "" else 0
                duplicate += len(lines) if outcome is None else 0
                if outcome:
                    rejected += len(lines)
                    refused.write(lines, outcome)
            progress(chunk[-1][0][-1].number - 1, table.line_count)
    progress(table.line_count, table.line_count)
    return ImportResult(accepted, duplicate, rejected)


def _keep(
    sessions: sessionmaker[Session],
    rules: Kind,
    chunk: Sequence[Item],
    now: datetime,
    secret_key: str,
) -> Iterator[tuple[list[Line], str | None]]:
    """Keep one chunk in one transaction; yields each unit's rows with what became of them."""
    good = [(lines, made) for lines, made in chunk if not isinstance(made, str)]
    made_of = [made for _, made in good]
    outcomes = transact(sessions, lambda session: rules.keep(session, made_of, now, secret_key))
    yield from ((lines, made) for lines, made in chunk if isinstance(made, str))
    for (lines, _), outcome in zip(good, outcomes, strict=True):
        yield lines, outcome


class _Rejects:
    """The file of refused rows; it appears with the first of them."""

    def __init__(self, table: Table, path: Path) -> None:
        self._table = table
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> _Rejects:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, lines: Iterable[Line], reason: str) -> None:
        """Add rows as they were, with their line number and the reason."""
        if self._file is None:
            # With the mark by which spreadsheets know UTF-8.
            self._file = self._path.open("w", encoding="utf-8-sig", newline="")
            head = [csv_rows.defused(cell) for cell in self._table.head]
            csv.writer(self._file).writerow([*head, "行号", "原因"])
        for line in lines:
            width = len(self._table.head)
            cells = [csv_rows.defused(cell) for cell in (*line.raw, *[""] * width)[:width]]
            csv.writer(self._file).writerow([*cells, line.number, csv_rows.defused(reason)])
