"""Templates approved by a provider (通道模板): of SMS and of the official account.

The provider knows the template by `code` and fills our `data` into it; `text` is the same wording
as people read it here. Both may hold placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bot.errors import UserError
from content_library import placeholders, wording_rules
from content_library.models import ChannelTemplate
from content_library.placeholders import PLACEHOLDERS, PlaceholderFacts

#: What carriers of SMS and the official account take for one variable.
VALUE_LENGTH = 20
#: A link is either whole or useless.
LINK_LENGTH = 200
_TEXT_LENGTH = 500
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_LINK = re.compile(r"https?://\S{1,500}")
_UNSUBSCRIBE = re.compile(
    r"(?:退订|拒收)(?:请?回复?)?[:：]?\s*(?:TD|T|N|R)\s*[。.]?$", re.IGNORECASE
)


class Channel(StrEnum):
    """Through whom. The value is the step kind as well; stored, never renamed."""

    SMS = "sms"
    TEMPLATE_MESSAGE = "template_message"


@dataclass(frozen=True)
class Filled:
    """A template for one customer: the variables for the provider, the words for people, the page
    a tap opens."""

    values: dict[str, str]
    words: str
    url: str | None


def check(
    *,
    name: str,
    channel: str,
    code: str,
    data: Mapping[str, Any],
    text: str = "",
    signature: str | None = None,
    url: str | None = None,
) -> list[str]:
    """Refuse a template that could not be sent; returns warnings. `field` is a key of the pack."""
    is_sms = channel == Channel.SMS
    values = "params" if is_sms else "data"
    if not code.strip():
        raise UserError(f"模板「{name}」要有服务商给的模板编号 code。", field="code")
    if is_sms:
        _check_sms(name, text, signature)
    elif not data:
        raise UserError(f"模板「{name}」至少要有一个变量。", field=values)
    for key, wording in data.items():
        _check_value(name, key, wording, values)
    placeholders.check(text, field="text")
    if len(_sampled(text)) > _TEXT_LENGTH:
        raise UserError(f"模板「{name}」的内容太长，最多 {_TEXT_LENGTH} 个字。", field="text")
    if url is not None:
        placeholders.check(url, field="url")
        if not _LINK.fullmatch(_sampled(url)):
            sentence = f"模板「{name}」的 url 要是网址，例如 https://example.com/a。"
            raise UserError(sentence, field="url")
    return _warnings(name, is_sms, text, data)


def fill(template: ChannelTemplate, facts: PlaceholderFacts) -> Filled:
    """The template with this customer's facts; a value too long for the provider is cut."""
    values = {
        name: _cut(placeholders.fill(str(wording), facts))
        for name, wording in template.data.items()
    }
    url = placeholders.fill(template.url, facts) if template.url else None
    words = placeholders.fill(template.text, facts) if template.text else "；".join(values.values())
    if template.channel == Channel.SMS and template.signature:
        words = f"【{template.signature}】{words}"
    return Filled(values, words, url if url and _LINK.fullmatch(url) else None)


def _most(value: str) -> int:
    return LINK_LENGTH if _LINK.fullmatch(value) else VALUE_LENGTH


def _cut(value: str) -> str:
    return value[: _most(value)]


def _check_sms(name: str, text: str, signature: str | None) -> None:
    if not signature or not 2 <= len(signature) <= 16 or set(signature) & set("【】[]"):
        raise UserError(f"短信模板「{name}」的签名要是 2 到 16 个字，不带【】。", field="signature")
    if not text.strip():
        raise UserError(f"短信模板「{name}」要写短信内容 text。", field="text")


def _check_value(name: str, key: object, wording: object, field: str) -> None:
    if not isinstance(key, str) or not _NAME.fullmatch(key):
        raise UserError(
            f"模板「{name}」的变量名「{key}」只能用字母、数字和下划线，并以字母开头。", field=field
        )
    if not isinstance(wording, str) or not wording.strip():
        raise UserError(f"模板「{name}」的变量「{key}」还没有内容。", field=field)
    placeholders.check(wording, field=field)
    sample = _sampled(wording)
    if len(sample) > _most(sample):
        raise UserError(
            f"模板「{name}」的变量「{key}」填好后约 {len(sample)} 个字，"
            f"最多 {_most(sample)} 个字。",
            field=field,
        )


def _sampled(wording: str) -> str:
    """The wording as it reads for the customer of the samples."""
    for name in placeholders.names(wording):
        wording = re.sub(rf"\{{\s*{re.escape(name)}\s*\}}", PLACEHOLDERS[name].sample, wording)
    return wording


def _warnings(name: str, is_sms: bool, text: str, data: Mapping[str, Any]) -> list[str]:
    said = wording_rules.warning(f"模板「{name}」", " ".join([text, *map(str, data.values())]))
    found = [said] if said else []
    if is_sms and not _UNSUBSCRIBE.search(text.strip()):
        found.append(f"短信模板「{name}」没有写退订方法，营销短信的结尾要有“拒收请回复R”这样的话")
    return found
