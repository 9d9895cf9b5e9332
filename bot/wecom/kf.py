"""Calls of 微信客服: what customers write to the brand, and our answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.wecom import bodies
from bot.wecom.details import (
    KfAccount,
    KfCustomer,
    KfMessage,
    KfPage,
    KfState,
    number_of,
    objects_of,
    text_of,
)
from bot.wecom.path import CallPath

# 100 accounts a page; a corp has at most some thousands.
_MOST_ACCOUNT_PAGES = 100


class KfCalls(CallPath):
    """The part of the gateway about 微信客服."""

    def kf_accounts(self) -> list[KfAccount]:
        """All accounts this app may see."""
        accounts: list[KfAccount] = []
        for page in range(_MOST_ACCOUNT_PAGES):
            body = bodies.freeze({"offset": page * 100, "limit": 100})
            rows = objects_of(self.call("kf/account/list", body), "account_list")
            accounts += [
                KfAccount(
                    text_of(row, "open_kfid"),
                    text_of(row, "name"),
                    text_of(row, "avatar"),
                    bool(row.get("manage_privilege")),
                )
                for row in rows
            ]
            if len(rows) < 100:
                break
        return accounts

    def kf_sync(
        self, open_kfid: str, *, token: str = "", cursor: str = "", limit: int = 1000
    ) -> KfPage:
        """Messages after `cursor` (none: the last 3 days); without a token it is throttled hard."""
        body: dict[str, Any] = {"open_kfid": open_kfid, "limit": limit}
        if token:
            body["token"] = token
        if cursor:
            body["cursor"] = cursor
        reply = self.call("kf/sync_msg", bodies.freeze(body))
        return KfPage(
            tuple(KfMessage.read(row) for row in objects_of(reply, "msg_list")),
            text_of(reply, "next_cursor") or cursor,
            number_of(reply, "has_more") == 1,
        )

    def kf_send(
        self, open_kfid: str, external_userid: str, message: dict[str, Any], *, msgid: str = ""
    ) -> str:
        """Answer a customer: at most 5 messages in 48 hours after each of theirs. The msgid."""
        body = bodies.kf_send_body(open_kfid, external_userid, message, msgid=msgid)
        return text_of(self.call("kf/send_msg", body), "msgid")

    def kf_send_on_event(self, code: str, message: dict[str, Any], *, msgid: str = "") -> str:
        """Say one thing with the code of an event (welcome, hand-over, end). The msgid."""
        body = bodies.kf_send_on_event_body(code, message, msgid=msgid)
        return text_of(self.call("kf/send_msg_on_event", body), "msgid")

    def kf_state(self, open_kfid: str, external_userid: str) -> KfState:
        """Who talks with this customer."""
        body = bodies.freeze({"open_kfid": open_kfid, "external_userid": external_userid})
        reply = self.call("kf/service_state/get", body)
        servicer = text_of(reply, "servicer_userid") or None
        return KfState(number_of(reply, "service_state"), servicer)

    def kf_transfer(
        self, open_kfid: str, external_userid: str, state: int, servicer_userid: str = ""
    ) -> str | None:
        """Move a chat to the bot (1), the queue (2), a person (3) or its end (4).

        Returns the code for one last message, where WeCom gives one.
        """
        body = bodies.kf_transfer_body(open_kfid, external_userid, state, servicer_userid)
        return text_of(self.call("kf/service_state/trans", body), "msg_code") or None

    def kf_customers(self, external_userids: Sequence[str]) -> list[KfCustomer]:
        """Names of up to 100 customers who wrote within 48 hours."""
        body = bodies.freeze({"external_userid_list": list(external_userids)})
        reply = self.call("kf/customer/batchget", body)
        return [
            KfCustomer(
                text_of(row, "external_userid"),
                text_of(row, "nickname"),
                text_of(row, "avatar"),
                text_of(row, "unionid") or None,
            )
            for row in objects_of(reply, "customer_list")
        ]
