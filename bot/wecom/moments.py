"""Calls of moments (客户朋友圈): one task for many guides, each of whom must publish it herself.

developer.work.weixin.qq.com/document/path/95094 and 93333: WeCom works on a task in the background,
so making one gives a job number for a day, and the job gives the moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.errors import UserError, WeComUnavailable
from bot.wecom import bodies, messages
from bot.wecom.client import Timeout
from bot.wecom.details import moment_of, number_of, object_of, objects_of, text_of, texts_of
from bot.wecom.messages import Image, Video
from bot.wecom.path import CallPath

#: The path that makes a moment task.
API = "externalcontact/add_moment_task"
MOST_GUIDES = 100_000
_TEXT_CHARACTERS = 2000
_MOST_PICTURES = 9
_JOB_DONE = 3
_PAGE = 1000
# The largest page of get_moment_list.
_LIST_PAGE = 20
_MOST_PAGES = 200
_UPLOAD_TIMEOUT: Timeout = (2.0, 60.0)
#: media/upload_attachment with this attachment_type is for moments.
_FOR_MOMENTS = 1

MomentAttachment = Image | Video


@dataclass(frozen=True)
class Job:
    """How far a moment task is: `errcode` is not 0 where WeCom gave it up."""

    is_done: bool
    moment_id: str
    errcode: int
    reason: str
    invalid_users: tuple[str, ...]


@dataclass(frozen=True)
class ListedMoment:
    """A line of the list of moments; one made by an app has no creator."""

    moment_id: str
    creator: str
    text: str
    created_at: datetime | None


@dataclass(frozen=True)
class Publication:
    """Whether a guide has published a moment."""

    userid: str
    is_published: bool


def moment_body(
    userids: Sequence[str], text: str, attachments: Sequence[MomentAttachment] = ()
) -> bytes:
    """externalcontact/add_moment_task: words, and up to nine pictures or one video."""
    if not 1 <= len(userids) <= MOST_GUIDES:
        raise UserError(f"朋友圈要有 1 到 {MOST_GUIDES} 位导购。", field="userids")
    if not text and not attachments:
        raise UserError("朋友圈要有文字或图片。", field="text")
    videos = sum(isinstance(one, Video) for one in attachments)
    if videos and len(attachments) > 1:
        raise UserError("朋友圈只能放一段视频，或者最多 9 张图片。", field="attachments")
    if len(attachments) > _MOST_PICTURES:
        raise UserError(f"朋友圈最多 {_MOST_PICTURES} 张图片。", field="attachments")
    body: dict[str, Any] = {"visible_range": {"sender_list": {"user_list": list(userids)}}}
    if text:
        body["text"] = {"content": clipped(text)}
    if attachments:
        body["attachments"] = [messages.as_attachment(one) for one in attachments]
    return bodies.freeze(body)


def clipped(text: str) -> str:
    """The words as WeCom gets them, and lists them afterwards."""
    return messages.clip(text[:_TEXT_CHARACTERS], messages.TEXT_LIMIT)


class MomentCalls(CallPath):
    """The part of the gateway about moments."""

    def add_moment(
        self, userids: Sequence[str], text: str, attachments: Sequence[MomentAttachment] = ()
    ) -> str:
        """Ask guides to publish a moment; returns the job number, good for 24 hours."""
        reply = self.call(API, moment_body(userids, text, attachments))
        if not text_of(reply, "jobid"):
            raise WeComUnavailable(API, 0, "no jobid came back")
        return text_of(reply, "jobid")

    def moment_job(self, jobid: str) -> Job:
        """How far the making of a moment is."""
        reply = self.call(
            "externalcontact/get_moment_task_result", method="GET", params={"jobid": jobid}
        )
        result = object_of(reply, "result")
        invalid = object_of(result, "invalid_sender_list")
        return Job(
            number_of(reply, "status") == _JOB_DONE,
            text_of(result, "moment_id"),
            number_of(result, "errcode"),
            text_of(result, "errmsg")[:200],
            texts_of(invalid, "user_list"),
        )

    def moments(self, first: datetime, last: datetime) -> list[ListedMoment]:
        """Moments that apps or HQ made between two moments, at most 30 days apart."""
        api, cursor = "externalcontact/get_moment_list", ""
        span = {"start_time": int(first.timestamp()), "end_time": int(last.timestamp())}
        found: list[ListedMoment] = []
        for _ in range(_MOST_PAGES):
            body: dict[str, Any] = {**span, "filter_type": 0, "limit": _LIST_PAGE}
            body |= {"cursor": cursor} if cursor else {}
            reply = self.call(api, bodies.freeze(body))
            found += [
                ListedMoment(
                    text_of(row, "moment_id"),
                    text_of(row, "creator"),
                    text_of(object_of(row, "text"), "content"),
                    moment_of(row, "create_time"),
                )
                for row in objects_of(reply, "moment_list")
            ]
            fresh = text_of(reply, "next_cursor")
            if not fresh or fresh == cursor:
                return found
            cursor = fresh
        raise WeComUnavailable(api, 0, "the list does not end")

    def moment_publications(self, moment_id: str) -> list[Publication]:
        """The guides a moment waits for, and who has published it."""
        api, cursor = "externalcontact/get_moment_task", ""
        found: list[Publication] = []
        for _ in range(_MOST_PAGES):
            body: dict[str, Any] = {"moment_id": moment_id, "limit": _PAGE}
            body |= {"cursor": cursor} if cursor else {}
            reply = self.call(api, bodies.freeze(body))
            found += [
                Publication(text_of(row, "userid"), number_of(row, "publish_status") == 1)
                for row in objects_of(reply, "task_list")
            ]
            fresh = text_of(reply, "next_cursor")
            if not fresh or fresh == cursor:
                return found
            cursor = fresh
        raise WeComUnavailable(api, 0, "the list does not end")

    def upload_moment_attachment(self, kind: str, filename: str, content: bytes) -> str:
        """Upload a picture or a video for a moment; the media_id lives three days and is good for
        moments only (40007 elsewhere)."""
        if kind not in ("image", "video"):
            raise UserError("朋友圈只能配图片或视频。", field="attachments")
        api = "media/upload_attachment"
        reply = self.call(
            api,
            params={"media_type": kind, "attachment_type": _FOR_MOMENTS},
            files={"media": (filename, content, "application/octet-stream")},
            timeout=_UPLOAD_TIMEOUT,
        )
        if not text_of(reply, "media_id"):
            raise WeComUnavailable(api, 0, "no media_id came back")
        return text_of(reply, "media_id")
