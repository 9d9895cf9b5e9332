"""Every call the pretend platform answers: path, method, family, and who does the work."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.sandbox import (
    app_messages,
    cards,
    contact_ways,
    contacts,
    corp_tags,
    kf,
    kf_messages,
    login,
    mass,
    mass_results,
    media,
    members,
    moments,
    tokens,
    welcome,
)
from bot.sandbox.fields import Ask
from bot.sandbox.town import Town

Work = Callable[[Town, sqlite3.Connection, Ask], dict[str, Any]]


@dataclass(frozen=True)
class Call:
    """One line of the table. `family` names the permission it needs (48002 without it);
    `is_counted` is False for the calls outside the base frequency."""

    work: Work
    method: str = "POST"
    family: str = ""
    is_counted: bool = True
    needs_token: bool = True
    only_reads: bool = False
    is_upload: bool = False


def _callback_ips(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    return {"ip_list": ["127.0.0.1", "101.226.103.*"]}


def _api_ips(town: Town, db: sqlite3.Connection, ask: Ask) -> dict[str, Any]:
    return {"ip_list": ["127.0.0.1"]}


def _get(work: Work, family: str = "") -> Call:
    return Call(work, "GET", family, only_reads=True)


def _read(work: Work, family: str) -> Call:
    return Call(work, "POST", family, only_reads=True)


CALLS: dict[str, Call] = {
    "gettoken": Call(tokens.gettoken, "GET", is_counted=False, needs_token=False),
    "getcallbackip": _get(_callback_ips),
    "get_api_domain_ip": _get(_api_ips),
    "get_jsapi_ticket": Call(tokens.corp_ticket, "GET"),
    "ticket/get": Call(tokens.app_ticket, "GET"),
    "auth/getuserinfo": Call(login.whoami, "GET", is_counted=False),
    "user/get": _get(members.get),
    "user/list": _get(members.list_full),
    "user/simplelist": _get(members.list_simple),
    "department/list": _get(members.departments),
    "department/simplelist": _get(members.departments_simple),
    "agent/get": _get(members.agent),
    "menu/create": Call(members.create_menu),
    "externalcontact/get_follow_user_list": _get(contacts.follow_users, "contact"),
    "externalcontact/list": _get(contacts.list_of, "contact"),
    "externalcontact/get": _get(contacts.get, "contact"),
    "externalcontact/batch/get_by_user": _read(contacts.by_user, "contact"),
    "externalcontact/remark": Call(contacts.remark, family="contact"),
    "externalcontact/get_corp_tag_list": _read(corp_tags.list_all, "contact"),
    "externalcontact/add_corp_tag": Call(corp_tags.add, family="contact"),
    "externalcontact/edit_corp_tag": Call(corp_tags.edit, family="contact"),
    "externalcontact/del_corp_tag": Call(corp_tags.delete, family="contact"),
    "externalcontact/mark_tag": Call(corp_tags.mark, family="contact"),
    "externalcontact/add_contact_way": Call(contact_ways.add, family="contact"),
    "externalcontact/get_contact_way": _read(contact_ways.get, "contact"),
    "externalcontact/list_contact_way": _read(contact_ways.list_all, "contact"),
    "externalcontact/update_contact_way": Call(contact_ways.update, family="contact"),
    "externalcontact/del_contact_way": Call(contact_ways.delete, family="contact"),
    "externalcontact/send_welcome_msg": Call(welcome.send, family="contact"),
    "externalcontact/add_msg_template": Call(mass.add, family="contact"),
    "externalcontact/get_groupmsg_list_v2": _read(mass_results.list_all, "contact"),
    "externalcontact/get_groupmsg_task": _read(mass_results.tasks, "contact"),
    "externalcontact/get_groupmsg_send_result": _read(mass_results.results, "contact"),
    "externalcontact/remind_groupmsg_send": Call(mass_results.remind, family="contact"),
    "externalcontact/cancel_groupmsg_send": Call(mass_results.cancel, family="contact"),
    "externalcontact/add_moment_task": Call(moments.add, family="contact"),
    "externalcontact/get_moment_task_result": _get(moments.job, "contact"),
    "externalcontact/get_moment_list": _read(moments.list_all, "contact"),
    "externalcontact/get_moment_task": _read(moments.tasks, "contact"),
    "message/send": Call(app_messages.send, family="message", is_counted=False),
    "message/update_template_card": Call(cards.update, family="message"),
    "message/recall": Call(app_messages.recall, family="message"),
    "media/upload": Call(media.upload, is_upload=True),
    "media/upload_attachment": Call(media.upload_attachment, is_upload=True),
    "media/uploadimg": Call(media.upload_image, is_upload=True),
    "kf/account/list": _read(kf.accounts, "kf"),
    "kf/add_contact_way": _read(kf.contact_way, "kf"),
    "kf/servicer/list": _get(kf.servicers, "kf"),
    "kf/sync_msg": Call(kf_messages.sync, family="kf"),
    "kf/send_msg": Call(kf_messages.send, family="kf"),
    "kf/send_msg_on_event": Call(kf_messages.send_on_event, family="kf"),
    "kf/service_state/get": Call(kf.get_state, family="kf"),
    "kf/service_state/trans": Call(kf.move, family="kf"),
    "kf/customer/batchget": _read(kf.customers, "kf"),
}
