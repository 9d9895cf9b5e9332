"""Coupons (优惠券): issued, redeemed, expired; by us or by others, told in any order."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.crm import event_fields
from bot.crm.coupon_folds import COLUMNS, Key, Row, Saying, fold
from bot.crm.event_fields import MOST_FEN
from bot.crm.locks import Space, lock_keys
from bot.crm.members import version_of
from bot.crm.models import CouponState
from bot.crm.receipts import Receipt, entry, yuan
from bot.errors import UserError

#: Who issued the coupons whose numbers are made here.
OURS = "daogou"
# Crockford's alphabet: no letter that is read as a digit.
_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_OUR_NUMBER = re.compile(r"DG[0-9A-HJKMNP-TV-Z]{10}", re.IGNORECASE)

# Locked: a night that expires or voids it meanwhile must not be overwritten with what was read.
_READ = text(
    """
    SELECT to_jsonb(c) FROM coupon c
    JOIN jsonb_to_recordset(CAST(:keys AS jsonb)) AS r (issuer text, coupon_no text)
    USING (issuer, coupon_no)
    ORDER BY issuer, coupon_no
    FOR UPDATE OF c
    """
)
_COLUMNS = (*COLUMNS, "field_versions")
_WRITE = text(
    f"""
    INSERT INTO coupon (issuer, coupon_no, {", ".join(_COLUMNS)})
    SELECT issuer, coupon_no, {", ".join(_COLUMNS)}
    FROM jsonb_populate_recordset(NULL::coupon, CAST(:rows AS jsonb)) ORDER BY issuer, coupon_no
    ON CONFLICT (issuer, coupon_no) DO UPDATE SET
    {", ".join(f"{c} = excluded.{c}" for c in _COLUMNS)}
    RETURNING coupon_no, id
    """
)
_EXPIRE = text(
    """
    UPDATE coupon SET state = 'expired',
        expired_at = CAST(expires_on + 1 AS timestamp) AT TIME ZONE 'Asia/Shanghai'
    WHERE state = 'issued' AND expires_on < :day AND issuer = :ours
    """
)
_VOID = text(
    """
    UPDATE coupon SET state = 'expired', expired_at = :at
    WHERE id = ANY(:ids) AND state = 'issued' AND issuer = :ours
    """
)
# Who redeemed it stands in the versions as an identity; a merge or its undoing moves that.
_PART_REDEEMERS = text(
    """
    UPDATE coupon c SET redeemed_contact_id = i.contact_id FROM contact_identity i
    WHERE c.redeemed_contact_id = ANY(:ids)
      AND i.id = CAST(c.field_versions -> 'redeemed' ->> 3 AS bigint)
      AND c.redeemed_contact_id <> i.contact_id
    """
)
_MOVE_REDEEMERS = text(
    """
    UPDATE coupon c SET redeemed_contact_id = r.kept
    FROM jsonb_to_recordset(CAST(:pairs AS jsonb)) AS r (kept bigint, gone bigint)
    WHERE c.redeemed_contact_id = r.gone
    """
)


@dataclass(frozen=True)
class Issue:
    """A coupon of ours for one contact."""

    contact_id: int
    template: str
    value_fen: int
    expires_on: date
    coupon_no: str


def new_number() -> str:
    """A number of ours: `DG` and ten letters or digits that nobody can guess."""
    return "DG" + "".join(secrets.choice(_SIGNS) for _ in range(10))


def is_ours(number: str) -> bool:
    """Whether a number looks like one that was made here."""
    return _OUR_NUMBER.fullmatch(number) is not None


def read(event: Mapping[str, Any]) -> dict[str, Any]:
    """The coupon of a `coupon` event; UserError names the field that is wrong."""
    state = event_fields.word(event, "state", [each.value for each in CouponState])
    template = event_fields.optional_text(event, "template", limit=100)
    if state == CouponState.ISSUED and template is None:
        raise UserError("发券时 template 不能为空。", field="template")
    expires_on = event_fields.optional_date(event, "expires_on")
    return {
        "coupon_no": event_fields.short_text(event, "coupon_no", limit=128),
        "state": state,
        "template": template,
        "value_fen": event_fields.optional_whole(event, "value_fen", low=0, high=MOST_FEN),
        "expires_on": expires_on and expires_on.isoformat(),
        "order_no": event_fields.optional_text(event, "order_no", limit=128),
    }


def keep(session: Session, receipts: Sequence[Receipt]) -> set[int]:
    """Keep reports of locked coupons; returns who had or redeemed them before."""
    sayings = [
        Saying(
            key=_key(receipt.fact.source, receipt.fact.detail["coupon_no"]),
            state=receipt.fact.detail["state"],
            at=receipt.fact.occurred_at,
            version=version_of(
                receipt.fact.occurred_at, receipt.fact.event_id, receipt.fact.source
            ),
            contact_id=receipt.contact_id,
            identity_id=receipt.identity_id,
            values={
                name: receipt.fact.detail[name] for name in ("template", "value_fen", "expires_on")
            },
            order=(receipt.fact.source, receipt.fact.detail["order_no"]),
        )
        for receipt in receipts
    ]
    return _hear(session, sayings)[1]


def redeem_with_orders(session: Session, receipts: Iterable[Receipt]) -> set[int]:
    """Redeem the coupons of ours that purchases name; returns who had or redeemed them before."""
    sayings = [
        Saying(
            key=_key("", receipt.fact.detail["coupon_no"]),
            state=CouponState.REDEEMED,
            at=receipt.fact.occurred_at,
            version=version_of(
                receipt.fact.occurred_at, receipt.fact.event_id, receipt.fact.source
            ),
            contact_id=receipt.contact_id,
            identity_id=receipt.identity_id,
            values={},
            order=(receipt.fact.source, receipt.fact.detail["order_no"]),
        )
        for receipt in receipts
        if is_ours(receipt.fact.detail["coupon_no"] or "")
    ]
    return _hear(session, sayings)[1]


def issue(session: Session, rows: Sequence[Issue], at: datetime) -> dict[str, int]:
    """Issue coupons of ours, in two statements for any number; returns number -> coupon id.

    A number that was issued before stays as it is.
    """
    ids, _ = _hear(
        session,
        [
            Saying(
                key=_key(OURS, row.coupon_no),
                state=CouponState.ISSUED,
                at=at,
                version=version_of(at, "", OURS),
                contact_id=row.contact_id,
                identity_id=None,
                values={
                    "template": row.template,
                    "value_fen": row.value_fen,
                    "expires_on": row.expires_on.isoformat(),
                },
                order=(OURS, None),
            )
            for row in rows
        ],
        only_new=True,
    )
    return ids


def expire(session: Session, day: date) -> int:
    """End the coupons of ours whose last day is past; returns how many."""
    done = session.execute(_EXPIRE, {"day": day, "ours": OURS})
    return done.rowcount  # type: ignore[attr-defined,no-any-return]


def void(session: Session, coupon_ids: Iterable[int], at: datetime) -> int:
    """Take back coupons of ours that nobody was told of; a redeemed one stays. How many."""
    done = session.execute(_VOID, {"ids": sorted(set(coupon_ids)), "at": at, "ours": OURS})
    return done.rowcount  # type: ignore[attr-defined,no-any-return]


def keys(receipts: Iterable[Receipt]) -> set[Key]:
    """The coupons that coupon events speak of, and those of ours that purchases name."""
    return {
        _key(one.fact.source, number)
        for one in receipts
        if (number := one.fact.detail["coupon_no"]) is not None
        and (one.fact.kind == "coupon" or is_ours(number))
    }


def move_redeemers(session: Session, pairs: str) -> None:
    """After a merge: `pairs` is a JSON list of {kept, gone}."""
    session.execute(_MOVE_REDEEMERS, {"pairs": pairs})


def part_redeemers(session: Session, contact_ids: Iterable[int]) -> None:
    """After a merge was undone: each redemption goes to whose identity it came under."""
    session.execute(_PART_REDEEMERS, {"ids": sorted(set(contact_ids))})


def story(receipt: Receipt) -> dict[str, Any]:
    """The line a coupon event writes into the customer's story."""
    detail = receipt.fact.detail
    verb = {
        CouponState.ISSUED: "收到优惠券",
        CouponState.REDEEMED: "用了优惠券",
        CouponState.EXPIRED: "优惠券过期",
    }[CouponState(detail["state"])]
    what = detail["template"] or detail["coupon_no"]
    worth = f"，面额 {yuan(detail['value_fen'])}" if detail["value_fen"] else ""
    return entry(receipt, "coupon", f"{verb}「{what}」{worth}", {"coupon_no": detail["coupon_no"]})


