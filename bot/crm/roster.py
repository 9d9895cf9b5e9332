"""Who follows whom (跟进关系): what callbacks and readings of WeCom say, folded into the book."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, text
from sqlalchemy.orm import Session

from bot.clock import business_day
from bot.crm import changes, channel_counts, follow_lines, relation_story
from bot.crm.models import Guide
from bot.crm.relation_story import Report, Story
from bot.wecom.events import ContactAdded, ContactHalfAdded

_GUIDE = text(
    """
    WITH made AS (
        INSERT INTO guide (userid, name)
        SELECT userid, userid FROM unnest(CAST(:userids AS text[])) AS u (userid) ORDER BY 1
        ON CONFLICT DO NOTHING RETURNING id, userid
    )
    SELECT id, lower(userid) AS folded FROM made
    UNION SELECT g.id, lower(g.userid) FROM guide g
    WHERE lower(g.userid) = ANY(SELECT lower(u) FROM unnest(CAST(:userids AS text[])) AS u)
    """
)
_CONTACTS = text(
    """
    INSERT INTO contact (external_userid)
    SELECT u FROM unnest(CAST(:ids AS text[])) AS u ORDER BY 1
    ON CONFLICT (external_userid) DO NOTHING
    """
)
_IDENTITIES = text(
    """
    INSERT INTO contact_identity (kind, value, contact_id)
    SELECT 'external_userid', c.external_userid, c.id FROM contact c
    WHERE c.external_userid = ANY(:ids) AND NOT EXISTS (
        SELECT FROM contact_identity i
        WHERE i.kind = 'external_userid' AND i.value = c.external_userid)
    ORDER BY c.external_userid ON CONFLICT DO NOTHING
    """
)
# The row of the contact is the lock of everything that is folded into it.
_LOCK_CONTACTS = text(
    """
    SELECT external_userid, id FROM contact WHERE external_userid = ANY(:ids)
    ORDER BY id FOR NO KEY UPDATE
    """
)
_HISTORIES = text(
    """
    SELECT guide_id, contact_id, history FROM follow_relation
    WHERE contact_id = ANY(:contacts) AND guide_id = ANY(:guides)
    """
)
_WRITE = text(
    """
    INSERT INTO follow_relation AS f (guide_id, contact_id, state, relation_no, followed_at,
        followed_on, ended_at, ended_on, ended_by, channel_code_id, state_text, changed_at, history)
    SELECT r.guide_id, r.contact_id, r.state, r.relation_no, r.followed_at, r.followed_on,
           r.ended_at, r.ended_on, r.ended_by, k.id, r.state_text, r.changed_at, r.history
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        guide_id bigint, contact_id bigint, state text, relation_no integer,
        followed_at timestamptz, followed_on date, ended_at timestamptz, ended_on date,
        ended_by text, state_text text, changed_at timestamptz, history jsonb)
    LEFT JOIN channel_code k ON k.state = r.state_text
    ORDER BY r.contact_id, r.guide_id
    ON CONFLICT (guide_id, contact_id) DO UPDATE SET
        state = excluded.state, relation_no = excluded.relation_no,
        followed_at = excluded.followed_at, followed_on = excluded.followed_on,
        ended_at = excluded.ended_at, ended_on = excluded.ended_on, ended_by = excluded.ended_by,
        channel_code_id = excluded.channel_code_id, state_text = excluded.state_text,
        changed_at = excluded.changed_at, history = excluded.history
    """
)
_STANDING = text(
    """
    SELECT id AS relation_id, contact_id, guide_id, channel_code_id, relation_no,
           state <> 'ended' AS is_live
    FROM follow_relation WHERE contact_id = ANY(:contacts) AND guide_id = ANY(:guides)
    """
)
# The guide who has followed longest stays responsible; a second guide never disturbs the first.
# A guide who left counts only while nobody else is there.
_PRIMARY = text(
    """
    WITH locked AS MATERIALIZED (
        SELECT id FROM contact WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE
    ), best AS (
        SELECT DISTINCT ON (f.contact_id) f.contact_id, f.guide_id, f.followed_on, f.channel_code_id
        FROM follow_relation f JOIN guide g ON g.id = f.guide_id
        WHERE f.contact_id = ANY(:ids) AND f.state <> 'ended'
        ORDER BY f.contact_id, g.is_active DESC, f.followed_at, f.id
    )
    UPDATE contact c SET guide_id = b.guide_id, followed_on = b.followed_on,
                         channel_code_id = b.channel_code_id
    FROM locked l LEFT JOIN best b ON b.contact_id = l.id
    WHERE c.id = l.id AND (c.guide_id, c.followed_on, c.channel_code_id)
          IS DISTINCT FROM (b.guide_id, b.followed_on, b.channel_code_id)
    """
)
# Two seconds later the platform's own reading is settled, too.
_NUDGE = text(
    """
    UPDATE contact SET refresh_after = GREATEST(refresh_after, r.at + interval '2 seconds')
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, at timestamptz)
    WHERE contact.id = r.id
    """
)


#: (guide id, contact id)
Pair = tuple[int, int]
History = list[list[Any]]


@dataclass(frozen=True)
class Said:
    """One report about one pair of a guide and a customer."""

    userid: str
    external_userid: str
    kind: Report
    at: datetime
    state_text: str | None = None


def added(event: ContactAdded | ContactHalfAdded) -> Said:
    """What the callback of an add reports."""
    kind = Report.HALF if isinstance(event, ContactHalfAdded) else Report.FULL
    return Said(event.userid, event.external_userid, kind, event.created_at, event.state)


@dataclass(frozen=True)
class Follow:
    """A relation as it stands after a report.

    `is_new`: this report is what made the two come together (for the first time, or again).
    `relation_no` counts the times they did.
    """

    relation_id: int
    contact_id: int
    guide_id: int
    channel_code_id: int | None
    relation_no: int
    is_live: bool
    is_new: bool


def end_follow(
    session: Session, *, userid: str, external_userid: str, by: str, at: datetime
) -> Follow:
    """They parted: `by` is guide, customer or transfer."""
    return tell(session, [Said(userid, external_userid, Report(by), at)])[0]


def tell(session: Session, said: Sequence[Said], *, by_reading: bool = False) -> list[Follow]:
    """Fold reports into the book, in a constant number of statements for any number of them.

    Guides and customers nobody has told of are written down. The same report again changes
    nothing, and reports may come in any order. After a beginning the details (name, unionid,
    mobiles) are asked for, to be read after the welcome.

    `by_reading`: they come from a reading of the details, so nobody has to read these again.
    """
    if not said:
        return []
    guides = guide_ids(session, {one.userid for one in said})
    contacts = lock_contacts(session, {one.external_userid for one in said})
    pairs = [(guides[one.userid.lower()], contacts[one.external_userid]) for one in said]
    before = _histories(session, pairs)
    after = {pair: before.get(pair, []) for pair in pairs}
    is_new: list[bool] = []
    unsure: dict[int, datetime] = {}
    for pair, one in zip(pairs, said, strict=True):
        was = after[pair]
        line = relation_story.entry(one.kind, one.at, one.state_text)
        put = relation_story.confirm if by_reading and begins(one) else relation_story.add
        after[pair] = put(was, line)
        is_new.append(_is_live(after[pair]) and not _is_live(was))
        asks = begins(one) and not by_reading
        if after[pair] != was and (asks or relation_story.is_tied(after[pair], one.at)):
            unsure[pair[1]] = max(one.at, unsure.get(pair[1], one.at))
    _fold_in(session, before, after)
    nudge(session, unsure)
    standing = _standing(session, pairs)
    return [Follow(**standing[pair], is_new=new) for pair, new in zip(pairs, is_new, strict=True)]


def begins(one: Said) -> bool:
    """Whether a report is about a beginning."""
    return one.kind in relation_story.BEGINNINGS


def guide_ids(session: Session, userids: Iterable[str]) -> dict[str, int]:
    """Ids by lower-case userid; a guide nobody has loaded yet is written down by the userid."""
    listed = sorted({one.lower(): one for one in userids}.values())
    found = session.execute(_GUIDE, {"userids": listed}).all()
    if len({folded for _, folded in found}) < len(listed):
        # Another transaction wrote one of them a moment ago; its row is visible by now.
        found = session.execute(_GUIDE, {"userids": listed}).all()
    return {folded: guide_id for guide_id, folded in found}


def same_guide(userid: str) -> ColumnElement[bool]:
    """The clause that finds a guide; WeCom compares userids without case."""
    return func.lower(Guide.userid) == userid.lower()


def lock_contacts(session: Session, external_userids: Iterable[str]) -> dict[str, int]:
    """Contact ids by external_userid, made where missing, locked until commit."""
    listed = sorted(set(external_userids))
    session.execute(_CONTACTS, {"ids": listed})
    session.execute(_IDENTITIES, {"ids": listed})
    return dict(session.execute(_LOCK_CONTACTS, {"ids": listed}).all())


def choose_primary(session: Session, contact_ids: Iterable[int]) -> None:
    """Set the responsible guide, the day and the channel code of these contacts."""
    session.execute(_PRIMARY, {"ids": sorted(set(contact_ids))})


def nudge(session: Session, moments: Mapping[int, datetime]) -> None:
    """Ask for the details of these contacts to be read again, soon after the given moments."""
    if moments:
        rows = [{"id": one, "at": moments[one].isoformat()} for one in sorted(moments)]
        session.execute(_NUDGE, {"rows": json.dumps(rows)})


def _is_live(history: History) -> bool:
    return relation_story.fold(history).is_live


def _histories(session: Session, pairs: Sequence[Pair]) -> dict[Pair, History]:
    found = session.execute(_HISTORIES, _sides(pairs))
    wanted = set(pairs)
    return {(g, c): history for g, c, history in found if (g, c) in wanted}


def _standing(session: Session, pairs: Sequence[Pair]) -> dict[Pair, dict[str, Any]]:
    rows = [dict(row) for row in session.execute(_STANDING, _sides(pairs)).mappings()]
    return {(row["guide_id"], row["contact_id"]): row for row in rows}


def _sides(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    return {
        "guides": sorted({guide for guide, _ in pairs}),
        "contacts": sorted({contact for _, contact in pairs}),
    }


def _fold_in(
    session: Session, before: Mapping[Pair, History], after: Mapping[Pair, History]
) -> None:
    """Write the relations whose history grew, and what follows from them."""
    changed = {pair: told for pair, told in after.items() if told != before.get(pair)}
    if not changed:
        return
    stories = {pair: relation_story.fold(told) for pair, told in changed.items()}
    rows = [_row(pair, changed[pair], story) for pair, story in stories.items()]
    session.execute(_WRITE, {"rows": json.dumps(rows, ensure_ascii=False)})
    choose_primary(session, (contact for _, contact in changed))
    steps = [(pair, relation_story.fold(before.get(pair, [])), stories[pair]) for pair in changed]
    channel_counts.count(session, [(was, now) for _, was, now in steps])
    follow_lines.tell(session, steps)
    changes.mark(session, (contact for _, contact in changed))


def _row(pair: Pair, history: History, story: Story) -> dict[str, Any]:
    assert story.state is not None
    assert story.followed_at is not None
    assert story.changed_at is not None
    ending = None if story.is_live else story.last_ending
    return {
        "guide_id": pair[0],
        "contact_id": pair[1],
        "state": story.state.value,
        "relation_no": story.relation_no,
        "followed_at": story.followed_at.isoformat(),
        "followed_on": business_day(story.followed_at).isoformat(),
        "ended_at": ending and ending.at.isoformat(),
        "ended_on": ending and business_day(ending.at).isoformat(),
        "ended_by": ending and ending.by,
        "state_text": story.state_text,
        "changed_at": story.changed_at.isoformat(),
        "history": history,
    }
