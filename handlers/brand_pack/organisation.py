"""Brand, regions, stores and guides of a pack: written set by set, read back the same."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bot import jobs
from bot.crm import brand, changes, directory, hours, purchase_moves, roster, visits
from bot.crm.models import Brand, Guide, Region, Store
from bot.errors import UserError
from handlers.brand_pack.reading import Map, Seq, fail, line_at, plain

# One statement takes at most 65,535 parameters; ten columns fit well into this many rows.
_ROWS_PER_STATEMENT = 4_000
_WEEKDAYS = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")


def load(session: Session, pack: Map) -> None:
    """Write brand, regions, stores and guides; rows of the same code or userid are changed."""
    _load_brand(session, pack)
    upsert(
        session,
        Region,
        "code",
        [{"code": item["code"], "name": item["name"]} for item in pack.get("regions", [])],
    )
    regions = codes(session, Region.code, Region.id)
    upsert(session, Store, "code", [_store(item, regions) for item in pack.get("stores", [])])
    # Orders and visits of a store that was not known when they came find it now.
    purchase_moves.adopt_stores(session)
    visits.adopt_stores(session)
    stores = codes(session, Store.code, Store.id)
    _load_guides(session, pack.get("guides", Seq()), stores)
    purchase_moves.adopt_guides(session)


def _load_brand(session: Session, pack: Map) -> None:
    """A pack without `settings` leaves those of the brand alone; one without `brand`, all."""
    if "brand" not in pack:
        return
    settings = plain(pack.get("settings", {}))
    try:
        brand.validate(settings)
    except UserError as error:
        fail(_settings_line(pack, error.field), error.message_zh)
    row = insert(Brand).values(id=1, name=pack["brand"], settings=settings)
    said = ["name", "settings"] if "settings" in pack else ["name"]
    session.execute(
        row.on_conflict_do_update(
            index_elements=["id"], set_={name: row.excluded[name] for name in said}
        )
    )


def _settings_line(pack: Map, field: str | None) -> int:
    """The line of `tier.weights.recency`; an unknown key is named without its place."""
    settings = pack["settings"]
    path = None if field is None else _path(settings, field)
    return line_at(pack, f"settings.{path or field}")


def _path(here: Map, field: str) -> str | None:
    if field.split(".")[0] in here:
        return field
    for name, value in here.items():
        inner = _path(value, field) if isinstance(value, Map) else None
        if inner is not None:
            return f"{name}.{inner}"
    return None


def _load_guides(session: Session, items: Seq, stores: dict[str, int]) -> None:
    """A userid stays as first seen; whoever had left and is in the pack is back."""
    rows = [_guide(item, stores) for item in items]
    folded = [row["userid"].lower() for row in rows]
    known = select(Guide).where(func.lower(Guide.userid).in_(folded))
    seen = {guide.userid.lower(): guide for guide in session.scalars(known)}
    for row in rows:
        guide = seen.get(row["userid"].lower())
        if guide is None:
            continue
        row["userid"] = guide.userid
        if not guide.is_active:
            contacts = directory.set_active(session, guide.userid, is_active=True)
            roster.choose_primary(session, contacts)
            changes.mark(session, contacts)
            jobs.ring(session, "events")
    upsert(session, Guide, "userid", rows)
    # The rows were written past the objects read above.
    session.expire_all()


def _store(item: Map, regions: dict[str, int]) -> dict[str, Any]:
    opens_at, closes_at = hours.parse(item.get("hours")) or (None, None)
    return {
        "code": item["code"],
        "name": item["name"],
        "region_id": refer(item, "region", regions, "区域"),
        "tier": item.get("tier"),
        "hours": item.get("hours"),
        "opens_at": opens_at,
        "closes_at": closes_at,
        "address": item.get("address"),
        "latitude": item.get("latitude"),
        "longitude": item.get("longitude"),
    }


def _guide(item: Map, stores: dict[str, int]) -> dict[str, Any]:
    return {
        "userid": item["userid"],
        "name": item["name"],
        "store_id": refer(item, "store", stores, "门店"),
        "is_manager": item.get("manager", False),
        "rest_weekdays": _weekdays(item),
    }


def _weekdays(item: Map) -> list[int]:
    names = item.get("off", Seq())
    for position, name in enumerate(names):
        if name not in _WEEKDAYS:
            fail(names.lines[position], f"off 应为 {'、'.join(_WEEKDAYS)}，没有「{name}」")
    return sorted(_WEEKDAYS.index(name) + 1 for name in names)


def refer(item: Map, key: str, known: dict[str, int], what: str) -> int | None:
    """The id behind a reference of the pack; refuses one that points nowhere."""
    name = item.get(key)
    if name is None:
        return None
    if name not in known:
        fail(item.line_of(key), f"没有{what}「{name}」")
    return known[name]


def refer_all(item: Map, key: str, known: dict[str, int], what: str) -> list[int]:
    """The ids behind a list of references."""
    names = item.get(key, Seq())
    for position, name in enumerate(names):
        if name not in known:
            fail(names.lines[position], f"没有{what}「{name}」")
    return [known[name] for name in names]


def guide_ids(session: Session) -> dict[str, int]:
    """Lower-case userid to guide id: WeCom compares a userid without case."""
    return {row[0]: row[1] for row in session.execute(select(func.lower(Guide.userid), Guide.id))}


def codes(session: Session, key: Any, value: Any) -> dict[str, int]:
    """A reference table: natural key to id."""
    return {row[0]: row[1] for row in session.execute(select(key, value))}


def upsert(session: Session, table: Any, key: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or change those whose `key` is there already."""
    for start in range(0, len(rows), _ROWS_PER_STATEMENT):
        statement = insert(table).values(rows[start : start + _ROWS_PER_STATEMENT])
        changed = {name: statement.excluded[name] for name in rows[0] if name != key}
        session.execute(statement.on_conflict_do_update(index_elements=[key], set_=changed))


def dump(session: Session) -> dict[str, Any]:
    """The same sections as they stand in the database."""
    row = session.get(Brand, 1)
    region_codes = {value: key for key, value in codes(session, Region.code, Region.id).items()}
    store_codes = {value: key for key, value in codes(session, Store.code, Store.id).items()}
    guides = session.scalars(select(Guide).where(Guide.is_active).order_by(Guide.id))
    return {
        "brand": row.name if row else "",
        "settings": row.settings if row else {},
        "regions": [
            {"code": each.code, "name": each.name}
            for each in session.scalars(select(Region).order_by(Region.id))
        ],
        "stores": [
            given(
                code=each.code,
                name=each.name,
                region=region_codes.get(each.region_id or 0),
                tier=each.tier,
                hours=each.hours,
                address=each.address,
                latitude=each.latitude,
                longitude=each.longitude,
            )
            for each in session.scalars(select(Store).order_by(Store.id))
        ],
        "guides": [
            given(
                userid=each.userid,
                name=each.name,
                store=store_codes.get(each.store_id or 0),
                manager=each.is_manager or None,
                off=[_WEEKDAYS[day - 1] for day in each.rest_weekdays],
            )
            for each in guides
        ],
    }


def given(**item: Any) -> dict[str, Any]:
    """An item without the keys that nobody said."""
    return {key: value for key, value in item.items() if value not in (None, [])}
