"""The shape of a brand pack: which sections, which keys, which types; one closed table."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handlers.brand_pack.reading import Map, Seq, fail

_NAME_LENGTH = 100
_TEXT_LENGTH = 4_000
# Base64 of the largest file WeCom takes (20 MB, document 90253).
_CONTENT_LENGTH = 27_000_000


@dataclass(frozen=True)
class Key:
    """One key of an item: its type, and whether it must be there.

    `most` bounds the characters of a text, or of each text of a list; `ends` are the smallest and
    largest number. `is_unique`: a list in which nothing stands twice.
    """

    type: str
    required: bool = False
    most: int = _NAME_LENGTH
    ends: tuple[float, float] | None = None
    is_unique: bool = False


#: Type -> what a reader calls it, and what it is. A `name` is one line without outer blanks.
TYPES: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "name": ("文字", str),
    "text": ("文字", str),
    "userid": ("文字", str),
    "state": ("文字", str),
    "flag": ("true 或 false", bool),
    "decimal": ("数字", (int, float)),
    "whole": ("整数", int),
    "day": ("日期", str),
    "names": ("文字列表", list),
    "texts": ("文字列表", list),
    "map": ("一组“键: 值”", dict),
    "maps": ("列表", list),
}

#: What a WeCom id may look like: documents 90195 (userid) and 92228 (state).
_PATTERNS: dict[str, tuple[re.Pattern[str], str]] = {
    "userid": (re.compile(r"[A-Za-z0-9._@-]{1,64}"), "只能用字母、数字和 . _ - @，最多 64 个"),
    "state": (re.compile(r"[A-Za-z0-9_.-]{1,30}"), "只能用字母、数字和 _ - .，最多 30 个字符"),
    "day": (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), "应为日期，例如 2027-02-10"),
}


def _name(most: int = _NAME_LENGTH) -> Key:
    return Key("name", required=True, most=most)


def _words() -> Key:
    return Key("text", required=True, most=_TEXT_LENGTH)


def _whole(low: int, high: int, *, required: bool = True) -> Key:
    return Key("whole", required=required, ends=(low, high))


_TAG_LENGTH = 30  # Document 92117: a tag, and a group of tags.
_NAME, _FLAG, _MAP = Key("name"), Key("flag"), Key("map")
_MOST_FEN = 100_000_000_00

SECTIONS: dict[str, Mapping[str, Key]] = {
    "regions": {"code": _name(), "name": _name()},
    "stores": {
        "code": _name(),
        "name": _name(),
        "region": _NAME,
        "tier": Key("name", most=10),
        "hours": _NAME,
        "address": Key("text", most=200),
        "latitude": Key("decimal", ends=(-90, 90)),
        "longitude": Key("decimal", ends=(-180, 180)),
    },
    "guides": {
        "userid": Key("userid", required=True),
        "name": _name(),
        "store": _NAME,
        "manager": _FLAG,
        "off": Key("names", is_unique=True),
    },
    "festivals": {
        "name": _name(20),
        "month": _whole(1, 12, required=False),
        "day": _whole(1, 31, required=False),
        "lunar": _FLAG,
        "on": Key("day"),
    },
    "workdays": {
        "on": Key("day", required=True),
        "work": Key("flag", required=True),
        "name": Key("name", most=20),
    },
    "tag_groups": {
        "name": _name(_TAG_LENGTH),
        "tags": Key("names", required=True, most=_TAG_LENGTH, is_unique=True),
    },
    "materials": {
        "name": _name(),
        "kind": _name(),
        "title": Key("text", most=_TEXT_LENGTH),
        "description": Key("text", most=_TEXT_LENGTH),
        "url": Key("text", most=_TEXT_LENGTH),
        "picture_url": Key("text", most=_TEXT_LENGTH),
        "appid": _NAME,
        "page": Key("text", most=_TEXT_LENGTH),
        "filename": Key("name", most=200),
        "content": Key("text", most=_CONTENT_LENGTH),
    },
    "welcome_messages": {
        "name": _name(),
        "text": _words(),
        "default": _FLAG,
        "store": _NAME,
        "from": _NAME,
        "until": _NAME,
        "materials": Key("names"),
    },
    "channel_codes": {
        "name": _name(),
        "state": Key("state", required=True),
        "guides": Key("names", required=True, is_unique=True),
        "tags": Key("names", is_unique=True),
        "welcome": _NAME,
        "skip_verify": _FLAG,
    },
    "tag_rules": {"name": _name(), "tag": _name(), "when": Key("map", required=True)},
    "keyword_replies": {
        "name": _name(),
        "match": Key("texts", required=True),
        "how": _name(),
        "reply": _words(),
        "hand_over": _FLAG,
    },
    "talking_points": {
        "name": _name(),
        "scene": Key("text"),
        "variants": Key("texts", required=True, most=_TEXT_LENGTH),
    },
    "sms_templates": {
        "name": _name(),
        "signature": _name(16),
        "code": _name(),
        "text": _words(),
        "params": _MAP,
    },
    "wechat_templates": {
        "name": _name(),
        "code": _name(),
        "text": Key("text", most=_TEXT_LENGTH),
        "url": Key("text", most=500),
        "data": Key("map", required=True),
    },
    "coupon_templates": {
        "name": _name(),
        "title": _name(40),
        "value_fen": _whole(1, _MOST_FEN),
        "least_spend_fen": _whole(0, _MOST_FEN, required=False),
        "valid_days": _whole(1, 3650),
    },
    "sops": {
        "name": _name(60),
        "trigger": Key("map", required=True),
        "audience": _MAP,
        "steps": Key("maps", required=True),
    },
}

#: What names an item of a section: loading twice changes the same row.
IDENTITY: dict[str, str] = {
    "regions": "code",
    "stores": "code",
    "guides": "userid",
    "channel_codes": "state",
    "workdays": "on",
}

TOP: Mapping[str, Key] = {
    "brand": Key("name"),
    "settings": _MAP,
    **{section: Key("maps") for section in SECTIONS},
}


def check(pack: Map) -> None:
    """Refuse unknown keys, wrong types, missing keys and items named twice."""
    if isinstance(pack.get("brand"), str) and not pack["brand"].strip():
        fail(pack.line_of("brand"), "「brand」不能为空")
    check_keys(pack, TOP, "品牌包")
    _check_brand(pack)
    for section, keys in SECTIONS.items():
        items = pack.get(section, Seq())
        seen: dict[str, int] = {}
        for position, item in enumerate(items):
            line = items.lines[position]
            if not isinstance(item, Map):
                fail(line, f"{section} 的每一项应是一组“键: 值”")
            check_keys(item, keys, section)
            identity = IDENTITY.get(section, "name")
            # WeCom compares a userid without case.
            name = item[identity].lower() if identity == "userid" else item[identity]
            if name in seen:
                fail(item.line_of(identity), f"「{item[identity]}」在第 {seen[name]} 行已经写过")
            seen[name] = item.line_of(identity)


def _check_brand(pack: Map) -> None:
    """Content alone (话术, SOP …) fits any brand; what is the brand's own must say whose it is."""
    own = [name for name in ("settings", "regions", "stores", "guides") if name in pack]
    is_known = any(name in SECTIONS for name in pack)
    if "brand" not in pack and (own or not is_known):
        fail(pack.line_of(own[0] if own else "brand"), "品牌包 缺少「brand」")