def _key(source: str, number: str) -> Key:
    return (OURS, number.upper()) if is_ours(number) else (source, number)


def _hear(
    session: Session, sayings: Sequence[Saying], *, only_new: bool = False
) -> tuple[dict[str, int], set[int]]:
    """Fold what was said into the coupons; returns their ids by number, and who had them."""
    if not sayings:
        return {}, set()
    wanted = {saying.key for saying in sayings}
    if not only_new:
        # Nobody can speak of a new number before it is committed; and a night that issues
        # thousands must not hold up every till until it is done.
        lock_keys(session, Space.COUPONS, wanted)
    given = [{"issuer": issuer, "coupon_no": number} for issuer, number in sorted(wanted)]
    rows: dict[Key, Row] = {
        (row["issuer"], row["coupon_no"]): row
        for row in session.scalars(_READ, {"keys": json.dumps(given, ensure_ascii=False)})
    }
    before = {row[name] for row in rows.values() for name in ("contact_id", "redeemed_contact_id")}
    known = {number: row["id"] for (_, number), row in rows.items()}
    for saying in sayings:
        held = rows.get(saying.key)
        if only_new and held is not None and held["issued_at"] is not None:
            continue
        rows[saying.key] = fold(held, saying)
    listed = json.dumps(list(rows.values()), ensure_ascii=False)
    written: dict[str, int] = dict(session.execute(_WRITE, {"rows": listed}).all())
    return known | written, before - {None}
