"""Calls about the corp itself: departments, members, sign-in codes, addresses, page signatures."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from bot.errors import Refused
from bot.wecom.details import (
    Department,
    Member,
    number_of,
    objects_of,
    text_of,
    texts_of,
)
from bot.wecom.path import CallPath, fetch_ticket


@dataclass(frozen=True)
class PageSignature:
    """What `ww.register` wants for one page; the app's signature is the agentConfig one."""

    corp_id: str
    agent_id: int
    timestamp: int
    nonce: str
    signature: str
    agent_signature: str


class DirectoryCalls(CallPath):
    """The part of the gateway about the corp."""

    def departments(self) -> list[Department]:
        """All departments the app may see."""
        reply = self.call("department/list", method="GET")
        return [
            Department(
                number_of(row, "id"),
                text_of(row, "name"),
                number_of(row, "parentid"),
                number_of(row, "order"),
                texts_of(row, "department_leader"),
            )
            for row in objects_of(reply, "department")
        ]

    def users(self, department_id: int) -> list[Member]:
        """The members of one department, without those of its children."""
        params = {"department_id": department_id}
        reply = self.call("user/list", method="GET", params=params)
        return [Member.read(row) for row in objects_of(reply, "userlist")]

    def user(self, userid: str) -> Member:
        """One member."""
        return Member.read(self.call("user/get", method="GET", params={"userid": userid}))

    def callback_ips(self) -> list[str]:
        """Where callbacks come from; some entries are ranges with `*`."""
        return list(texts_of(self.call("getcallbackip", method="GET"), "ip_list"))

    def login_user(self, code: str) -> str:
        """Who signed in with this code (once, within 5 minutes): the userid of a member.

        Refused for anybody who is not a member: customers and strangers have codes, too.
        """
        reply = self.call("auth/getuserinfo", method="GET", params={"code": code})
        userid = text_of(reply, "userid")
        # Members of linked corps come as CorpId/userid; they are not ours.
        if not userid or "/" in userid:
            raise Refused("auth/getuserinfo", 0, "the code belongs to nobody of this corp")
        return userid

    def page_signature(self, url: str) -> PageSignature:
        """Sign a page for the JS-SDK; `url` is its full address."""
        corp = self.ticket("jsapi_ticket", lambda: fetch_ticket(self.call, "get_jsapi_ticket"))
        agent = self.ticket(
            "agent_ticket",
            lambda: fetch_ticket(self.call, "ticket/get", {"type": "agent_config"}),
        )
        timestamp, nonce = int(self.clock.now().timestamp()), secrets.token_hex(8)
        return PageSignature(
            corp_id=self.wecom.corp_id,
            agent_id=self.wecom.agent_id,
            timestamp=timestamp,
            nonce=nonce,
            signature=jsapi_signature(corp.value, nonce, timestamp, url),
            agent_signature=jsapi_signature(agent.value, nonce, timestamp, url),
        )


def jsapi_signature(ticket: str, nonce: str, timestamp: int, url: str) -> str:
    """SHA-1 over the four in WeCom's fixed order, the address without its fragment (96909)."""
    page = url.split("#", 1)[0]
    text = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={page}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
