"""Calls that say something: welcomes, app messages, cards; and uploads of what they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.errors import UserError, WeComUnavailable
from bot.wecom import bodies
from bot.wecom.client import Timeout
from bot.wecom.details import SendResult, split_ids, text_of
from bot.wecom.messages import Attachment
from bot.wecom.path import CallPath

# A 20 MB file takes longer than any other call.
_UPLOAD_TIMEOUT: Timeout = (2.0, 60.0)
MB = 1024 * 1024
# developer.work.weixin.qq.com/document/path/90253
MEDIA_LIMITS: dict[str, int] = {
    "image": 10 * MB,
    "voice": 2 * MB,
    "video": 10 * MB,
    "file": 20 * MB,
}
_SMALLEST = 6
_UPLOADED_IMAGE_LIMIT = 2 * MB


def read_send_result(reply: Mapping[str, Any]) -> SendResult:
    """What a reply to message/send says; errcode 0 may still leave receivers out."""
    return SendResult(
        msgid=text_of(reply, "msgid"),
        response_code=text_of(reply, "response_code") or None,
        invalid_users=split_ids(reply, "invaliduser") + split_ids(reply, "unlicenseduser"),
    )


class MessageCalls(CallPath):
    """The part of the gateway that sends."""

    def send_welcome(self, code: str, text: str, attachments: Sequence[Attachment] = ()) -> None:
        """Greet a new customer: once per code, within 20 seconds of its event."""
        body = bodies.welcome_body(code, text, attachments)
        self.call("externalcontact/send_welcome_msg", body)

    def send_app_message(
        self,
        userids: Sequence[str],
        message: dict[str, Any],
        duplicate_check_seconds: int = bodies.DUPLICATE_CHECK_SECONDS,
    ) -> SendResult:
        """Send to guides in the app; the same request within the seconds is not shown again."""
        body = bodies.app_message_body(
            self.wecom.agent_id, userids, message, duplicate_check_seconds
        )
        return read_send_result(self.call("message/send", body, members=userids))

    def update_card(
        self,
        response_code: str,
        userids: Sequence[str],
        *,
        button_text: str = "",
        card: dict[str, Any] | None = None,
    ) -> None:
        """Gray a card's buttons, or replace the card; a response_code is good once in 72 hours."""
        body = bodies.update_card_body(
            self.wecom.agent_id, response_code, userids, button_text=button_text, card=card
        )
        self.call("message/update_template_card", body)

    def upload_media(self, kind: str, filename: str, data: bytes) -> str:
        """Upload for three days: image, voice, video or file. Returns the media_id."""
        _check_upload(filename, data, MEDIA_LIMITS.get(kind, 0))
        reply = self.call(
            "media/upload",
            params={"type": kind},
            files={"media": (filename, data, "application/octet-stream")},
            timeout=_UPLOAD_TIMEOUT,
        )
        return _need("media/upload", reply, "media_id")

    def upload_image(self, filename: str, data: bytes) -> str:
        """Upload a picture for good (1,000 a day): its address, which only WeCom can show."""
        _check_upload(filename, data, _UPLOADED_IMAGE_LIMIT)
        reply = self.call(
            "media/uploadimg",
            files={"media": (filename, data, "application/octet-stream")},
            timeout=_UPLOAD_TIMEOUT,
        )
        return _need("media/uploadimg", reply, "url")


def _check_upload(filename: str, data: bytes, limit: int) -> None:
    if limit == 0:
        raise UserError("素材类型不支持。", field="kind")
    if not _SMALLEST <= len(data) <= limit:
        raise UserError(f"文件要在 {_SMALLEST} 字节到 {limit // MB} MB 之间。", field="data")
    if not filename or len(filename.encode("utf-8", "replace")) > 200:
        raise UserError("文件名不能为空,也不能太长。", field="filename")


def _need(api: str, reply: Mapping[str, Any], name: str) -> str:
    value = text_of(reply, name)
    if not value:
        raise WeComUnavailable(api, 0, f"no {name} came back")
    return value
