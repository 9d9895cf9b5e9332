"""The rows of identities (身份标识): read, written, locked; see `bot.crm.identity`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm.identity_partition import STRENGTH, Key
from bot.crm.models import IdentityKind

_READ = text(
    """
    WITH wanted AS (
        SELECT kind, value
        FROM jsonb_to_recordset(CAST(:keys AS jsonb)) AS r (kind text, value text)
    ), found AS (
        SELECT i.kind, i.value, i.id AS identity_id, i.contact_id
        FROM wanted JOIN contact_identity i USING (kind, value)
        UNION ALL
        SELECT 'external_userid', c.external_userid, NULL, c.id
        FROM contact c WHERE c.external_userid = ANY(:external_userids)
        UNION ALL
        SELECT 'member_no', m.member_no, NULL, m.contact_id
        FROM member m WHERE m.member_no = ANY(:member_nos)
    )
    SELECT f.kind, f.value, f.identity_id, g.id AS home_id, c.id, c.external_userid,
           (SELECT m.member_no FROM member m WHERE m.contact_id = c.id) AS member_no,
           (SELECT jsonb_agg(jsonb_build_array(i.id, i.kind, i.value) ORDER BY i.id)
            FROM contact_identity i WHERE i.contact_id = c.id) AS numbers,
           (SELECT jsonb_agg(jsonb_build_array(i.kind, i.value, o.kind, o.value))
            FROM contact_identity i
            JOIN identity_ruling r ON r.one_id = i.id AND NOT r.is_one
            JOIN contact_identity o ON o.id = r.other_id
            WHERE i.contact_id = c.id) AS apart
    FROM found f
    JOIN contact g ON g.id = f.contact_id
    JOIN contact c ON c.id = COALESCE(g.merged_into_id, g.id)
    ORDER BY f.identity_id NULLS LAST
    """
)
# Whoever had the contact before us may have given it numbers or taken some away.
_HAS_CHANGED = text(
    """
    SELECT EXISTS (
        SELECT FROM contact_identity i
        JOIN jsonb_to_recordset(CAST(:strays AS jsonb)) AS r (id bigint, home_id bigint) USING (id)
        WHERE i.contact_id <> r.home_id
    ) OR EXISTS (
        SELECT FROM jsonb_to_recordset(CAST(:homes AS jsonb)) AS r (id bigint, numbers jsonb)
        WHERE r.numbers <> (
            SELECT COALESCE(jsonb_agg(i.id ORDER BY i.id), '[]')
            FROM contact_identity i WHERE i.contact_id = r.id))
    """
)
# A number written down for a contact that was merged away in the same moment follows it.
_FETCH = text(
    """
    UPDATE contact_identity i SET contact_id = r.contact_id
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, contact_id bigint)
    WHERE i.id = r.id
    """
)
_NEW_IDS = text(
    "SELECT nextval(pg_get_serial_sequence('contact', 'id')) FROM generate_series(1, :n)"
)
# Sorted inserts: two batches with the same new people wait for each other in the same order.
_INSERT_CONTACTS = text(
    """
    INSERT INTO contact (id, external_userid)
    SELECT id, external_userid
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, external_userid text)
    ORDER BY external_userid, id
    ON CONFLICT (external_userid) DO NOTHING
    """
)
_INSERT_IDENTITIES = text(
    """
    INSERT INTO contact_identity (kind, value, contact_id)
    SELECT r.kind, r.value, c.id
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (kind text, value text, contact_id bigint)
    JOIN contact c ON c.id = r.contact_id
    ORDER BY r.kind, r.value
    ON CONFLICT (kind, value) DO NOTHING
    RETURNING kind, value, id
    """
)
_DROP_ORPHANS = text(
    """
    DELETE FROM contact c WHERE c.id = ANY(:ids) AND c.external_userid IS NULL
    AND NOT EXISTS (SELECT FROM contact_identity i WHERE i.contact_id = c.id)
    """
)
# Whoever writes facts of a contact holds its row until commit: sorted, so nobody waits in a ring.
_LOCK = text(
    """
    SELECT id FROM contact WHERE id = ANY(:ids) AND merged_into_id IS NULL
    ORDER BY id FOR NO KEY UPDATE
    """
)


def read(session: Session, keys: Sequence[Key]) -> list[Mapping[str, Any]]:
    """Every identity and contact that one of these keys names, a row each."""
    values = {kind: [v for k, v in keys if k == kind] for kind in STRENGTH}
    given = {
        "keys": json.dumps([{"kind": kind, "value": value} for kind, value in keys]),
        "external_userids": values["external_userid"],
        "member_nos": values["member_no"],
    }
    return [dict(row) for row in session.execute(_READ, given).mappings()]


def new_contact_ids(session: Session, n: int) -> list[int]:
    """Numbers for `n` contacts that are about to be written."""
    return list(session.scalars(_NEW_IDS, {"n": n})) if n else []


def write_contacts(session: Session, ids: Sequence[int]) -> None:
    """Write contacts whom WeCom does not know, under ids of `new_contact_ids`."""
    if ids:
        contacts = [{"id": id, "external_userid": None} for id in ids]
        session.execute(_INSERT_CONTACTS, {"rows": json.dumps(contacts)})


def write(
    session: Session,
    contacts: Sequence[Mapping[str, Any]],
    identities: Sequence[Mapping[str, Any]],
) -> dict[Key, int]:
    """Write new contacts and identities; returns the ids of those written.

    What another transaction was quicker with is left out.
    """
    if contacts:
        session.execute(_INSERT_CONTACTS, {"rows": json.dumps(contacts)})
    made = session.execute(_INSERT_IDENTITIES, {"rows": json.dumps(identities)})
    return {(kind, value): id for kind, value, id in made}


def scatter(session: Session, born: Mapping[Key, int], contact_ids: Sequence[int]) -> None:
    """Give each new identity a contact of its own, for what it was written down with has changed.

    An external_userid stays with the contact that bears it. Of `contact_ids`, which were new, the
    empty ones go.
    """
    alone = sorted(id for (kind, _), id in born.items() if kind != IdentityKind.EXTERNAL_USERID)
    if alone:
        ids = new_contact_ids(session, len(alone))
        write_contacts(session, ids)
        fetch(session, dict(zip(alone, ids, strict=True)))
    if contact_ids:
        session.execute(_DROP_ORPHANS, {"ids": list(contact_ids)})


def lock(session: Session, contact_ids: Iterable[int]) -> bool:
    """Lock these contacts in order; False when one was merged away meanwhile."""
    wanted = sorted(contact_ids)
    return len(session.scalars(_LOCK, {"ids": wanted}).all()) == len(wanted)


def has_changed(
    session: Session, homes: Mapping[int, Iterable[int]], strays: Mapping[int, int]
) -> bool:
    """Whether a contact no longer has just these identities, or a stray went elsewhere."""
    given = {
        "homes": json.dumps([{"id": id, "numbers": sorted(ids)} for id, ids in homes.items()]),
        "strays": json.dumps([{"id": id, "home_id": home} for id, home in strays.items()]),
    }
    return bool(session.scalar(_HAS_CHANGED, given))


def fetch(session: Session, strays: Mapping[int, int]) -> None:
    """Bring identities that were left with a merged contact to where it went; all are locked."""
    if strays:
        rows = [{"id": one, "contact_id": home} for one, home in sorted(strays.items())]
        session.execute(_FETCH, {"rows": json.dumps(rows)})
