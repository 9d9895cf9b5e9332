"""What a coupon's reports add up to (优惠券归并): the same whatever order they come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.clock import business_day
from bot.crm.members import Version
from bot.crm.models import CouponState

Row = dict[str, Any]
#: (issuer, coupon number)
Key = tuple[str, str]
#: What reports write of a coupon, besides the versions.
COLUMNS = (
    "contact_id",
    "identity_id",
    "template",
    "state",
    "value_fen",
    "issued_at",
    "issued_on",
    "expires_on",
    "redeemed_at",
    "redeemed_on",
    "expired_at",
    "order_source",
    "order_no",
    "redeemed_contact_id",
)


@dataclass(frozen=True)
class Saying:
    """What one event says of one coupon. `order`: (source, order number or None)."""

    key: Key
    state: str
    at: datetime
    version: Version
    contact_id: int
    identity_id: int | None
    values: Mapping[str, Any]
    order: tuple[str, str | None]


def fold(held: Row | None, saying: Saying) -> Row:
    """The coupon after one more report.

    Its terms are the newest told; it was issued, redeemed and expired when that was first told;
    its owner is who got it by the newest issue, or, where none was told, who showed it first.
    """
    row = _fresh(saying.key) if held is None else held | {"field_versions": dict(_versions(held))}
    for name, value in saying.values.items():
        if value is not None and _is_newer(row, name, saying.version):
            row[name] = value
            _versions(row)[name] = list(saying.version)
    _own(row, saying)
    if saying.state == CouponState.ISSUED:
        if _is_earlier(row, "issued_at", saying.at):
            row["issued_at"] = saying.at.isoformat()
            row["issued_on"] = business_day(saying.at).isoformat()
    elif saying.state == CouponState.REDEEMED:
        _redeem(row, saying)
    elif _is_earlier(row, "expired_at", saying.at):
        row["expired_at"] = saying.at.isoformat()
    row["state"] = _state(row)
    return row


def _fresh(key: Key) -> Row:
    named = {"issuer": key[0], "coupon_no": key[1], "field_versions": {}}
    return named | dict.fromkeys(COLUMNS)


def _own(row: Row, saying: Saying) -> None:
    held = _versions(row).get("owner")
    is_issued = saying.state == CouponState.ISSUED
    mine = [int(is_issued), *saying.version]
    if held is not None and not _is_better_owner(mine, held):
        return
    row["contact_id"], row["identity_id"] = saying.contact_id, saying.identity_id
    _versions(row)["owner"] = mine


def _is_better_owner(mine: list[Any], held: list[Any]) -> bool:
    """[was issued to, *version]: an issue beats anything else, the newest issue every other."""
    if mine[0] != held[0]:
        return bool(mine[0])
    return mine >= held if mine[0] else mine < held


def _redeem(row: Row, saying: Saying) -> None:
    held = _versions(row).get("redeemed")
    if held is None or list(saying.version) < held[:3]:
        row["redeemed_at"] = saying.at.isoformat()
        row["redeemed_on"] = business_day(saying.at).isoformat()
        row["redeemed_contact_id"] = saying.contact_id
        _versions(row)["redeemed"] = [*saying.version, saying.identity_id]
    source, order_no = saying.order
    held = _versions(row).get("order")
    if order_no is not None and (held is None or list(saying.version) < held):
        row["order_source"], row["order_no"] = source, order_no
        _versions(row)["order"] = list(saying.version)


def _state(row: Row) -> str:
    if row["redeemed_at"] is not None:
        return CouponState.REDEEMED
    return CouponState.ISSUED if row["expired_at"] is None else CouponState.EXPIRED


def _is_newer(row: Row, name: str, version: Sequence[str]) -> bool:
    held = _versions(row).get(name)
    return held is None or tuple(held) <= tuple(version)


def _is_earlier(row: Row, name: str, at: datetime) -> bool:
    return row[name] is None or at < datetime.fromisoformat(row[name])


def _versions(row: Row) -> dict[str, Any]:
    versions: dict[str, Any] = row["field_versions"]
    return versions
