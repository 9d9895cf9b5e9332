"""The rows of identities (身份标识): read, written, locked; see `bot.crm.identity`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm.models import IdentityKind

#: (kind, value); a mobile's value is its blind index.
Key = tuple[str, str]

#: Strongest first: when the numbers of one event disagree, the event belongs to the first.
STRENGTH = tuple(kind.value for kind in IdentityKind)

# What was parted may have been merged with others since, so both are followed to where they are.
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
    SELECT f.kind, f.value, f.identity_id, g.id AS home_id, c.id AS contact_id,
           c.external_userid,
           ARRAY(SELECT i.value FROM contact_identity i
                 WHERE i.contact_id = c.id AND i.kind = 'unionid') AS unionids,
           ARRAY(SELECT i.value FROM contact_identity i
                 WHERE i.contact_id = c.id AND i.kind = 'member_no'
                 UNION SELECT m.member_no FROM member m
                 WHERE m.contact_id = c.id AND m.member_no IS NOT NULL) AS member_nos,
           ARRAY(SELECT COALESCE(o.merged_into_id, o.id)
                 FROM (SELECT c.id UNION ALL
                       SELECT m.id FROM contact m WHERE m.merged_into_id = c.id) AS hers (id)
                 CROSS JOIN LATERAL (
                     SELECT gone_contact_id AS id FROM contact_merge
                     WHERE kept_contact_id = hers.id AND undone_at IS NOT NULL
                     UNION ALL SELECT kept_contact_id FROM contact_merge
                     WHERE gone_contact_id = hers.id AND undone_at IS NOT NULL) AS t
                 JOIN contact o ON o.id = t.id) AS parted
    FROM found f
    JOIN contact g ON g.id = f.contact_id
    JOIN contact c ON c.id = COALESCE(g.merged_into_id, g.id)
    ORDER BY f.identity_id NULLS LAST
    """
)
# Whoever undid a merge while we waited for the lock has given numbers back.
_GIVEN_AWAY = text(
    """
    SELECT EXISTS (
        SELECT FROM contact_identity i
        JOIN jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, home_id bigint) USING (id)
        WHERE i.contact_id <> r.home_id)
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


def write(
    session: Session,
    contacts: Sequence[Mapping[str, Any]],
    identities: Sequence[Mapping[str, Any]],
) -> None:
    """Write new contacts and identities; what another transaction was quicker with is left out."""
    if contacts:
        session.execute(_INSERT_CONTACTS, {"rows": json.dumps(contacts)})
    session.execute(_INSERT_IDENTITIES, {"rows": json.dumps(identities)})
    if contacts:
        session.execute(_DROP_ORPHANS, {"ids": [row["id"] for row in contacts]})


def lock(session: Session, contact_ids: Iterable[int]) -> bool:
    """Lock these contacts in order; False when one was merged away meanwhile."""
    wanted = sorted(contact_ids)
    return len(session.scalars(_LOCK, {"ids": wanted}).all()) == len(wanted)


def are_given_away(session: Session, homes: Mapping[int, int]) -> bool:
    """Whether one of these identities stands with another contact than `homes` says."""
    rows = [{"id": one, "home_id": home} for one, home in sorted(homes.items())]
    return bool(session.scalar(_GIVEN_AWAY, {"rows": json.dumps(rows)}))


def fetch(session: Session, strays: Mapping[int, int]) -> None:
    """Bring identities that were left with a merged contact to where it went; all are locked."""
    if strays:
        rows = [{"id": one, "contact_id": home} for one, home in sorted(strays.items())]
        session.execute(_FETCH, {"rows": json.dumps(rows)})
