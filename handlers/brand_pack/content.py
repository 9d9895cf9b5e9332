"""Materials, welcome messages, keyword replies and talking points of a pack."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import time
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from bot.crm.models import Store
from bot.errors import UserError
from content_library import (
    keyword_replies,
    materials,
    talking_points,
    welcome,
    wording_rules,
)
from content_library.models import (
    KeywordReply,
    Material,
    TalkingPoint,
    TalkingPointVariant,
    WelcomeMaterial,
    WelcomeMessage,
)
from handlers.brand_pack.organisation import codes, given, refer, refer_all, upsert
from handlers.brand_pack.reading import Map, Seq, fail


def load(session: Session, pack: Map) -> list[str]:
    """Write the four sections; words are checked for unknown placeholders first.

    Returns what HQ should look at again.
    """
    _load_materials(session, pack.get("materials", Seq()))
    _load_welcomes(session, pack.get("welcome_messages", Seq()))
    upsert(
        session,
        KeywordReply,
        "name",
        [
            _keyword_reply(item, position)
            for position, item in enumerate(pack.get("keyword_replies", []))
        ],
    )
    points = pack.get("talking_points", Seq())
    _load_talking_points(session, points)
    found = (
        wording_rules.warning(f"话术「{item['name']}」", "\n".join(item["variants"]))
        for item in points
    )
    return [said for said in found if said is not None]


# The platform's names of what a pack calls otherwise.
_MATERIAL_PARTS = {
    "desc": "description",
    "picurl": "picture_url",
    "pic_url": "picture_url",
    "pic_media_id": "content",
    "media_id": "content",
}
_CLOCK = re.compile(r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]")


def _checked(item: Map, check: Callable[[], None]) -> None:
    """Run a room's own check and name the line of the field it complains about."""
    try:
        check()
    except UserError as error:
        field = error.field or "name"
        fail(item.line_of(_MATERIAL_PARTS.get(field, field)), error.message_zh)


_MATERIAL_KEYS = (
    "name", "kind", "title", "description", "url", "picture_url", "appid", "page", "filename",
)  # fmt: skip


def _load_materials(session: Session, items: Seq) -> None:
    rows = [_material(item) for item in items]
    for row in rows:
        # What WeCom holds shows the old bytes; a running upload of them is not kept either.
        session.execute(
            update(Material)
            .where(Material.name == row["name"], Material.content.is_distinct_from(row["content"]))
            .values(media_id=None, media_expires_at=None, media_error=None, updated_at=func.now())
        )
    upsert(session, Material, "name", rows)


def _material(item: Map) -> dict[str, Any]:
    content = None
    if "content" in item:
        try:
            content = base64.b64decode(item["content"], validate=True)
        except ValueError:
            fail(item.line_of("content"), "content 应为 base64 文字")
    row = {key: item.get(key) for key in _MATERIAL_KEYS} | {"content": content}
    _checked(item, lambda: materials.check(Material(**row)))
    return row


def _load_welcomes(session: Session, items: Seq) -> None:
    defaults = [item for item in items if item.get("default", False)]
    if len(defaults) > 1:
        fail(defaults[1].line_of("default"), "默认欢迎语只能有一条")
    if defaults:
        # The old default steps back first: the unique index allows one at any moment.
        for row in session.scalars(select(WelcomeMessage).where(WelcomeMessage.is_default)):
            row.is_default = row.name == defaults[0]["name"]
        session.flush()
    stores = codes(session, Store.code, Store.id)
    upsert(session, WelcomeMessage, "name", [_welcome(item, stores) for item in items])
    ids = codes(session, WelcomeMessage.name, WelcomeMessage.id)
    known = codes(session, Material.name, Material.id)
    for item in items:
        wanted = refer_all(item, "materials", known, "素材")
        welcome_id = ids[item["name"]]
        session.execute(
            delete(WelcomeMaterial).where(WelcomeMaterial.welcome_message_id == welcome_id)
        )
        rows = [
            {"welcome_message_id": welcome_id, "position": position, "material_id": material_id}
            for position, material_id in enumerate(wanted)
        ]
        if rows:
            session.execute(insert(WelcomeMaterial), rows)


