"""Filling the town from a brand: departments mirror regions and stores, members its guides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bot.sandbox.town import (
    ACTIVE,
    ROOT_DEPARTMENT,
    Town,
    insert_customers,
    insert_department,
    insert_friendships,
    insert_members,
    new_id,
)


def populate(
    town: Town,
    *,
    regions: Iterable[Mapping[str, Any]] = (),
    stores: Iterable[Mapping[str, Any]] = (),
    guides: Iterable[Mapping[str, Any]] = (),
    customers: Iterable[Mapping[str, Any]] = (),
) -> dict[str, int]:
    """Make (or bring up to date) a whole corp in one transaction; doing it again adds nothing.

    Shapes: region {code, name}; store {code, name, region}; guide {userid, name, store,
    manager?}; customer {external_userid, name, gender?, unionid?, mobile?, member_no?, avatar?,
    featured?, friends?: [{userid, since (aware datetime), state?, add_way?, remark?}]}.
    Returns the department id of each region and store code. Friendships cause no events.
    """
    with town.write() as db:
        ids = {
            f"region:{one['code']}": insert_department(
                db, one["name"], ROOT_DEPARTMENT, f"region:{one['code']}"
            )
            for one in regions
        }
        for one in stores:
            parent = ids.get(f"region:{one.get('region')}", ROOT_DEPARTMENT)
            code = f"store:{one['code']}"
            ids[code] = insert_department(db, one["name"], parent, code)
        insert_members(db, (_member(one, ids) for one in guides))
        people = list(customers)
        insert_customers(db, (_customer(one, town.now()) for one in people))
        insert_friendships(db, (row for one in people for row in _friendships(one)))
    return {code.partition(":")[2]: number for code, number in ids.items()}


def _member(one: Mapping[str, Any], ids: Mapping[str, int]) -> tuple[Any, ...]:
    is_manager = bool(one.get("manager"))
    department = ids.get(f"store:{one.get('store')}", ROOT_DEPARTMENT)
    position = "店长" if is_manager else "导购"
    return (
        one["userid"], one["name"], "", position, department, is_manager, ACTIVE, True, True, True,
    )  # fmt: skip


def _customer(one: Mapping[str, Any], now: float) -> tuple[Any, ...]:
    return (
        one["external_userid"],
        one["name"],
        one.get("gender", 0),
        one.get("unionid") or new_id("o", 28),
        one.get("mobile"),
        one.get("member_no"),
        one.get("avatar", ""),
        1,
        "",
        bool(one.get("featured", False)),
        now,
    )


def _friendships(one: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for friend in one.get("friends", ()):
        yield (
            friend["userid"],
            one["external_userid"],
            friend.get("remark", ""),
            friend.get("add_way", 1),
            friend.get("state", ""),
            one["external_userid"],
            friend["since"].timestamp(),
        )