def check_keys(item: Map, keys: Mapping[str, Key], where: str) -> None:
    """Refuse a mapping whose keys are not those of `keys`."""
    for name, value in item.items():
        if name not in keys:
            near = difflib.get_close_matches(name, keys, n=1)
            hint = f"，是不是 {near[0]}？" if near else f"，可用的有 {'、'.join(keys)}"
            fail(item.line_of(name), f"{where} 没有「{name[:_NAME_LENGTH]}」这个键{hint}")
        _check_value(item, name, value, keys[name])
    for name, key in keys.items():
        if key.required and name not in item:
            fail(item.line, f"{where} 缺少「{name}」")
        if key.required and item[name] in ("", [], {}):
            fail(item.line_of(name), f"「{name}」不能为空")


def _check_value(item: Map, name: str, value: Any, key: Key) -> None:
    label, types = TYPES[key.type]
    line = item.line_of(name)
    fits = isinstance(value, types)
    if isinstance(value, bool):  # Python counts true as an integer; a pack does not.
        fits = key.type == "flag"
    if not fits:
        fail(line, f"「{name}」应为{label}")
    if isinstance(value, Seq) and key.type in ("names", "texts"):
        _check_list(name, value, key)
    elif isinstance(value, str):
        _check_text(name, value, line, key)
    elif key.ends is not None and not key.ends[0] <= value <= key.ends[1]:
        fail(line, f"「{name}」应在 {key.ends[0]:g} 到 {key.ends[1]:g} 之间")


def _check_list(name: str, items: Seq, key: Key) -> None:
    for position, each in enumerate(items):
        if not isinstance(each, str) or not each.strip():
            fail(items.lines[position], f"「{name}」应为文字列表")
        _check_text(name, each, items.lines[position], key)
        if key.is_unique and each in items[:position]:
            fail(items.lines[position], f"「{name}」里「{each}」写了两遍")


def _check_text(name: str, value: str, line: int, key: Key) -> None:
    if key.type in _PATTERNS:
        pattern, words = _PATTERNS[key.type]
        if value and not pattern.fullmatch(value):
            fail(line, f"「{name}」{words}")
    elif len(value) > key.most:
        fail(line, f"「{name}」太长，最多 {key.most} 个字")
    elif key.required and not value.strip():
        fail(line, f"「{name}」不能为空")
    elif key.type in ("name", "names") and _is_untidy(value):
        fail(line, f"「{name}」前后不能有空格，中间不能换行")


def _is_untidy(value: str) -> bool:
    return value != value.strip() or any(unicodedata.category(one) == "Cc" for one in value)
