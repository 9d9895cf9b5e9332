"""The shape of a brand pack: which sections, which keys, which types; one closed table."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handlers.brand_pack.reading import Map, Seq, fail


@dataclass(frozen=True)
class Key:
    """One key of an item: its type, in the reader's words, and whether it must be there."""

    type: str
    required: bool = False


TYPES: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "text": ("文字", str),
    "flag": ("true 或 false", bool),
    "number": ("整数", int),
    "decimal": ("数字", (int, float)),
    "texts": ("文字列表", list),
    "map": ("一组“键: 值”", dict),
    "maps": ("列表", list),
}


def _needed(kind: str) -> Key:
    return Key(kind, required=True)


SECTIONS: dict[str, Mapping[str, Key]] = {
    "regions": {"code": _needed("text"), "name": _needed("text")},
    "stores": {
        "code": _needed("text"),
        "name": _needed("text"),
        "region": Key("text"),
        "tier": Key("text"),
        "hours": Key("text"),
        "address": Key("text"),
        "latitude": Key("decimal"),
        "longitude": Key("decimal"),
    },
    "guides": {
        "userid": _needed("text"),
        "name": _needed("text"),
        "store": Key("text"),
        "manager": Key("flag"),
    },
    "tag_groups": {"name": _needed("text"), "tags": _needed("texts")},
    "materials": {
        "name": _needed("text"),
        "kind": _needed("text"),
        "title": Key("text"),
        "description": Key("text"),
        "url": Key("text"),
        "picture_url": Key("text"),
        "appid": Key("text"),
        "page": Key("text"),
        "filename": Key("text"),
        "content": Key("text"),
    },
    "welcome_messages": {
        "name": _needed("text"),
        "text": _needed("text"),
        "default": Key("flag"),
        "store": Key("text"),
        "from": Key("text"),
        "until": Key("text"),
        "materials": Key("texts"),
    },
    "channel_codes": {
        "name": _needed("text"),
        "state": _needed("text"),
        "guides": _needed("texts"),
        "tags": Key("texts"),
        "welcome": Key("text"),
        "skip_verify": Key("flag"),
    },
    "tag_rules": {"name": _needed("text"), "tag": _needed("text"), "when": _needed("map")},
    "keyword_replies": {
        "name": _needed("text"),
        "match": _needed("texts"),
        "how": _needed("text"),
        "reply": _needed("text"),
        "hand_over": Key("flag"),
    },
    "talking_points": {
        "name": _needed("text"),
        "scene": Key("text"),
        "variants": _needed("texts"),
    },
    "sops": {
        "name": _needed("text"),
        "trigger": _needed("map"),
        "audience": Key("map"),
        "steps": _needed("maps"),
    },
}

#: What names an item of a section: loading twice changes the same row.
IDENTITY: dict[str, str] = {
    "regions": "code",
    "stores": "code",
    "guides": "userid",
    "channel_codes": "state",
}

TOP: Mapping[str, Key] = {
    "brand": _needed("text"),
    "settings": Key("map"),
    **{section: Key("maps") for section in SECTIONS},
}


def check(pack: Map) -> None:
    """Refuse unknown keys, wrong types, missing keys and items named twice."""
    check_keys(pack, TOP, "品牌包")
    for section, keys in SECTIONS.items():
        items = pack.get(section, Seq())
        seen: dict[str, int] = {}
        for position, item in enumerate(items):
            line = items.lines[position]
            if not isinstance(item, Map):
                fail(line, f"{section} 的每一项应是一组“键: 值”")
            check_keys(item, keys, section)
            identity = IDENTITY.get(section, "name")
            name = item[identity]
            if name in seen:
                fail(item.line_of(identity), f"「{name}」在第 {seen[name]} 行已经写过")
            seen[name] = item.line_of(identity)


def check_keys(item: Map, keys: Mapping[str, Key], where: str) -> None:
    """Refuse a mapping whose keys are not those of `keys`."""
    for name, value in item.items():
        if name not in keys:
            near = difflib.get_close_matches(name, keys, n=1)
            hint = f"，是不是 {near[0]}？" if near else f"，可用的有 {'、'.join(keys)}"
            fail(item.line_of(name), f"{where} 没有「{name}」这个键{hint}")
        _check_type(item, name, value, keys[name].type)
    for name, key in keys.items():
        if key.required and name not in item:
            fail(item.line, f"{where} 缺少「{name}」")
        if key.required and item[name] in ("", []):
            fail(item.line_of(name), f"「{name}」不能为空")


def _check_type(item: Map, name: str, value: Any, kind: str) -> None:
    label, types = TYPES[kind]
    fits = isinstance(value, types)
    if isinstance(value, bool):  # Python counts true as an integer; a pack does not.
        fits = kind == "flag"
    if fits and kind == "texts":
        fits = all(isinstance(each, str) and each for each in value)
    if not fits:
        fail(item.line_of(name), f"「{name}」应为{label}")
