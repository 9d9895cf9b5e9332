"""Read a YAML brand pack and remember on which line everything stands.

Plain words stay words: only `true` and `false` are flags, and dates, clock times and numbers with a
leading zero are text, so that `on: 2026-12-01`, `at: 10:00` and `code: 001` mean what HQ wrote.
"""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

import yaml

from bot.errors import UserError

# Deeper than any condition may be; aliases may make a small file a tree without end.
_DEEPEST = 40
_MOST_VALUES = 1_000_000
_LONGEST_SENTENCE = 300
_HINT = "请检查缩进、引号和冒号"


class PackError(UserError):
    """A pack that cannot be loaded; the sentence names the line."""

    def __init__(self, line: int, message_zh: str) -> None:
        # What was written may be quoted: it must neither break the line nor fill the screen.
        said = " ".join(message_zh.split())
        short = said if len(said) <= _LONGEST_SENTENCE else f"{said[:_LONGEST_SENTENCE]}…"
        super().__init__(f"第 {line} 行：{short}")
        self.line = line


class Map(dict[str, Any]):
    """A YAML mapping with the line of each key."""

    line: int = 0
    lines: dict[str, int]

    def line_of(self, key: str) -> int:
        """The line of a key; of the mapping itself when the key is absent."""
        return self.lines.get(key, self.line)


class Seq(list[Any]):
    """A YAML sequence with the line of each item."""

    line: int = 0
    lines: list[int]


def fail(line: int, message_zh: str) -> NoReturn:
    """Refuse the pack."""
    raise PackError(line, message_zh)


class _Loader(yaml.SafeLoader):
    """SafeLoader that keeps lines, refuses a key written twice and knows few types."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Map:
    found = Map()
    found.line = node.start_mark.line + 1
    found.lines = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag == _MERGE:
            fail(line, "不支持 <<，请把内容写全")
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            fail(line, "键应为文字")
        if key in found:
            fail(line, f"「{key}」写了两遍")
        found[key] = loader.construct_object(value_node, deep=True)
        found.lines[key] = line
    return found


def _sequence(loader: _Loader, node: yaml.SequenceNode) -> Seq:
    found = Seq(loader.construct_object(child, deep=True) for child in node.value)
    found.line = node.start_mark.line + 1
    found.lines = [child.start_mark.line + 1 for child in node.value]
    return found


def _unknown(loader: _Loader, node: yaml.Node) -> NoReturn:
    fail(node.start_mark.line + 1, "不支持 ! 开头的类型标记")


_PREFIX = "tag:yaml.org,2002:"
_MERGE = f"{_PREFIX}merge"
_PLAIN: tuple[tuple[str, str, str], ...] = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    ("float", r"[-+]?[0-9]{1,18}\.[0-9]{0,40}(?:[eE][-+][0-9]{1,3})?", "-+0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
)
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _PLAIN:
    # The empty text, which is null, is looked up under the empty first letter.
    _Loader.add_implicit_resolver(
        _PREFIX + _tag, re.compile(rf"(?:{_pattern})\Z"), [one.strip("\0") for one in _first]
    )
_Loader.yaml_constructors = {
    f"{_PREFIX}{tag}": yaml.SafeLoader.yaml_constructors[f"{_PREFIX}{tag}"]
    for tag in ("bool", "int", "float", "null", "str")
}
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_SEQUENCE_TAG, _sequence)
_Loader.add_constructor(None, _unknown)


def read(text: str) -> Map:
    """The pack as a tree of `Map` and `Seq`; raises PackError for what is no YAML mapping."""
    try:
        tree = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        fail(mark.line + 1 if mark else 1, f"不是正确的 YAML，{_HINT}")
    except yaml.reader.ReaderError as error:
        fail(text.count("\n", 0, error.position) + 1, "有无法识别的字符")
    except (yaml.YAMLError, ValueError, LookupError):
        # What a tag of the core schema forces on a text that is no such value, as `!!int x`.
        fail(1, f"不是正确的 YAML，{_HINT}")
    except RecursionError:
        fail(1, "层次太深")
    if not isinstance(tree, Map):
        fail(1, "品牌包应是一组“键: 值”")
    _check_values(tree)
    return tree


def _check_values(tree: Map) -> None:
    """Refuse what no database keeps: NUL, half characters, infinite numbers, endless trees."""
    waiting: list[tuple[Any, int, int]] = [(tree, 1, 0)]
    seen = 0
    while waiting:
        value, line, depth = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES:
            fail(line, "内容太多")
        if depth > _DEEPEST:
            fail(line, "层次太深")
        if isinstance(value, Map):
            for key, inner in value.items():
                _check_text(key, value.line_of(key))
                waiting.append((inner, value.line_of(key), depth + 1))
        elif isinstance(value, Seq):
            waiting += [
                (inner, at, depth + 1) for inner, at in zip(value, value.lines, strict=True)
            ]
        elif isinstance(value, str):
            _check_text(value, line)
        elif isinstance(value, float) and not math.isfinite(value):
            fail(line, "数字太大")


def _check_text(text: str, line: int) -> None:
    if "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
        fail(line, "有无法保存的字符")


def plain(value: Any) -> Any:
    """The same tree as ordinary dicts and lists, for storing."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


def line_at(item: Map | Seq, path: str) -> int:
    """The line of `steps.1.at` within `item`: of the deepest part that is there."""
    here: Any = item
    line = item.line
    for part in path.split("."):
        if isinstance(here, Map) and part in here:
            line, here = here.lines[part], here[part]
        elif isinstance(here, Seq) and part.isdecimal() and int(part) < len(here):
            line, here = here.lines[int(part)], here[int(part)]
        else:
            break
    return line