def _welcome(item: Map, stores: dict[str, int]) -> dict[str, Any]:
    names = item.get("materials", [])
    _checked(item, lambda: welcome.check(name=item["name"], text=item["text"], materials=names))
    return {
        "name": item["name"],
        "text": item["text"],
        "is_default": item.get("default", False),
        "store_id": refer(item, "store", stores, "门店"),
        "from_time": _time(item, "from"),
        "until_time": _time(item, "until"),
    }


def _time(item: Map, key: str) -> time | None:
    if key not in item:
        return None
    if not _CLOCK.fullmatch(item[key]):
        fail(item.line_of(key), f"「{key}」应为时间，例如 21:00")
    hour, minute = item[key].split(":")
    return time(int(hour), int(minute))


def _keyword_reply(item: Map, position: int) -> dict[str, Any]:
    words = {key: item[key] for key in ("name", "match", "how", "reply")}
    _checked(item, lambda: keyword_replies.check(**words))
    return {
        "name": item["name"],
        "match": list(item["match"]),
        "how": item["how"],
        "reply": item["reply"],
        "hand_over": item.get("hand_over", False),
        "position": position,
        "is_active": True,
    }


def _load_talking_points(session: Session, items: Seq) -> None:
    for item in items:
        for position, variant in enumerate(item["variants"]):
            try:
                talking_points.check_variants([variant])
            except UserError as error:
                fail(item["variants"].lines[position], error.message_zh)
    upsert(
        session,
        TalkingPoint,
        "name",
        [
            {"name": item["name"], "scene": item.get("scene", ""), "is_active": True}
            for item in items
        ],
    )
    ids = codes(session, TalkingPoint.name, TalkingPoint.id)
    loaded = [ids[item["name"]] for item in items]
    session.execute(
        delete(TalkingPointVariant).where(TalkingPointVariant.talking_point_id.in_(loaded))
    )
    rows = [
        {"talking_point_id": ids[item["name"]], "position": position, "text": text}
        for item in items
        for position, text in enumerate(item["variants"])
    ]
    if rows:
        session.execute(insert(TalkingPointVariant), rows)


def dump(session: Session) -> dict[str, Any]:
    """The four sections as they stand."""
    return {
        "materials": [_dump_material(row) for row in _rows(session, Material)],
        "welcome_messages": _dump_welcomes(session),
        "keyword_replies": [
            given(
                name=row.name,
                match=list(row.match),
                how=row.how,
                reply=row.reply,
                hand_over=row.hand_over or None,
            )
            for row in session.scalars(
                select(KeywordReply)
                .where(KeywordReply.is_active)
                .order_by(KeywordReply.position, KeywordReply.id)
            )
        ],
        "talking_points": _dump_talking_points(session),
    }


def _rows(session: Session, table: Any) -> Any:
    return session.scalars(select(table).order_by(table.id))


def _dump_material(row: Material) -> dict[str, Any]:
    content = base64.b64encode(row.content).decode("ascii") if row.content else None
    return given(**{key: getattr(row, key) for key in _MATERIAL_KEYS}, content=content)


def _dump_welcomes(session: Session) -> list[dict[str, Any]]:
    store_codes = {value: key for key, value in codes(session, Store.code, Store.id).items()}
    names: dict[int, list[str]] = {}
    for welcome_id, name in session.execute(
        select(WelcomeMaterial.welcome_message_id, Material.name)
        .join(Material, Material.id == WelcomeMaterial.material_id)
        .order_by(WelcomeMaterial.welcome_message_id, WelcomeMaterial.position)
    ):
        names.setdefault(welcome_id, []).append(name)
    found = []
    for row in _rows(session, WelcomeMessage):
        item = given(
            name=row.name,
            text=row.text,
            default=row.is_default or None,
            store=store_codes.get(row.store_id or 0),
            until=row.until_time and row.until_time.isoformat("minutes"),
            materials=names.get(row.id),
        )
        if row.from_time is not None:
            item["from"] = row.from_time.isoformat("minutes")
        found.append(item)
    return found


def _dump_talking_points(session: Session) -> list[dict[str, Any]]:
    variants: dict[int, list[str]] = {}
    for row in session.scalars(
        select(TalkingPointVariant).order_by(
            TalkingPointVariant.talking_point_id, TalkingPointVariant.position
        )
    ):
        variants.setdefault(row.talking_point_id, []).append(row.text)
    return [
        given(name=row.name, scene=row.scene or None, variants=variants.get(row.id))
        for row in _rows(session, TalkingPoint)
        if row.is_active
    ]
