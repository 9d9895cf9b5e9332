"""Contacts whose facts changed (待重算客户): marked by whoever writes, taken by the refresher."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

_MARK = text(
    """
    INSERT INTO changed_contact (contact_id, marked_at)
    SELECT id, clock_timestamp() FROM unnest(CAST(:ids AS bigint[])) AS id ORDER BY id
    ON CONFLICT (contact_id) DO UPDATE SET marked_at = excluded.marked_at
    """
)
# SKIP LOCKED: two refreshers share the work instead of waiting for each other.
_TAKE = text(
    """
    DELETE FROM changed_contact WHERE contact_id IN (
        SELECT contact_id FROM changed_contact ORDER BY marked_at LIMIT :n FOR UPDATE SKIP LOCKED
    ) RETURNING contact_id
    """
)


def mark(session: Session, contact_ids: Iterable[int]) -> None:
    """Ask for these contacts to be looked at again; marking twice asks once.

    A contact that is being refreshed at this moment is marked anew: the writer waits until the
    refresher has committed, so the refresher never misses what it could not yet see.
    """
    ids = sorted(set(contact_ids))
    if ids:
        session.execute(_MARK, {"ids": ids})


def take(session: Session, n: int) -> list[int]:
    """Take up to `n` marked contacts, oldest first, in the caller's transaction.

    A rollback gives them back.
    """
    return sorted(session.scalars(_TAKE, {"n": n}).all())
