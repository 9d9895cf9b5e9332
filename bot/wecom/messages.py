"""Messages a customer can get (消息与附件), each with the platform's limits.

Limits are bytes of UTF-8 unless said otherwise: developer.work.weixin.qq.com/document/path/92137.
They are checked when a message is made, so that HQ hears of them while saving.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from bot.errors import UserError

TEXT_LIMIT = 4000
APP_TEXT_LIMIT = 2048
MOST_ATTACHMENTS = 9


def clip(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, never half a character, with an ellipsis where cut."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text
    return data[: limit - 3].decode("utf-8", "ignore") + "…"


def _check(field: str, label: str, text: str, limit: int, *, required: bool = True) -> None:
    if not isinstance(text, str) or (required and not text.strip()):
        raise UserError(f"请填写{label}。", field=field)
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise UserError(f"{label}里有不能识别的字符。", field=field) from None
    if "\0" in text:
        raise UserError(f"{label}里有不能识别的字符。", field=field)
    if size > limit:
        raise UserError(f"{label}太长:最多 {limit} 字节(约 {limit // 3} 个汉字)。", field=field)


def _check_url(field: str, label: str, url: str, *, required: bool = True) -> None:
    _check(field, label, url, 2048, required=required)
    if not url:
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc or any(c.isspace() for c in url):
        raise UserError(f"{label}要以 http:// 或 https:// 开头。", field=field)


@dataclass(frozen=True)
class Text:
    """Words."""

    content: str
    kind: ClassVar[str] = "text"
    label: ClassVar[str] = "文字"

    def __post_init__(self) -> None:
        _check("content", "文字", self.content, TEXT_LIMIT)

    def payload(self) -> dict[str, Any]:
        """The object WeCom wants under its `msgtype`."""
        return {"content": self.content}


@dataclass(frozen=True)
class Image:
    """A picture: a `media_id` (3 days), or the lasting `pic_url` of media/uploadimg."""

    media_id: str = ""
    pic_url: str = ""
    kind: ClassVar[str] = "image"
    label: ClassVar[str] = "图片"

    def __post_init__(self) -> None:
        if not self.media_id and not self.pic_url:
            raise UserError("请选择图片。", field="media_id")
        _check("media_id", "图片", self.media_id, 256, required=False)
        _check_url("pic_url", "图片地址", self.pic_url, required=False)

    def payload(self) -> dict[str, Any]:
        """The object WeCom wants under its `msgtype`; a media_id wins over an address."""
        return {"media_id": self.media_id} if self.media_id else {"pic_url": self.pic_url}


@dataclass(frozen=True)
class Link:
    """A web page with a title."""

    title: str
    url: str
    desc: str = ""
    picurl: str = ""
    kind: ClassVar[str] = "link"
    label: ClassVar[str] = "网页"

    def __post_init__(self) -> None:
        _check("title", "标题", self.title, 128)
        _check_url("url", "网页地址", self.url)
        _check("desc", "简介", self.desc, 512, required=False)
        _check_url("picurl", "封面地址", self.picurl, required=False)

    def payload(self) -> dict[str, Any]:
        """The object WeCom wants under its `msgtype`."""
        extras = {"picurl": self.picurl, "desc": self.desc}
        return {"title": self.title, "url": self.url, **{k: v for k, v in extras.items() if v}}


@dataclass(frozen=True)
class MiniProgram:
    """A page of a mini-program (小程序) that is linked to the corp."""

    title: str
    pic_media_id: str
    appid: str
    page: str
    kind: ClassVar[str] = "miniprogram"
    label: ClassVar[str] = "小程序"

    def __post_init__(self) -> None:
        _check("title", "标题", self.title, 64)
        _check("pic_media_id", "封面", self.pic_media_id, 256)
        _check("appid", "小程序 AppID", self.appid, 64)
        _check("page", "小程序页面", self.page, 1024)

    def payload(self) -> dict[str, Any]:
        """The object WeCom wants under its `msgtype`."""
        return {
            "title": self.title,
            "pic_media_id": self.pic_media_id,
            "appid": self.appid,
            "page": self.page,
        }


@dataclass(frozen=True)
class Video:
    """An MP4 of at most 10 MB."""

    media_id: str
    kind: ClassVar[str] = "video"
    label: ClassVar[str] = "视频"

    def __post_init__(self) -> None:
        _check("media_id", "视频", self.media_id, 256)

    def payload(self) -> dict[str, Any]:
        """The object WeCom wants under its `msgtype`."""
        return {"media_id": self.media_id}


@dataclass(frozen=True)
class File:
    """A file of at most 20 MB."""

    media_id: str
    kind: ClassVar[str] = "file"
    label: ClassVar[str] = "文件"

    def __post_init__(self) -> None:
        _check("media_id", "文件", self.media_id, 256)

    def payload(self) -> dict[str, Any]:
        """The object WeCom wants under its `msgtype`."""
        return {"media_id": self.media_id}


Attachment = Image | Link | MiniProgram | Video | File
Message = Text | Attachment

MESSAGES: dict[str, type[Message]] = {
    Text.kind: Text,
    Image.kind: Image,
    Link.kind: Link,
    MiniProgram.kind: MiniProgram,
    Video.kind: Video,
    File.kind: File,
}


def as_attachment(message: Attachment) -> dict[str, Any]:
    """`{"msgtype": "link", "link": {…}}`, as in welcome messages and mass messages."""
    return {"msgtype": message.kind, message.kind: message.payload()}
