"""Read a YAML brand pack and remember on which line everything stands."""

from __future__ import annotations

from typing import Any, NoReturn

import yaml

from bot.errors import UserError


class PackError(UserError):
    """A pack that cannot be loaded; the sentence names the line."""

    def __init__(self, line: int, message_zh: str) -> None:
        super().__init__(f"第 {line} 行：{message_zh}")
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
    """SafeLoader that keeps lines and refuses a key written twice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Map:
    found = Map()
    found.line = node.start_mark.line + 1
    found.lines = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            fail(line, f"键应为文字，收到 {key!r}")
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


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_SEQUENCE_TAG, _sequence)


def read(text: str) -> Map:
    """The pack as a tree of `Map` and `Seq`; raises PackError for what is no YAML mapping."""
    try:
        tree = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        fail(mark.line + 1 if mark else 1, f"不是正确的 YAML（{error.problem}）")
    except yaml.YAMLError:
        fail(1, "不是正确的 YAML")
    except RecursionError:
        fail(1, "层次太深")
    if not isinstance(tree, Map):
        fail(1, "品牌包应是一组“键: 值”")
    return tree


def plain(value: Any) -> Any:
    """The same tree as ordinary dicts and lists, for storing."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value
