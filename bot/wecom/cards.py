"""Template cards (模板卡片) for guides, within the platform's limits.

developer.work.weixin.qq.com/document/path/90236. Where WeCom only advises a length it cuts the
display itself; where it refuses, this file refuses first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.errors import UserError
from bot.wecom.messages import clip

_TASK_ID = re.compile(r"[A-Za-z0-9_\-@]{1,128}")
MOST_ROWS = 6
MOST_LINKS = 3
MOST_BUTTONS = 6


@dataclass(frozen=True)
class Row:
    """One line of a card: a short name and its value; with `url` the value is a link."""

    name: str
    value: str
    url: str = ""


@dataclass(frozen=True)
class LinkTo:
    """A line at the foot of a card that opens a page."""

    title: str
    url: str


@dataclass(frozen=True)
class Button:
    """A button: `key` comes back in CardClicked, or `url` opens a page. Style 1 to 4."""

    text: str
    key: str = ""
    url: str = ""
    style: int = 1


@dataclass(frozen=True)
class Choice:
    """A drop-down above the buttons; options are (id, text)."""

    question_key: str
    title: str
    options: Sequence[tuple[str, str]]
    selected_id: str = ""


def text_notice(
    *,
    title: str,
    url: str,
    desc: str = "",
    emphasis: tuple[str, str] | None = None,
    text: str = "",
    rows: Sequence[Row] = (),
    links: Sequence[LinkTo] = (),
    source: str = "",
    task_id: str = "",
) -> dict[str, Any]:
    """A notice that opens `url` when touched. `emphasis` is (large figure, its caption)."""
    if not title and not text:
        raise UserError("卡片需要标题或正文。", field="title")
    card = _shared("text_notice", title, desc, text, rows, links, source)
    if emphasis is not None:
        card["emphasis_content"] = {"title": emphasis[0], "desc": emphasis[1]}
    card["card_action"] = {"type": 1, "url": _url(url)}
    if task_id:
        card["task_id"] = _task_id(task_id)
    return card


def button_card(
    *,
    title: str,
    task_id: str,
    buttons: Sequence[Button],
    desc: str = "",
    text: str = "",
    rows: Sequence[Row] = (),
    links: Sequence[LinkTo] = (),
    choice: Choice | None = None,
    url: str = "",
    source: str = "",
) -> dict[str, Any]:
    """A card with buttons that call back; it needs a task_id that is unique in the app."""
    if not title:
        raise UserError("卡片需要标题。", field="title")
    if not 1 <= len(buttons) <= MOST_BUTTONS:
        raise UserError(f"卡片要有 1 到 {MOST_BUTTONS} 个按钮。", field="buttons")
    card = _shared("button_interaction", title, desc, text, rows, links, source)
    card["task_id"] = _task_id(task_id)
    card["button_list"] = [_button(button) for button in buttons]
    if choice is not None:
        card["button_selection"] = _choice(choice)
    if url:
        card["card_action"] = {"type": 1, "url": _url(url)}
    return card


def _shared(
    card_type: str,
    title: str,
    desc: str,
    text: str,
    rows: Sequence[Row],
    links: Sequence[LinkTo],
    source: str,
) -> dict[str, Any]:
    if len(rows) > MOST_ROWS:
        raise UserError(f"卡片最多 {MOST_ROWS} 行。", field="rows")
    if len(links) > MOST_LINKS:
        raise UserError(f"卡片最多 {MOST_LINKS} 个链接。", field="links")
    card: dict[str, Any] = {"card_type": card_type}
    if source:
        card["source"] = {"desc": source}
    card["main_title"] = {"title": clip(title, 256), "desc": clip(desc, 512)}
    if text:
        card["sub_title_text"] = clip(text, 2048)
    if rows:
        card["horizontal_content_list"] = [_row(row) for row in rows]
    if links:
        card["jump_list"] = [
            {"type": 1, "title": link.title, "url": _url(link.url)} for link in links
        ]
    return card


def _row(row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {"keyname": row.name, "value": clip(row.value, 256)}
    if row.url:
        line |= {"type": 1, "url": _url(row.url)}
    return line


def _button(button: Button) -> dict[str, Any]:
    if not button.text:
        raise UserError("按钮需要文字。", field="buttons")
    if bool(button.key) == bool(button.url):
        raise UserError("按钮要么回传,要么打开网页。", field="buttons")
    if len(button.key.encode()) > 1024:
        raise UserError("按钮的标识太长。", field="buttons")
    if button.url:
        return {"type": 1, "text": button.text, "style": button.style, "url": _url(button.url)}
    return {"type": 0, "text": button.text, "style": button.style, "key": button.key}


def _choice(choice: Choice) -> dict[str, Any]:
    ids = [option[0] for option in choice.options]
    if not 1 <= len(ids) <= 10 or len(set(ids)) != len(ids) or not choice.question_key:
        raise UserError("选项要有 1 到 10 个,而且不能重复。", field="choice")
    selection: dict[str, Any] = {
        "question_key": choice.question_key,
        "title": choice.title,
        "option_list": [{"id": one, "text": text} for one, text in choice.options],
    }
    if choice.selected_id:
        selection["selected_id"] = choice.selected_id
    return selection


def _task_id(task_id: str) -> str:
    if not _TASK_ID.fullmatch(task_id):
        raise UserError("卡片编号只能用字母、数字和 _ - @,最多 128 位。", field="task_id")
    return task_id


def _url(url: str) -> str:
    if not url.startswith(("http://", "https://")) or len(url.encode()) > 2048:
        raise UserError("卡片的网页地址要以 http:// 或 https:// 开头。", field="url")
    return url
