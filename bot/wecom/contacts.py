"""Calls about customers (客户), their tags (企业标签) and contact ways (联系我)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.errors import FollowEnded, WeComUnavailable
from bot.wecom import bodies
from bot.wecom.client import TIMEOUT, Timeout
from bot.wecom.details import (
    ContactDetail,
    ContactPage,
    ContactWay,
    ContactWayPage,
    CorpTagGroup,
    object_of,
    objects_of,
    text_of,
    texts_of,
)
from bot.wecom.path import CallPath

# 500 followers a page; nobody is followed by 10,000 guides.
_MOST_FOLLOWER_PAGES = 20


class ContactCalls(CallPath):
    """The part of the gateway about customers."""

    def follow_users(self) -> list[str]:
        """The members who may have customers (客户联系)."""
        reply = self.call("externalcontact/get_follow_user_list", method="GET")
        return list(texts_of(reply, "follow_user"))

    def contacts_of(self, userid: str) -> list[str]:
        """The customers of one guide; a guide without any is 84061 to WeCom, and [] here."""
        try:
            reply = self.call("externalcontact/list", method="GET", params={"userid": userid})
        except FollowEnded:
            return []
        return list(texts_of(reply, "external_userid"))

    def contact(self, external_userid: str, *, timeout: Timeout = TIMEOUT) -> ContactDetail:
        """One customer with all guides who follow them."""
        api, params = "externalcontact/get", {"external_userid": external_userid}
        reply = self.call(api, method="GET", params=params, timeout=timeout)
        follows = objects_of(reply, "follow_user")
        person = object_of(reply, "external_contact")
        for _ in range(_MOST_FOLLOWER_PAGES):
            cursor = text_of(reply, "next_cursor")
            if not cursor:
                break
            more = {**params, "cursor": cursor}
            reply = self.call(api, method="GET", params=more, timeout=timeout)
            follows += objects_of(reply, "follow_user")
        return ContactDetail.read(person, follows)

    def contacts_by_guides(
        self, userids: Sequence[str], cursor: str = "", limit: int = 100
    ) -> ContactPage:
        """Customers of up to 100 guides, a page of at most 100; an empty next_cursor ends it."""
        body = {"userid_list": list(userids), "cursor": cursor, "limit": limit}
        reply = self.call("externalcontact/batch/get_by_user", bodies.freeze(body))
        contacts = tuple(
            ContactDetail.read(object_of(row, "external_contact"), [object_of(row, "follow_info")])
            for row in objects_of(reply, "external_contact_list")
        )
        return ContactPage(contacts, text_of(reply, "next_cursor"))

    def corp_tags(self) -> list[CorpTagGroup]:
        """All corp tags, by group."""
        reply = self.call("externalcontact/get_corp_tag_list", bodies.freeze({}))
        return [CorpTagGroup.read(row) for row in objects_of(reply, "tag_group")]

    def add_corp_tags(
        self, names: Sequence[str], *, group_name: str = "", group_id: str = ""
    ) -> CorpTagGroup:
        """Add tags to a group, by its id or (made if new) by its name."""
        body: dict[str, Any] = {"tag": [{"name": name} for name in names]}
        body |= {"group_id": group_id} if group_id else {"group_name": group_name}
        reply = self.call("externalcontact/add_corp_tag", bodies.freeze(body))
        return CorpTagGroup.read(object_of(reply, "tag_group"))

    def edit_corp_tag(self, tag_or_group_id: str, *, name: str) -> None:
        """Rename a tag or a group."""
        body = {"id": tag_or_group_id, "name": name}
        self.call("externalcontact/edit_corp_tag", bodies.freeze(body))

    def delete_corp_tags(self, tag_ids: Sequence[str] = (), group_ids: Sequence[str] = ()) -> None:
        """Delete tags or whole groups; a group goes with its last tag."""
        body = {"tag_id": list(tag_ids), "group_id": list(group_ids)}
        self.call("externalcontact/del_corp_tag", bodies.freeze(body))

    def mark_tag(
        self,
        userid: str,
        external_userid: str,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
    ) -> None:
        """Put corp tags on a customer of a guide, or take them away."""
        body = bodies.mark_tag_body(userid, external_userid, add, remove)
        self.call("externalcontact/mark_tag", body)

    def add_contact_way(
        self,
        *,
        userids: Sequence[str],
        state: str,
        remark: str = "",
        skip_verify: bool = True,
        department_ids: Sequence[int] = (),
    ) -> ContactWay:
        """Make a contact way with a QR code. Its config_id is shown nowhere else: keep it."""
        body = bodies.contact_way_body(
            userids=userids,
            state=state,
            remark=remark,
            skip_verify=skip_verify,
            department_ids=department_ids,
        )
        reply = self.call("externalcontact/add_contact_way", body)
        if not text_of(reply, "config_id"):
            raise WeComUnavailable("externalcontact/add_contact_way", 0, "no config_id came back")
        return ContactWay(
            text_of(reply, "config_id"),
            text_of(reply, "qr_code"),
            state,
            remark,
            skip_verify,
            tuple(userids),
            tuple(department_ids),
        )

    def contact_way(self, config_id: str) -> ContactWay:
        """A contact way as WeCom has it."""
        body = bodies.freeze({"config_id": config_id})
        reply = self.call("externalcontact/get_contact_way", body)
        return ContactWay.read(object_of(reply, "contact_way"))

    def update_contact_way(
        self,
        config_id: str,
        *,
        userids: Sequence[str],
        state: str,
        remark: str = "",
        skip_verify: bool = True,
        department_ids: Sequence[int] = (),
    ) -> None:
        """Replace guides, state and remark; the QR code stays the same."""
        body = bodies.update_contact_way_body(
            config_id,
            userids=userids,
            state=state,
            remark=remark,
            skip_verify=skip_verify,
            department_ids=department_ids,
        )
        self.call("externalcontact/update_contact_way", body)

    def contact_ways(
        self, cursor: str = "", *, start_time: int | None = None, limit: int = 100
    ) -> ContactWayPage:
        """Ids of contact ways made since `start_time` (Unix seconds; WeCom's default: 90 days)."""
        body: dict[str, Any] = {"cursor": cursor, "limit": limit}
        if start_time is not None:
            body["start_time"] = start_time
        reply = self.call("externalcontact/list_contact_way", bodies.freeze(body))
        ids = tuple(text_of(row, "config_id") for row in objects_of(reply, "contact_way"))
        return ContactWayPage(ids, text_of(reply, "next_cursor"))

    def delete_contact_way(self, config_id: str) -> None:
        """Delete a contact way; its QR code stops working."""
        self.call("externalcontact/del_contact_way", bodies.freeze({"config_id": config_id}))
