"""The shop's till (收银): what it sells and knows of people, reported as a POS or mall would."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.clock import SHANGHAI
from bot.errors import UserError
from bot.sandbox import callbacks
from bot.sandbox.actors import person
from bot.sandbox.official_account import openid_of
from bot.sandbox.town import Town, dump

# What a till may know a person by, the surest first.
_IDENTITIES = ["unionid", "member_no", "mobile", "external_userid"]
# How far back the till leafs through its journal.
_LETTERS = 1000


def buy(
    town: Town,
    external_userid: str,
    lines: Sequence[Mapping[str, Any]],
    *,
    store: str,
    guide: str = "",
    who: str = "",
    order_no: str = "",
    occurred_at: datetime | None = None,
) -> str:
    """A purchase at the till; returns the order number.

    `lines` are {sku, name, category, quantity, amount_fen}; `who` is the id the till knows the
    person by: unionid, member_no, mobile or external_userid (default: the first it can have).
    """
    if not lines:
        raise UserError("购物车是空的。", field="lines")
    for line in lines:
        if type(line.get("amount_fen")) is not int or line["amount_fen"] < 0:
            raise UserError("金额要用分来写，且不能是负数。", field="lines")
    number = order_no or f"XH{int(town.now())}{secrets.randbelow(10000):04d}"
    event: dict[str, Any] = {
        "type": "purchase",
        "order_no": number,
        "store": store,
        "channel": "store",
        "lines": [{"quantity": 1, **line} for line in lines],
        "amount_fen": sum(line["amount_fen"] for line in lines),
    }
    if guide:
        event["guide"] = guide
    _report(town, external_userid, event, f"purchase-{number}", who, occurred_at)
    return number


def refund(
    town: Town, external_userid: str, order_no: str, amount_fen: int, *, who: str = ""
) -> None:
    """Money goes back for an order."""
    event = {"type": "refund", "order_no": order_no, "amount_fen": amount_fen}
    _report(town, external_userid, event, f"refund-{secrets.token_hex(8)}", who, None)


def enroll(town: Town, external_userid: str, **facts: Any) -> None:
    """The till makes or changes the member card (facts as in the `member` event)."""
    with town.read() as db:
        row = person(db, external_userid)
    known = {"member_no": row["member_no"], "mobile": row["mobile"], "name": row["name"]}
    # Her card is bound to the official account, as brands do it at the counter.
    known["openid"] = openid_of(external_userid)
    event = {"type": "member", **{key: value for key, value in known.items() if value}, **facts}
    _report(town, external_userid, event, f"member-{secrets.token_hex(8)}", "", None)


def fill_cart(
    town: Town,
    external_userid: str,
    lines: Sequence[Mapping[str, Any]],
    *,
    cart_id: str = "",
    who: str = "",
    occurred_at: datetime | None = None,
) -> str:
    """Goods are put into a cart of the mall; returns its number."""
    number = cart_id or f"GWC{secrets.token_hex(6)}"
    event = {"type": "cart", "cart_id": number, "state": "added", "lines": list(lines)}
    _report(town, external_userid, event, _id("cart"), who, occurred_at)
    return number


def end_cart(
    town: Town,
    external_userid: str,
    cart_id: str,
    state: str,
    *,
    who: str = "",
    occurred_at: datetime | None = None,
) -> None:
    """A cart is paid (`bought`) or emptied (`removed`)."""
    event = {"type": "cart", "cart_id": cart_id, "state": state}
    _report(town, external_userid, event, _id("cart"), who, occurred_at)


def change_points(
    town: Town,
    external_userid: str,
    delta: int,
    *,
    who: str = "",
    occurred_at: datetime | None = None,
    **facts: Any,
) -> None:
    """Points are won or spent (facts: balance, expires_on, reason)."""
    event = {"type": "points", "delta": delta, **facts}
    _report(town, external_userid, event, _id("points"), who, occurred_at)


def tell_coupon(
    town: Town,
    external_userid: str,
    coupon_no: str,
    state: str,
    *,
    who: str = "",
    occurred_at: datetime | None = None,
    **facts: Any,
) -> None:
    """A coupon is issued, redeemed or expired (facts: template, value_fen, expires_on …)."""
    event = {"type": "coupon", "coupon_no": coupon_no, "state": state, **facts}
    _report(town, external_userid, event, _id("coupon"), who, occurred_at)


def visit(
    town: Town,
    external_userid: str,
    store: str,
    *,
    kind: str = "到店",
    who: str = "",
    occurred_at: datetime | None = None,
) -> None:
    """The customer comes to a store."""
    event = {"type": "visit", "store": store, "kind": kind}
    _report(town, external_userid, event, _id("visit"), who, occurred_at)


def view(
    town: Town,
    external_userid: str,
    material: str,
    *,
    seconds: int | None = None,
    who: str = "",
    occurred_at: datetime | None = None,
) -> None:
    """The customer looks at material."""
    event = {"type": "view", "material": material, "seconds": seconds}
    _report(town, external_userid, event, _id("view"), who, occurred_at)


def move_order(
    town: Town,
    external_userid: str,
    order_no: str,
    *,
    guide: str | None = None,
    store: str | None = None,
    occurred_at: datetime | None = None,
) -> None:
    """An order is given to another guide or store."""
    event = {"type": "purchase_moved", "order_no": order_no, "guide": guide, "store": store}
    _report(town, external_userid, event, _id("moved"), "", occurred_at)


def merge_cards(
    town: Town,
    external_userid: str,
    member_no: str,
    merged_member_no: str,
    *,
    occurred_at: datetime | None = None,
) -> None:
    """Two member cards of one person become one."""
    cards = {"member_no": member_no, "merged_member_no": merged_member_no}
    _report(
        town, external_userid, {"type": "member_merged", **cards}, _id("merged"), "", occurred_at
    )


def opt_out(
    town: Town,
    external_userid: str,
    channel: str,
    *,
    is_out: bool = True,
    occurred_at: datetime | None = None,
) -> None:
    """The customer tells the shop what she does not want any more, or wants again."""
    event = {"type": "opt_out", "channel": channel, "is_out": is_out}
    _report(town, external_userid, event, _id("opt_out"), "", occurred_at)


def orders(town: Town, external_userid: str) -> list[dict[str, Any]]:
    """What this person bought at this till, newest first: {order_no, store, guide, at, names,
    amount_fen, refunded_fen}."""
    with town.read() as db:
        row = person(db, external_userid)
        letters = db.execute(
            "SELECT plaintext, created_at FROM callback WHERE channel = 'till' "
            "AND kind IN ('purchase', 'refund') ORDER BY id DESC LIMIT ?",
            (_LETTERS,),
        ).fetchall()
    known = {row[key] for key in _IDENTITIES if row[key]}
    refunded: Counter[str] = Counter()
    found: dict[str, dict[str, Any]] = {}
    for letter in letters:
        event = json.loads(letter["plaintext"])[0]
        number = event["order_no"]
        if not known & set(event["who"].values()):
            continue
        if event["type"] == "refund":
            refunded[number] += event["amount_fen"]
        else:
            found.setdefault(number, _order(event, letter["created_at"]))
    return [one | {"refunded_fen": refunded[number]} for number, one in found.items()]


def _order(event: Mapping[str, Any], at: float) -> dict[str, Any]:
    return {
        "order_no": event["order_no"],
        "store": event["store"],
        "guide": event.get("guide", ""),
        "at": at,
        "names": [str(line.get("name", "")) for line in event["lines"]],
        "amount_fen": event["amount_fen"],
    }


def _id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(8)}"


def _report(
    town: Town,
    external_userid: str,
    event: Mapping[str, Any],
    event_id: str,
    who: str,
    occurred_at: datetime | None,
) -> None:
    moment = occurred_at or town.clock.now()
    with town.write() as db:
        known = _who(db, external_userid, who)
        letter = {
            "id": event_id,
            "source": "pos",
            "occurred_at": moment.astimezone(SHANGHAI).isoformat(timespec="seconds"),
            "who": known,
            **event,
        }
        now = town.now()
        callbacks.put(db, "till", event["type"], dump([letter]).encode(), now, now)


def _who(db: sqlite3.Connection, external_userid: str, who: str) -> dict[str, str]:
    row = person(db, external_userid)
    keys = [who] if who else _IDENTITIES
    for key in keys:
        if key not in _IDENTITIES:
            raise UserError("收银台不认识这种身份。", field="who")
        if row[key]:
            return {key: row[key]}
    raise UserError("收银台不知道这位客户是谁。", field="who")
