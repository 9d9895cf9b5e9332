"""What WeCom knows of a customer (客户详情): read after the welcome, folded into the book."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import changes, identity, mobiles, roster
from bot.crm.models import IdentityKind
from bot.crm.relation_story import Report
from bot.crm.roster import Said
from bot.errors import UserError
from bot.wecom.details import ContactDetail

# A relation younger than this may not be in WeCom's lists yet.
_SETTLED = timedelta(seconds=2)
_TEXT_LIMIT = 500
_SOURCE = "wecom"

_DESCRIBE = text(
    """
    UPDATE contact c SET name = r.name, avatar_url = NULLIF(r.avatar, ''), gender = r.gender,
        kind = r.kind, unionid = COALESCE(r.unionid, c.unionid),
        fetched_at = GREATEST(c.fetched_at, CAST(:at AS timestamptz)),
        refresh_after = CASE WHEN c.refresh_after > :at THEN c.refresh_after END
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        external_userid text, name text, avatar text, gender smallint, kind smallint, unionid text)
    WHERE c.external_userid = r.external_userid AND (c.fetched_at IS NULL OR c.fetched_at <= :at)
    """
)
_REMARK = text(
    """
    UPDATE follow_relation f SET remark = NULLIF(r.remark, ''),
        description = NULLIF(r.description, ''), add_way = r.add_way
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        userid text, external_userid text, remark text, description text, add_way smallint)
    JOIN guide g ON lower(g.userid) = lower(r.userid)
    JOIN contact c ON c.external_userid = r.external_userid
    WHERE f.guide_id = g.id AND f.contact_id = c.id
    """
)
# Half relations are never listed: only the guide's confirmation makes them visible (84061).
_LISTED = text(
    """
    SELECT g.userid, c.external_userid FROM follow_relation f
    JOIN guide g ON g.id = f.guide_id JOIN contact c ON c.id = f.contact_id
    WHERE c.external_userid = ANY(:ids) AND f.state = 'active' AND f.changed_at <= :settled
    """
)


def apply_detail(
    session: Session, detail: ContactDetail, at: datetime, *, secret_key: str | None = None
) -> None:
    """Keep a reading, made at `at`, of one customer with all followers.

    Without the secret key mobiles in remarks cannot be looked up; the reading is then asked for
    again, and whoever answers has the key.
    """
    apply_details(session, [detail], at, secret_key=secret_key, is_whole=True)


def apply_details(
    session: Session,
    details: Sequence[ContactDetail],
    at: datetime,
    *,
    secret_key: str | None,
    is_whole: bool,
) -> None:
    """Keep readings, in a constant number of statements.

    `is_whole`: each detail lists all its followers, so a guide who is missing is gone. A page of
    `batch/get_by_user` lists one follower at a time instead.
    """
    known = [detail for detail in details if detail.external_userid]
    if not known:
        return
    said = [
        Said(f.userid, d.external_userid, Report.FULL, f.created_at, f.state)
        for d in known
        for f in d.follows
        if f.userid and f.created_at
    ]
    roster.tell(session, said, by_reading=True)
    contacts = roster.lock_contacts(session, {detail.external_userid for detail in known})
    if is_whole:
        _end_missing(session, known, at)
    session.execute(_DESCRIBE, {"rows": json.dumps(_people(known)), "at": at})
    session.execute(_REMARK, {"rows": json.dumps(_remarks(known))})
    _join(session, known, at, secret_key)
    if secret_key is None:
        waiting = {d.external_userid for d in known if any(f.remark_mobiles for f in d.follows)}
        roster.nudge(session, {contacts[one]: at for one in waiting})
    if is_whole:
        changes.mark(session, contacts.values())


def nobody_follows(session: Session, external_userid: str, at: datetime) -> None:
    """WeCom says that no guide (confirmed) follows this customer any more (84061)."""
    contacts = roster.lock_contacts(session, [external_userid])
    roster.tell(session, _missing(session, {external_userid: set()}, at), by_reading=True)
    settle(session, contacts.values(), at)


def settle(session: Session, contact_ids: Iterable[int], at: datetime) -> None:
    """Note that these contacts were looked at, without result, and need not be again."""
    session.execute(
        text(
            "UPDATE contact SET refresh_after = NULL WHERE id = ANY(:ids) AND refresh_after <= :at"
        ),
        {"ids": sorted(contact_ids), "at": at},
    )


def _end_missing(session: Session, details: Sequence[ContactDetail], at: datetime) -> None:
    followers = {d.external_userid: {f.userid.lower() for f in d.follows} for d in details}
    roster.tell(session, _missing(session, followers, at), by_reading=True)


def _missing(session: Session, followers: dict[str, set[str]], at: datetime) -> list[Said]:
    given = {"ids": sorted(followers), "settled": at - _SETTLED}
    return [
        Said(userid, external_userid, Report.ABSENT, at)
        for userid, external_userid in session.execute(_LISTED, given)
        if userid.lower() not in followers[external_userid]
    ]


def _people(details: Sequence[ContactDetail]) -> list[dict[str, Any]]:
    rows = {
        detail.external_userid: {
            "external_userid": detail.external_userid,
            "name": storable(detail.name),
            "avatar": storable(detail.avatar),
            "gender": detail.gender if detail.gender in (1, 2) else 0,
            "kind": 2 if detail.type == 2 else 1,
            "unionid": detail.unionid,
        }
        for detail in details
    }
    return list(rows.values())


def _remarks(details: Sequence[ContactDetail]) -> list[dict[str, Any]]:
    return [
        {
            "userid": follow.userid,
            "external_userid": detail.external_userid,
            "remark": storable(follow.remark),
            "description": storable(follow.description),
            "add_way": follow.add_way if 0 <= follow.add_way < 32_000 else 0,
        }
        for detail in details
        for follow in detail.follows
    ]


def storable(words: str) -> str:
    """Words as PostgreSQL can keep them: no NUL, no half characters, no endless text."""
    clean = words.replace("\x00", "").encode("utf-8", "replace").decode()
    return clean[:_TEXT_LIMIT]


def _join(
    session: Session, details: Sequence[ContactDetail], at: datetime, secret_key: str | None
) -> None:
    """Join what POS and mall know of the same people: by unionid, by mobiles in remarks."""
    people: dict[str, dict[identity.Key, None]] = {}
    for detail in details:
        keys = people.setdefault(detail.external_userid, {})
        keys[IdentityKind.EXTERNAL_USERID.value, detail.external_userid] = None
        if detail.unionid:
            keys[IdentityKind.UNIONID.value, detail.unionid] = None
        for follow in detail.follows:
            for mobile in follow.remark_mobiles if secret_key else ():
                index = _index(mobile, secret_key or "")
                if index:
                    keys[IdentityKind.MOBILE.value, index] = None
    joined = [
        identity.Told(tuple(keys), (at.astimezone(UTC), external_userid, _SOURCE))
        for external_userid, keys in people.items()
        if len(keys) > 1
    ]
    identity.resolve_many(session, joined)


def _index(mobile: str, secret_key: str) -> str | None:
    """A guide may write anything into a remark; what is no mobile number is passed over."""
    try:
        return mobiles.mobile_index(mobiles.normalize(mobile), secret_key)
    except UserError:
        return None
